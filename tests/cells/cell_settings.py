"""Every cell with the settings under test.

They come from the cell's declaration, so a new cell is tested automatically.
"""

from __future__ import annotations

from lyapunov_pkg.cells import CELLS, Hyperparameter, hyperparameters

SHIFT = 0.3


def another_number(own: Hyperparameter) -> float:
    """Return a number other than the default, so that a test fails if a cell ignores or confuses a hyperparameter."""
    if own.maximum is not None and own.default + SHIFT >= own.maximum:
        lowest = own.minimum if own.minimum is not None else own.above or 0
        end = own.maximum if own.default < own.maximum else lowest
        return (own.default + end) / 2
    return own.default + SHIFT


def other_numbers(architecture: str) -> dict[str, float]:
    """Return a number other than the default for each numerical hyperparameter of a cell."""
    return {name: another_number(own) for name, own in hyperparameters(architecture).items() if own.type is float}


def drawn_settings() -> dict[str, tuple[str, dict[str, str]]]:
    """Return every cell with each initialisation of its weights, by label."""
    settings = {name: (name, {}) for name in CELLS}
    for name in CELLS:
        own = hyperparameters(name).get("initialisation")
        for choice in own.choices if own else ():
            if choice != own.default:
                settings[f"{name} {choice}"] = (name, {"initialisation": choice})
    return settings


def map_settings(defaults: bool = False) -> dict[str, tuple[str, dict[str, float | str]]]:
    """Return every cell with each form of its map, by label.

    The numerical hyperparameters differ from their defaults. With `defaults`, the default values are added.
    """
    settings: dict[str, tuple[str, dict[str, float | str]]] = {}
    for name in CELLS:
        numbers = other_numbers(name)
        if defaults and numbers:
            settings[f"{name} by default"] = (name, {})
        settings[name] = (name, numbers)
        for text, own in hyperparameters(name).items():
            for choice in own.choices if text != "initialisation" else ():
                if choice != own.default:
                    settings[f"{name} with {choice}"] = (name, numbers | {text: choice})
    return settings
