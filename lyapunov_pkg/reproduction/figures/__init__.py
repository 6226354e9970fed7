"""Figures: a function takes Datasets and returns a matplotlib Figure. None imports torch.

`chapter_N`, a module or a package, has the figures of a chapter by their names.
"""
