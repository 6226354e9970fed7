"""AeLLE: an autoencoder of Lyapunov spectra that predicts loss, its embedding, and classifiers beside it."""

from __future__ import annotations

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings, SpectrumAutoencoder, TrainingHistory, train_autoencoder
from lyapunov_pkg.aelle.final import final_experiment
from lyapunov_pkg.aelle.pretrained import pretrained_experiment

__all__ = [
    "AutoencoderSettings",
    "SpectrumAutoencoder",
    "TrainingHistory",
    "final_experiment",
    "pretrained_experiment",
    "train_autoencoder",
]
