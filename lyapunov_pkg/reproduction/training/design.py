"""Designs of studies: which values the hyperparameters of their variants take.

A study is a population of variants trained on one task. Each hyperparameter is a number or a word, which all variants
share; `{grid: [...]}`, every value with every value of other grids; `{uniform: [low, high]}` or
`{log_uniform: [low, high]}`, drawn at random.

Variants train side by side in stacks, in which initialisation parameter, learning rate and dropout may differ, but not
the architecture, sizes or the cell's own hyperparameters: the variants that have these in common are a *group*, with a
label that is used in names of files. A grid of such a hyperparameter makes a group of each value. Neither PyTorch nor
xarray is loaded here: the workflow asks for groups whenever it starts.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

STACKABLE = ("init_param", "learning_rate", "dropout")
"""The hyperparameters in which the variants of a stack may differ, in the order in which they are drawn."""

ALLOWED = {
    "hidden_size": (lambda value: isinstance(value, int) and value >= 1, "an integer above 0"),
    "n_layers": (lambda value: isinstance(value, int) and value >= 1, "an integer above 0"),
    "init_param": (lambda value: is_number(value) and value >= 0, "a number, 0 or above"),
    "learning_rate": (lambda value: is_number(value) and value > 0, "a number above 0"),
    "dropout": (lambda value: is_number(value) and 0 <= value < 1, "a number from 0 up to, but not, 1"),
}
"""The hyperparameters that every network has, and what they may be; a cell's own come to them."""

ANYTHING = (lambda value: is_number(value) or isinstance(value, str), "a number or text")  # of a cell's own

INTEGERS = ("hidden_size", "n_layers")
OPTIONAL = ("n_layers", "dropout")  # 1 layer, no dropout
FORMS = "a value, {grid: [...]}, {uniform: [low, high]} or {log_uniform: [low, high]}"


@dataclass(frozen=True)
class Group:
    """The variants of a study that can be stacked.

    Attributes:
        label: used in names of files, e.g. "lstm_64".
        settings: architecture and hyperparameters; only the stackable ones may be grids or random.
        n_variants: how many there are.
    """

    label: str
    settings: Mapping[str, Any]
    n_variants: int


def derived_seed(*parts: object) -> int:
    """Return a seed below 2**63 that depends on every part, and on nothing else (SHA-256)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def study_groups(name: str, study: Mapping[str, Any], seed: int) -> dict[str, Group]:
    """Return the groups of a study by label.

    `variants` of the study counts the random draws of each entry of its design, and of each combination in its grids.
    Where hyperparameters that cannot be stacked are random, each draw is a group of its own, `LABEL_drawN`; draw N is
    the same however many there are.

    Args:
        name: of the study; draws of different studies differ.
        study: its section of the configuration: `variants`, `hyperparameters` and `design`.
        seed: of the whole workflow.
    """
    groups: dict[str, Group] = {}
    for entry in study["design"]:
        settings = entry_settings(study, entry)
        n_levels = len(list(stackable_levels(settings)))
        grids = {name: level["grid"] for name, level in settings.items() if is_grid(level) and name not in STACKABLE}
        random = [name for name, level in settings.items() if is_random(level) and name not in STACKABLE]
        for values in itertools.product(*grids.values()):
            chosen = dict(zip(grids, values, strict=True))
            label = "_".join([entry, *(value_label(*item) for item in chosen.items())])
            if not random:
                made = [Group(label, settings | chosen, n_levels * study["variants"])]
            else:
                made = []
                for own_label in (f"{label}_draw{draw}" for draw in range(study["variants"])):
                    drawn = {
                        key: value_at(key, settings[key], own_quantile(seed, name, own_label, key)) for key in random
                    }
                    made.append(Group(own_label, settings | chosen | drawn, n_levels))
            groups |= {group.label: group for group in made}
    return groups


def own_quantile(*parts: object) -> float:
    """Return a random number in [0, 1) that depends on every part, and on nothing else."""
    return float(np.random.default_rng(derived_seed(*parts)).random())


def entry_settings(study: Mapping[str, Any], entry: str) -> dict[str, Any]:
    """Return architecture and hyperparameters of an entry of a design: its own, else those of the whole study.

    An entry that names no architecture is called by it.
    """
    return {"architecture": entry} | study.get("hyperparameters", {}) | study["design"][entry]


def stackable_levels(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the grids of stackable hyperparameters, as {name: value}."""
    grids = {name: settings[name]["grid"] for name in STACKABLE if name in settings and is_grid(settings[name])}
    for values in itertools.product(*grids.values()):
        yield dict(zip(grids, values, strict=True))


