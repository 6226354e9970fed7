"""Figures of chapter 2: estimation of exponents, and spectra in relation to training and performance."""
