"""Recurrent maps, one file each. A new cell is a new file and one line in `CELLS`."""

from __future__ import annotations

from dataclasses import fields

from lyapunov_pkg.cells.asrnn import ASRNN
from lyapunov_pkg.cells.base import Cell
from lyapunov_pkg.cells.cornn import CoRNN
from lyapunov_pkg.cells.gru import GRU
from lyapunov_pkg.cells.lem import LEM
from lyapunov_pkg.cells.lipschitz import LipschitzRNN
from lyapunov_pkg.cells.lstm import LSTM
from lyapunov_pkg.cells.noisy import NoisyRNN
from lyapunov_pkg.cells.rnn import RNN

CELLS: dict[str, type[Cell]] = {cell.name: cell for cell in (LSTM, GRU, RNN, ASRNN, CoRNN, LipschitzRNN, NoisyRNN, LEM)}

__all__ = [
    "ASRNN",
    "CELLS",
    "GRU",
    "LEM",
    "LSTM",
    "RNN",
    "Cell",
    "CoRNN",
    "LipschitzRNN",
    "NoisyRNN",
    "cell_class",
    "make_cell",
]


def cell_class(architecture: str) -> type[Cell]:
    """Return the class of that name; raises a ValueError that lists the known where there is none."""
    if architecture not in CELLS:
        raise ValueError(f"architecture is {architecture!r}; expected one of {', '.join(CELLS)}")
    return CELLS[architecture]


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
    known = [field.name for field in fields(cell_class(architecture))[2:]]
    unknown = [name for name in hyperparameters if name not in known]
    if unknown:
        expected = f"one of {', '.join(known)}" if known else "none, it has no hyperparameters"
        raise ValueError(f"{architecture} has no hyperparameter {unknown[0]!r}; expected {expected}")
    return CELLS[architecture](input_size, hidden_size, **hyperparameters)
