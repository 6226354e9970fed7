"""Designs of studies: the values of the hyperparameters of their variants.

A study is a population of variants trained on one task. A hyperparameter is given in one of these forms:

* a number or a word, which all variants share;
* `{grid: [...]}`: every value, combined with every value of other grids;
* `{uniform: [low, high]}` or `{log_uniform: [low, high]}`: drawn at random.

Variants train together in stacks. In a stack, initialisation parameter, learning rate and dropout may differ, but not
the architecture, sizes or the cell's own hyperparameters. Variants with the same values of these form a *group*, whose
label is part of file names. A grid of such a hyperparameter gives a group for each value. This module does not load
PyTorch or xarray, because the workflow needs the groups at every start.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import numpy as np

from lyapunov_pkg.workflow.settings import shortened, suggestion, unsuitable

STACKABLE = ("init_param", "learning_rate", "dropout")
"""The hyperparameters that may differ in a stack, in the order of the draws."""

INTEGERS = ("hidden_size", "n_layers")
FORMS = "a value, {grid: [...]}, {uniform: [low, high]} or {log_uniform: [low, high]}"


class Hyperparameter(Protocol):
    """The allowed values of a hyperparameter, as in `lyapunov_pkg.cells.Hyperparameter`."""

    @property
    def expected(self) -> str:
        """Return a description of the allowed values."""

    def allows(self, value: object) -> bool:
        """Return whether a hyperparameter may have this value."""


@dataclass(frozen=True)
class Numbers:
    """A hyperparameter whose values are numbers.

    Attributes:
        kind: int for integers, or float for any finite numbers.
        above: values are above this number.
        minimum: values are at least this number.
        below: values are below this number.
        default: value if a design gives none; None: a design must give one.
    """

    kind: type[int] | type[float] = float
    above: float = -math.inf
    minimum: float = -math.inf
    below: float = math.inf
    default: float | None = None

    def allows(self, value: object) -> bool:
        """Return whether a hyperparameter may have this value."""
        fits = isinstance(value, int) if self.kind is int else True
        return fits and is_number(value) and self.above < value < self.below and self.minimum <= value

    @property
    def expected(self) -> str:
        """Return a description of the allowed values.

        Example:
            >>> Numbers(minimum=0, below=1).expected
            'a number from 0 up to, but not, 1'
        """
        noun = "an integer" if self.kind is int else "a number"
        if self.below < math.inf:
            return f"{noun} from {self.minimum:g} up to, but not, {self.below:g}"
        return f"{noun} above {self.above:g}" if self.above > -math.inf else f"{noun}, {self.minimum:g} or above"


COMMON = {
    "hidden_size": Numbers(int, above=0),
    "n_layers": Numbers(int, above=0, default=1),
    "init_param": Numbers(minimum=0),
    "learning_rate": Numbers(above=0),
    "dropout": Numbers(minimum=0, below=1, default=0.0),
}
"""The hyperparameters that every network has, in addition to those of its cell."""


@dataclass(frozen=True)
class Group:
    """Variants of a study that can be stacked.

    Attributes:
        label: label for file names, e.g. "lstm_64".
        settings: architecture and hyperparameters. Only the stackable ones may be grids or random.
        n_variants: number of variants.
    """

    label: str
    settings: Mapping[str, Any]
    n_variants: int


def derived_seed(*parts: object) -> int:
    """Return a seed below 2**63 that depends on all parts and on nothing else (SHA-256)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def study_groups(name: str, study: Mapping[str, Any], seed: int) -> dict[str, Group]:
    """Return {label: group} of a study.

    `variants` of the study is the number of random draws for each entry of its design and each combination of its
    grids. If hyperparameters that cannot be stacked are random, each draw is a separate group, `LABEL_drawN`. Draw N
    does not depend on the number of draws.

    Args:
        name: name of the study. Draws of different studies differ.
        study: its section of the configuration: `variants`, `hyperparameters` and `design`.
        seed: of the whole workflow.
    """
    entries = (entry_groups(name, study, entry, seed) for entry in study["design"])
    return {group.label: group for groups in entries for group in groups}


def entry_groups(name: str, study: Mapping[str, Any], entry: str, seed: int) -> list[Group]:
    """Return the groups of one entry of a study's design; see `study_groups`."""
    settings = entry_settings(study, entry)
    n_levels = len(list(stackable_levels(settings)))
    grids = {name: level["grid"] for name, level in settings.items() if is_grid(level) and name not in STACKABLE}
    random = [name for name, level in settings.items() if is_random(level) and name not in STACKABLE]
    groups = []
    for values in itertools.product(*grids.values()):
        chosen = dict(zip(grids, values, strict=True))
        label = "_".join([entry, *(value_label(*item) for item in chosen.items())])
        if not random:
            groups.append(Group(label, settings | chosen, n_levels * study["variants"]))
            continue
        for own_label in (f"{label}_draw{draw}" for draw in range(study["variants"])):
            drawn = {key: value_at(key, settings[key], own_quantile(seed, name, own_label, key)) for key in random}
            groups.append(Group(own_label, settings | chosen | drawn, n_levels))
    return groups