def value_label(name: str, value: Any) -> str:
    """Return how a value is written in a group's label: hidden sizes as they are, others with their name."""
    return str(value) if name == "hidden_size" else f"{name}-{value}"


def value_at(name: str, level: Mapping[str, Sequence[float]], quantile: float) -> float | int:
    """Return the value at a quantile in [0, 1) of a random hyperparameter's distribution."""
    ((distribution, (low, high)),) = level.items()
    end = high + 1 if name in INTEGERS else high
    value = low + (end - low) * quantile if distribution == "uniform" else low * (end / low) ** quantile
    return min(int(value), high) if name in INTEGERS else float(value)


def level_ends(level: Any) -> tuple[Any, Any]:
    """Return the smallest and the largest value that a hyperparameter may take."""
    if not isinstance(level, Mapping):
        return level, level
    ((_, values),) = level.items()
    return min(values), max(values)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_grid(level: Any) -> bool:
    """Whether a hyperparameter takes each of several values."""
    return isinstance(level, Mapping) and "grid" in level


def is_random(level: Any) -> bool:
    """Whether a hyperparameter is drawn."""
    return isinstance(level, Mapping) and not is_grid(level)


def level_problem(name: str, level: Any) -> str | None:
    """Return what is expected of a hyperparameter instead of `level`, or None if it can be used."""
    is_allowed, allowed = ALLOWED.get(name, ANYTHING)
    if not isinstance(level, Mapping):
        return None if is_allowed(level) else f"{allowed}, or {FORMS.partition(', ')[2]}"
    if len(level) != 1 or not level.keys() <= {"grid", "uniform", "log_uniform"}:
        return FORMS
    ((form, values),) = level.items()
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        return FORMS
    if not all(is_allowed(value) for value in values):
        return f"each value to be {allowed}"
    if form == "grid":
        return None if len(set(values)) == len(values) else "each value once"
    if len(values) != 2 or not all(is_number(value) for value in values) or values[0] > values[1]:
        return f"{form}: [lowest, highest], with lowest <= highest"
    if form == "log_uniform" and values[0] <= 0:
        return "log_uniform from above 0"
    return None


def study_problems(path: str, study: Mapping[str, Any], cells: Mapping[str, Iterable[str]]) -> list[str]:
    """Return what is wrong with the design of a study, a line each.

    Args:
        path: where the study stands in the configuration, for the messages.
        study: its section.
        cells: the names of the hyperparameters of each architecture's cell.
    """
    problems = []
    for entry, own in study["design"].items():
        settings = entry_settings(study, entry)
        architecture = settings.pop("architecture")
        where = f"{path}.design.{entry}"
        if architecture not in cells:
            named = f"{where}.architecture is" if "architecture" in own else f"{where} names no architecture, so it is"
            problems.append(f"{named} {architecture!r}; {suggestion(architecture, cells)}")
            continue
        known = [*ALLOWED, *cells[architecture]]
        for name, level in settings.items():
            place = f"{where}.{name}" if name in own else f"{path}.hyperparameters.{name}"
            if name not in known:
                problems.append(f"{place}: {architecture} has no hyperparameter {name!r}; {suggestion(name, known)}")
            elif expected := level_problem(name, level):
                problems.append(f"{place} is {level!r}; expected {expected}")
        problems += [
            f"{where} has no {name}; expected it there or in {path}.hyperparameters"
            for name in ALLOWED
            if name not in settings and name not in OPTIONAL
        ]
    return problems


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the closest known name to a misspelt one as a question, else all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "allowed are " + ", ".join(known)
