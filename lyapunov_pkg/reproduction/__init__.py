"""The reproduction of the dissertation. It needs the extra `workflow`. The library does not import it."""
