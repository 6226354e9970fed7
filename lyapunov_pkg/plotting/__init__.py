"""Figures: a function takes a Dataset and returns a matplotlib Figure; one module per chapter. Nothing here imports torch."""
