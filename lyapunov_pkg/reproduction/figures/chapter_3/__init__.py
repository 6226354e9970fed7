"""Figures of chapter 3: PredNet, and the autoencoder embedding of Lyapunov spectra (AeLLE)."""
