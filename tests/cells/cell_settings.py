"""Every cell in the tested settings, created from its declaration, so that a new cell is tested automatically."""

from __future__ import annotations

from lyapunov_pkg.cells import CELLS, Hyperparameter, hyperparameters

SHIFT = 0.3


def another_number(own: Hyperparameter) -> float:
    """A number other than the default, so that a constant which is ignored or taken for another one is noticed."""
    if own.maximum is not None and own.default + SHIFT >= own.maximum:
        lowest = own.minimum if own.minimum is not None else own.above or 0
        end = own.maximum if own.default < own.maximum else lowest
        return (own.default + end) / 2
    return own.default + SHIFT


def other_numbers(architecture: str) -> dict[str, float]:
    """A number other than the default for each numerical hyperparameter of a cell."""
    return {name: another_number(own) for name, own in hyperparameters(architecture).items() if own.type is float}


def drawn_settings() -> dict[str, tuple[str, dict[str, str]]]:
    """Every cell with each way to draw its weights, by label."""
    settings = {name: (name, {}) for name in CELLS}
    for name in CELLS:
        own = hyperparameters(name).get("initialisation")
        for choice in own.choices if own else ():
            if choice != own.default:
                settings[f"{name} {choice}"] = (name, {"initialisation": choice})
    return settings


def map_settings(defaults: bool = False) -> dict[str, tuple[str, dict[str, float | str]]]:
    """Every cell with each form of its map, by label, with other constants than its defaults or with these too."""
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
