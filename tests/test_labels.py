"""Each name has one unit throughout the package."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

import lyapunov_pkg
from lyapunov_pkg import labels
from lyapunov_pkg.labels import Label, describe, in_unit

PACKAGE = Path(lyapunov_pkg.__file__).parent
EXCEPTIONS = {"time": {"step", "time unit"}}
"""The time of a flow is no number of steps."""
LOSSES = {
    *("train_loss", "validation_loss", "loss", "final_loss", "predicted_loss", "loss_shift", "held_out_prediction"),
    *("mean_absolute_error", "rms_error", "best_loss", "complete_loss", "train_error", "validation_error"),
    *("baseline_error", "difference", "difference_low", "difference_high"),
}
"""Of the unit of their task: `in_unit`."""
DIMENSIONS = {
    "1",
    "%",
    "nat",
    "nat/step",
    "nat/time unit",
    "nat^2/step^2",
    "step",
    "time unit",
    "epoch",
    "update",
    "pixel",
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def described(name: str, path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and unit of everything that a module describes by (unit, long name) in a dictionary."""
    tree = ast.parse(path.read_text())
    if not {"describe", "Label"} & imported_names(tree):
        return
    namespace = vars(importlib.import_module(name))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Dict):
            continue
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and (label := evaluated(value, namespace)):
                yield key.value, label[0]


def imported_names(tree: ast.Module) -> set[str]:
    """Return the names that a module imports from `lyapunov_pkg.labels`."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports if node.module == "lyapunov_pkg.labels" for alias in node.names}


def evaluated(node: ast.expr, namespace: dict) -> tuple[str, str] | None:
    """Return the label that an expression of a module evaluates to, or None."""
    try:
        value = eval(compile(ast.Expression(node), "", "eval"), namespace)
    except Exception:  # The expression contains local variables.
        return None
    if isinstance(value, Label):
        return value
    is_label = isinstance(value, tuple) and [type(each) for each in value] == [str, str] and " " in value[1]
    return value if is_label else None


@pytest.fixture(scope="module")
def units() -> dict[str, set[str]]:
    found = defaultdict(set)
    for module in modules():
        for name, unit in described(*module):
            found[name].add(unit)
    return dict(found)


def test_every_name_has_one_unit(units):
    assert len(units) > 100  # This shows that the search finds the labels.
    for name, found in units.items():
        if name not in LOSSES:
            assert found <= EXCEPTIONS.get(name, {next(iter(found))}), f"{name} is in {sorted(found)}"
    assert units["lyapunov_exponent"] == {"nat/step"} and units["time"] == EXCEPTIONS["time"]


def test_units_have_one_spelling(units):
    assert set().union(*units.values()) <= DIMENSIONS


def test_descriptions_are_set_and_unknown_names_are_refused():
    dataset = xr.Dataset({"loss": ("epoch", [1.0])})
    describe(dataset, in_unit("nat", {"loss": "validation loss"}))
    assert dataset["loss"].attrs == {"units": "nat", "long_name": "validation loss"}
    with pytest.raises(KeyError, match="accuracy"):
        describe(dataset, {"accuracy": Label("1", "accuracy")})


def test_examples_run():
    assert doctest.testmod(labels).failed == 0
