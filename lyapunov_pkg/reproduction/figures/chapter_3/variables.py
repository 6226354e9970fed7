"""Variables that several figures of chapter 3 use."""

from __future__ import annotations

EMBEDDING = ("aelle_component", "threshold", "low_is_above", "low_error", "partition")
STATISTICS = (*EMBEDDING, "f1", "lyapunov_mean", "lyapunov_max", "spectrum_component")
QUALITY = ("reconstruction_error", "median_error", "r_squared", "autoencoder_works")
