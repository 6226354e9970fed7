"""Recurrent maps, one file each. A new cell is a new file and one line in `CELLS`."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module

from lyapunov_pkg.cells.base import Cell

# Loaded by name when it is first asked for, so that a result depends on the file of its own cell and on no other.
CELLS = {
    "rnn": "RNN",
    "lstm": "LSTM",
    "gru": "GRU",
    "asrnn": "ASRNN",
    "cornn": "CoRNN",
    "lipschitz": "LipschitzRNN",
    "noisy": "NoisyRNN",
    "lem": "LEM",
    "rank_one": "RankOneRNN",
}
"""Architecture, which is also the name of its module here, and its class."""

__all__ = ["CELLS", "Cell", "cell_class", "hyperparameter_names", "make_cell"]


def cell_class(architecture: str) -> type[Cell]:
    """Return the class of that architecture.

    Raises:
        ValueError: an unknown architecture; the message lists the known.
    """
    if architecture not in CELLS:
        raise ValueError(f"architecture is {architecture!r}; expected one of {', '.join(CELLS)}")
    return getattr(import_module(f"{__name__}.{architecture}"), CELLS[architecture])


def hyperparameter_names(architecture: str) -> list[str]:
    """Return the names of the hyperparameters that the cell of that name has; raises as `cell_class` does."""
    return [field.name for field in fields(cell_class(architecture))[2:]]


def make_cell(architecture: str, input_size: int, hidden_size: int, **hyperparameters: float | str) -> Cell:
    """Return the cell of that name.

    Args:
        architecture: a key of `CELLS`.
        input_size: features of an input.
        hidden_size: hidden units.
        hyperparameters: the cell's own, e.g. dt; its defaults otherwise.

    Raises:
        ValueError: an unknown architecture, a hyperparameter that it does not have, or a value out of range.
    """
    known = hyperparameter_names(architecture)
    unknown = [name for name in hyperparameters if name not in known]
    if unknown:
        expected = f"one of {', '.join(known)}" if known else "none, it has no hyperparameters"
        raise ValueError(f"{architecture} has no hyperparameter {unknown[0]!r}; expected {expected}")
    return cell_class(architecture)(input_size, hidden_size, **hyperparameters)