def own_quantile(*parts: object) -> float:
    """Return a random number in [0, 1) that depends on every part, and on nothing else."""
    return float(np.random.default_rng(derived_seed(*parts)).random())


def entry_settings(study: Mapping[str, Any], entry: str) -> dict[str, Any]:
    """Return the architecture and hyperparameters of an entry of a design: its own, otherwise those of the study.

    The default of the architecture is the name of the entry.
    """
    return {"architecture": entry} | study.get("hyperparameters", {}) | study["design"][entry]


def stackable_levels(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the grids of stackable hyperparameters, as {name: value}."""
    grids = {name: settings[name]["grid"] for name in STACKABLE if name in settings and is_grid(settings[name])}
    for values in itertools.product(*grids.values()):
        yield dict(zip(grids, values, strict=True))


def value_label(name: str, value: Any) -> str:
    """Return a value in the form for a group's label: hidden sizes without, others with their name."""
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


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer above the largest float
        return False


def is_safe(text: str) -> bool:
    """Return whether a text can be part of a file name: only letters, digits, _ and -, which cannot form a path."""
    return re.fullmatch("[A-Za-z0-9_-]{1,64}", text) is not None


def is_grid(level: Any) -> bool:
    """Return whether a hyperparameter is a grid."""
    return isinstance(level, Mapping) and "grid" in level


def is_random(level: Any) -> bool:
    """Return whether a hyperparameter is random."""
    return isinstance(level, Mapping) and not is_grid(level)


def level_problem(name: str, level: Any, known: Mapping[str, Hyperparameter] = COMMON) -> str | None:
    """Return a description of the allowed values if `level` is not allowed for a hyperparameter, otherwise None.

    Args:
        name: of the hyperparameter.
        level: a value, a grid or a distribution.
        known: {name: allowed values}. Other hyperparameters may be any finite number or word.
    """
    hyperparameter = known.get(name)

    def is_allowed(value: object) -> bool:
        return _is_number_or_word(value) and (hyperparameter is None or hyperparameter.allows(value))

    allowed = hyperparameter.expected if hyperparameter else "a number or a word of letters, digits, _ and -"
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


def _is_number_or_word(value: object) -> bool:
    return is_number(value) or (isinstance(value, str) and is_safe(value))


def study_problems(path: str, study: Mapping[str, Any], cells: Mapping[str, Mapping[str, Hyperparameter]]) -> list[str]:
    """Return the problems of a study's design, one line each.

    Args:
        path: position of the study in the configuration, for the messages.
        study: its section.
        cells: {architecture: {name: definition of the hyperparameter}}.
    """
    problems = [
        problem
        for entry, own in study["design"].items()
        for problem in _entry_problems(path, entry, own, entry_settings(study, entry), cells)
    ]
    return list(dict.fromkeys(problems)) or _label_problems(path, study)


def _entry_problems(
    path: str,
    entry: str,
    own: Mapping[str, Any],
    settings: dict[str, Any],
    cells: Mapping[str, Mapping[str, Hyperparameter]],
) -> list[str]:
    """Return the problems of one entry of a design: `own`, and `settings` with those of the whole study."""
    where = f"{path}.design.{entry}"
    architecture = settings.pop("architecture")
    if not isinstance(architecture, str) or architecture not in cells:
        named = f"{where}.architecture is" if "architecture" in own else f"{where} names no architecture, so it is"
        return [f"{named} {shortened(architecture)}; {suggestion(str(architecture), cells)}"]
    known: dict[str, Hyperparameter] = {**COMMON, **cells[architecture]}
    problems = []
    for name, level in settings.items():
        place = f"{where}.{name}" if name in own else f"{path}.hyperparameters.{name}"
        if name not in known:
            problems.append(
                f"{place}: {architecture} has no hyperparameter {shortened(name)}; {suggestion(str(name), known)}"
            )
        elif expected := level_problem(name, level, known):
            problems.append(unsuitable([place], level, expected))
    missing = [name for name, common in COMMON.items() if name not in settings and common.default is None]
    return problems + [f"{where} has no {name}; expected it there or in {path}.hyperparameters" for name in missing]


def _label_problems(path: str, study: Mapping[str, Any]) -> list[str]:
    """Return the problems of entries that would write the same files."""
    owner: dict[str, str] = {}
    problems = []
    for entry in study["design"]:
        for group in entry_groups(path, study, entry, 0):
            first = owner.setdefault(group.label, entry)
            if first != entry:
                problems.append(
                    f"{path}.design.{entry} and {path}.design.{first} both make files called {group.label!r}; "
                    "expected names that differ"
                )
    return problems
