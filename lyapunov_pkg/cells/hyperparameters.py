"""Hyperparameters of cells: their ranges, defaults and sources.

A cell declares them as dataclass fields, each by `hyperparameter`. `Cell` checks the values when a cell is created.
`lyapunov_pkg.cells.hyperparameters` returns the declarations to callers that check or describe a configuration.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

SIZES = ("input_size", "hidden_size")
"""The fields of a cell that are not hyperparameters."""


@dataclass(frozen=True)
class Hyperparameter:
    """A constant of a recurrent map: its default and its allowed values.

    Attributes:
        name: name of the dataclass field.
        default: a float, an integer or a text. All values are of the same type.
        meaning: description, as a sentence.
        unit: "1" for a pure number, "" for a text.
        source: source of the default.
        above: values are above this number; None: no such limit.
        minimum: values are at least this number; None: no such limit.
        maximum: values are at most this number; None: no such limit.
        choices: the allowed texts.
    """

    name: str
    default: float | int | str
    meaning: str
    unit: str
    source: str
    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> type[float] | type[int] | type[str]:
        """Return the type of its values. An integer is allowed for a float, but not a float for an integer."""
        return type(self.default)

    @property
    def expected(self) -> str:
        """Return a description of the allowed values, e.g. "a finite number above 0 and at most 1"."""
        if self.type is str:
            return f"one of {', '.join(self.choices)}"
        kind = "an integer" if self.type is int else "a finite number"
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {self.minimum:g} to {self.maximum:g}"
        limits = []
        if self.above is not None:
            limits.append(f" above {self.above:g}")
        if self.minimum is not None:
            limits.append(f", {self.minimum:g} or above")
        if self.maximum is not None:
            limits.append(f" at most {self.maximum:g}")
        return kind + " and".join(limits)

    def allows(self, value: object) -> bool:
        """Return whether `value` is allowed: no bool for a number, no float for an integer, no NaN or infinity."""
        if self.type is str:
            return isinstance(value, str) and value in self.choices
        if isinstance(value, bool) or not isinstance(value, Integral if self.type is int else Real):
            return False
        try:
            number = float(value)
        except OverflowError:  # an integer that is too large for a float
            return False
        return math.isfinite(number) and self._is_within(number)

    def _is_within(self, number: float) -> bool:
        return (
            (self.above is None or number > self.above)
            and (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
        )


def hyperparameter(
    default: float | int | str,
    meaning: str,
    source: str,
    *,
    unit: str = "1",
    above: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Return the dataclass field of a cell's hyperparameter; `Hyperparameter` describes the arguments.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Leaky:
        ...     dt: float = hyperparameter(0.1, "Time step.", "an example", above=0, maximum=1)
        >>> declared(Leaky)["dt"].expected
        'a finite number above 0 and at most 1'
        >>> declared(Leaky)["dt"].allows(0)
        False
    """
    unit = "" if isinstance(default, str) else unit
    declaration = Hyperparameter("", default, meaning, unit, source, above, minimum, maximum, choices)
    return dataclasses.field(default=default, metadata={"hyperparameter": declaration})


def declared(dataclass_type: Any) -> dict[str, Hyperparameter]:
    """Return the hyperparameters of a cell's class as {name: definition}, those of its parents first.

    Raises:
        TypeError: a field of the class other than the sizes is not declared by `hyperparameter`.
    """
    found = {}
    for field in dataclasses.fields(dataclass_type):
        if field.name in SIZES:
            continue
        if "hyperparameter" not in field.metadata:
            raise TypeError(
                f"{dataclass_type.__name__}.{field.name}: got a plain field, expected `hyperparameter(...)`"
            )
        found[field.name] = dataclasses.replace(field.metadata["hyperparameter"], name=field.name)
    return found
