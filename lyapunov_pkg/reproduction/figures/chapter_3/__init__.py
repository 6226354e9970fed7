"""Figures of chapter 3: PredNet, and the autoencoder embedding of Lyapunov spectra (AeLLE)."""

from __future__ import annotations

from lyapunov_pkg.reproduction.figures.chapter_3.architectures import fig_3_12, fig_3_13, fig_3_14, fig_3_15
from lyapunov_pkg.reproduction.figures.chapter_3.classification import (
    fig_3_10,
    fig_3_11,
    fig_3_b1,
    fig_3_b2,
    fig_3_b3,
    fig_3_b4,
)
from lyapunov_pkg.reproduction.figures.chapter_3.embedding import fig_3_6, fig_3_7, fig_3_8, fig_3_9
from lyapunov_pkg.reproduction.figures.chapter_3.prediction import fig_3_1, fig_3_2, fig_3_3, fig_3_4, fig_3_5
from lyapunov_pkg.reproduction.figures.chapter_3.pruning import fig_extra_pruning

__all__ = [
    "fig_3_1",
    "fig_3_2",
    "fig_3_3",
    "fig_3_4",
    "fig_3_5",
    "fig_3_6",
    "fig_3_7",
    "fig_3_8",
    "fig_3_9",
    "fig_3_10",
    "fig_3_11",
    "fig_3_12",
    "fig_3_13",
    "fig_3_14",
    "fig_3_15",
    "fig_3_b1",
    "fig_3_b2",
    "fig_3_b3",
    "fig_3_b4",
    "fig_extra_pruning",
]
