"""Figures: each function takes Datasets and returns a matplotlib Figure. These modules do not import torch.

Each function has its record as a decorator (`reproduction.records.figure`). `reproduction.catalogue` finds it in any
module below this folder.
"""
