"""Configurations with random faults: each gives a clear error, or the workflow can plan with it."""

from __future__ import annotations

import copy
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lyapunov_pkg.reproduction.configuration.whole import take_away_nulls, validate_configuration
from lyapunov_pkg.reproduction.training.design import study_groups
from lyapunov_pkg.workflow.settings import ConfigurationError
from lyapunov_pkg.workflow.strict_yaml import read_configuration

CONFIGURATION = read_configuration(Path(__file__).parents[2] / "config.yaml")
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "soon", "../../x", "1e-4", ".nan", "uniform", "a" * 300, "\0"),
    *(0, 1, -1, 2, 3, 7, 10**400, -(10**400), 0.0, -0.0, 0.5, 1.0, 6.0, 1e-300, 1e300),
    *(float("nan"), float("inf"), -float("inf")),
    *([], [0], [None], [[1]], ["a", 1], [1, 1], {}, {"a": 1}, {"grid": [1, 2]}, {"grid": []}, {"grid": [[1], [1]]}),
    *({1: 2}, {None: 1}, {"uniform": [0, 1]}, {"uniform": ["a", "b"]}, {"log_uniform": [1, 2, 3]}, {"grid": {"a": 1}}),
    *(b"bytes", {1, 2}, (1, 2), object),
)
KEYS: tuple[Any, ...] = ("varients", "epoch", "", "../x", "Mine", "a b", 3, None, True, 1.5, "é", "x" * 200, "rnn")
WORDS = (" is ", "unknown key", " lacks ", " has ", " names no ", "expected")


def places(node: Any, key: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the keys of all values and sections."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for name, child in children for place in [(*key, name), *places(child, (*key, name))]]


def with_a_fault(rng: random.Random) -> dict[str, Any]:
    """Return the default configuration with one or two values or keys changed, removed or added at random."""
    configuration = copy.deepcopy(CONFIGURATION)
    for _ in range(rng.choice([1, 1, 2])):
        *parents, last = rng.choice(places(configuration))
        node: Any = configuration
        for parent in parents:
            node = node[parent]
        kind = rng.random()
        if kind < 0.75:
            node[last] = rng.choice(VALUES)
        elif kind < 0.85:
            del node[last]
        elif isinstance(node, dict):
            node[rng.choice(KEYS)] = rng.choice((node[last], *VALUES))
    return configuration


def outcome(configuration: dict[str, Any]) -> str:
    """Return whether a configuration is refused or accepted; raise an error if an accepted one gives no plan."""
    try:
        take_away_nulls(configuration)
        validate_configuration(configuration)
    except ConfigurationError as error:
        head, *lines = str(error).splitlines()
        assert head == "the configuration cannot be used:"
        assert lines and all(line.startswith("  - ") and any(word in line for word in WORDS) for line in lines), error
        assert max(map(len, lines)) < 1500
        return "refused"
    groups = {
        name: study_groups(name, study, configuration["seed"]) for name, study in configuration["studies"].items()
    }
    assert set(groups["pixel_rnn"]) == {"rnn"}
    assert all(
        label.replace(".", "").replace("+", "").replace("-", "_").isidentifier()
        for of in groups.values()
        for label in of
    )
    return "accepted"


def count(n_cases: int, seed: int) -> Counter[str]:
    rng = random.Random(seed)
    return Counter(outcome(with_a_fault(rng)) for _ in range(n_cases))


def test_every_fault_is_refused_or_harmless() -> None:
    counts = count(150, seed=0)
    assert counts["refused"] > 100 and counts["accepted"] > 0
    assert counts.total() == 150


@pytest.mark.slow
def test_many_random_faults_are_refused_or_harmless() -> None:
    counts = count(2000, seed=1)
    assert counts["refused"] > 1300 and counts["accepted"] > 100
    assert counts.total() == 2000
