"""Prediction of the final loss from spectra: AeLLE, PredNet, classifiers and baselines."""
