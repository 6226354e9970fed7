"""Networks of a study and their spectra: stores, selection, statistics."""
