"""The reproduction of the dissertation. It needs the extra `workflow`; the library imports nothing of it."""
