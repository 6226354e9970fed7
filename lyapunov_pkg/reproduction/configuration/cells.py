"""The hyperparameters that cells contribute to designs."""

from __future__ import annotations

from lyapunov_pkg.cells import CELLS, Hyperparameter, hyperparameters


def cell_hyperparameters() -> dict[str, dict[str, Hyperparameter]]:
    """Return what the hyperparameters of each architecture's cell may be, by name; PyTorch is not loaded."""
    return {architecture: hyperparameters(architecture) for architecture in CELLS}
