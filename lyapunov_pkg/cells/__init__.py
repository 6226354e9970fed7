"""Recurrent maps, one file each. A new cell is a new file and its entry in `entries.CELLS`."""

from __future__ import annotations

from importlib import import_module

from lyapunov_pkg.cells.base import Cell
from lyapunov_pkg.cells.entries import CELLS
from lyapunov_pkg.cells.hyperparameters import Hyperparameter, declared

__all__ = ["CELLS", "Cell", "Hyperparameter", "cell_class", "hyperparameters", "make_cell"]


def cell_class(architecture: str) -> type[Cell]:
    """Return the class of that architecture.

    Raises:
        ValueError: an unknown architecture; the message lists the known.
        TypeError: the class of the entry has another name.
    """
    # Entries and modules are loaded by name: so a result depends on the file of its own cell, and neither on other
    # cells nor on labels and colours (see lyapunov_pkg.workflow.provenance).
    entries = import_module(f"{__name__}.entries").CELLS
    if architecture not in entries:
        raise ValueError(f"architecture is {architecture!r}; expected one of {', '.join(entries)}")
    found: type[Cell] = getattr(import_module(f"{__name__}.{architecture}"), entries[architecture].class_name)
    if found.name != architecture:
        raise TypeError(f"{found.__name__}.name is {found.name!r}; expected {architecture!r}, as in its entry")
    return found


def hyperparameters(architecture: str) -> dict[str, Hyperparameter]:
    """Return the hyperparameters of the cell of that name: type, unit, range, default and source of each, by name.

    PyTorch is not loaded for this.

    Raises:
        ValueError: an unknown architecture; the message lists the known.

    Example:
        >>> dt = hyperparameters("cornn")["dt"]
        >>> dt.default, dt.expected
        (0.042, 'a finite number above 0')
        >>> hyperparameters("rnn")["nonlinearity"].allows("tahn")
        False
    """
    return declared(cell_class(architecture))


def make_cell(architecture: str, input_size: int, hidden_size: int, **hyperparameters: float | str) -> Cell:
    """Return the cell of that name.

    Args:
        architecture: a key of `CELLS`.
        input_size: features of an input.
        hidden_size: hidden units.
        hyperparameters: the cell's own, e.g. dt; its defaults otherwise.

    Raises:
        ValueError: an unknown architecture, a hyperparameter that it does not have, or a value out of range.

    Example:
        >>> make_cell("cornn", input_size=3, hidden_size=4, dt=0.1)
        CoRNN(input_size=3, hidden_size=4, dt=0.1, gamma=2.7, epsilon=4.7)
    """
    cell = cell_class(architecture)
    known = declared(cell)
    unknown = [name for name in hyperparameters if name not in known]
    if unknown:
        expected = f"one of {', '.join(known)}" if known else "none, it has no hyperparameters"
        raise ValueError(f"{architecture} has no hyperparameter {unknown[0]!r}; expected {expected}")
    return cell(input_size, hidden_size, **hyperparameters)
