"""Recurrent maps, one file each. To add a cell, add a file and an entry in `entries.CELLS`."""

from __future__ import annotations

from importlib import import_module

from lyapunov_pkg.cells.base import Cell
from lyapunov_pkg.cells.entries import CELLS
from lyapunov_pkg.cells.hyperparameters import Hyperparameter, declared

__all__ = ["CELLS", "Cell", "Hyperparameter", "cell_class", "hyperparameters", "make_cell"]


def cell_class(architecture: str) -> type[Cell]:
    """Return the class of an architecture.

    Raises:
        ValueError: the architecture is unknown. The message lists the known ones.
        TypeError: the class of the entry has another name.
    """
    # Entries and modules are loaded by name. A result then depends on the file of its own cell, but not on other cells,
    # labels or colours (see lyapunov_pkg.workflow.provenance).
    entries = import_module(f"{__name__}.entries").CELLS
    if architecture not in entries:
        raise ValueError(f"architecture: got {architecture!r}, expected one of {', '.join(entries)}")
    found: type[Cell] = getattr(import_module(f"{__name__}.{architecture}"), entries[architecture].class_name)
    if found.name != architecture:
        raise TypeError(f"{found.__name__}.name: got {found.name!r}, expected {architecture!r} as in its entry")
    return found


def hyperparameters(architecture: str) -> dict[str, Hyperparameter]:
    """Return the hyperparameters of an architecture as {name: definition}.

    A definition has type, unit, range, default and source. This function does not load PyTorch.

    Raises:
        ValueError: the architecture is unknown. The message lists the known ones.

    Example:
        >>> dt = hyperparameters("cornn")["dt"]
        >>> dt.default, dt.expected
        (0.042, 'a finite number above 0')
        >>> hyperparameters("rnn")["nonlinearity"].allows("tahn")
        False
    """
    return declared(cell_class(architecture))


def make_cell(architecture: str, input_size: int, hidden_size: int, **hyperparameters: float | str) -> Cell:
    """Return a cell of an architecture.

    Args:
        architecture: a key of `CELLS`.
        input_size: number of input features.
        hidden_size: number of hidden units.
        hyperparameters: hyperparameters of the cell, e.g. dt. Others have their defaults.

    Raises:
        ValueError: the architecture is unknown, has no such hyperparameter, or a value is out of range.

    Example:
        >>> make_cell("cornn", input_size=3, hidden_size=4, dt=0.1)
        CoRNN(input_size=3, hidden_size=4, dt=0.1, gamma=2.7, epsilon=4.7)
    """
    cell = cell_class(architecture)
    known = declared(cell)
    unknown = [name for name in hyperparameters if name not in known]
    if unknown:
        expected = f"one of {', '.join(known)}" if known else "none"
        raise ValueError(f"hyperparameters: got {unknown[0]!r} for {architecture}, expected {expected}")
    return cell(input_size, hidden_size, **hyperparameters)
