"""Figures of chapter 2: how exponents are estimated, and what spectra say about training and performance."""
