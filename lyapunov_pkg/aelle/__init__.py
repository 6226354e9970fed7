"""AeLLE: an autoencoder of Lyapunov spectra that predicts loss, and its embedding."""

from __future__ import annotations

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings, SpectrumAutoencoder, TrainingHistory, train_autoencoder

__all__ = ["AutoencoderSettings", "SpectrumAutoencoder", "TrainingHistory", "train_autoencoder"]
