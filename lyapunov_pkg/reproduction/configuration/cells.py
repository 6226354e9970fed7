"""The hyperparameters that cells contribute to designs."""

from __future__ import annotations

from lyapunov_pkg.cells import CELLS, Hyperparameter, hyperparameters


def cell_hyperparameters() -> dict[str, dict[str, Hyperparameter]]:
    """Return {architecture: {name: definition of the hyperparameter}}, without loading PyTorch."""
    return {architecture: hyperparameters(architecture) for architecture in CELLS}
