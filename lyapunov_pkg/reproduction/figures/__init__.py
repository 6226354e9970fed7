"""Figures: a function takes Datasets and returns a matplotlib Figure. None imports torch.

Each function carries its record (`reproduction.records.figure`); `reproduction.catalogue` finds it wherever it stands
below this folder.
"""
