"""AeLLE: an autoencoder of Lyapunov spectra that predicts loss, its embedding, classifiers beside it, and
PredNet."""

from __future__ import annotations

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings, SpectrumAutoencoder, TrainingHistory, train_autoencoder
from lyapunov_pkg.aelle.final import final_experiment
from lyapunov_pkg.aelle.prediction import eigenvalue_experiment, prednet_experiment
from lyapunov_pkg.aelle.prednet import PredNet, PredNetHistory, PredNetSettings, train_prednet
from lyapunov_pkg.aelle.pretrained import pretrained_experiment

__all__ = [
    "AutoencoderSettings",
    "PredNet",
    "PredNetHistory",
    "PredNetSettings",
    "SpectrumAutoencoder",
    "TrainingHistory",
    "eigenvalue_experiment",
    "final_experiment",
    "prednet_experiment",
    "pretrained_experiment",
    "train_autoencoder",
    "train_prednet",
]
