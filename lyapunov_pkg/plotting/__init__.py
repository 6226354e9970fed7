"""Figures: a function takes Datasets and returns a matplotlib Figure; one module per chapter. None imports torch."""
