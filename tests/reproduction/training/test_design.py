from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lyapunov_pkg.cells import CELLS, make_cell
from lyapunov_pkg.reproduction.configuration.cells import cell_hyperparameters
from lyapunov_pkg.reproduction.training.design import (
    Group,
    Numbers,
    is_number,
    level_problem,
    study_groups,
    study_problems,
)

COMMON = {"hidden_size": 8, "init_param": {"uniform": [0.1, 1.0]}, "learning_rate": 0.01}
KNOWN_CELLS = {"lstm": {}, "asrnn": {"eps": Numbers(above=0), "gamma": Numbers(minimum=0)}}


def groups(design: dict[str, Any], variants: int = 5, seed: int = 1, name: str = "study") -> dict[str, Group]:
    return study_groups(name, {"variants": variants, "hyperparameters": COMMON, "design": design}, seed)


def problems(entry: dict[str, Any], label: str = "lstm") -> list[str]:
    study = {"variants": 2, "hyperparameters": COMMON, "design": {label: entry}}
    return study_problems("studies.s", study, KNOWN_CELLS)


def test_an_entry_is_a_group_that_overrides_the_hyperparameters_of_the_study() -> None:
    found = groups({"lstm": {"hidden_size": 16}, "small": {"architecture": "gru", "init_param": 0.5}})
    assert list(found) == ["lstm", "small"]
    assert found["lstm"].settings == COMMON | {"architecture": "lstm", "hidden_size": 16}
    assert found["small"].settings == COMMON | {"architecture": "gru", "init_param": 0.5}
    assert [group.n_variants for group in found.values()] == [5, 5]


def test_grid_values_that_cannot_share_a_stack_make_groups_and_others_make_variants() -> None:
    entry = {
        "hidden_size": {"grid": [4, 8]},
        "eps": {"grid": [0.01, 0.1]},
        "learning_rate": {"grid": [0.1, 0.2, 0.3]},
        "dropout": {"grid": [0.0, 0.5]},
    }
    found = groups({"asrnn": entry})
    assert list(found) == [f"asrnn_{size}_eps-{eps}" for size in (4, 8) for eps in (0.01, 0.1)]
    assert all(group.n_variants == 5 * 3 * 2 for group in found.values())
    assert found["asrnn_8_eps-0.01"].settings == COMMON | entry | {
        "architecture": "asrnn",
        "hidden_size": 8,
        "eps": 0.01,
    }


def test_each_random_hidden_size_makes_a_group_and_more_can_be_added() -> None:
    entry = {"lstm": {"hidden_size": {"log_uniform": [8, 64]}, "dropout": {"grid": [0.0, 0.1]}}}
    few, many = groups(entry, 5), groups(entry, 200)
    assert list(few) == [f"lstm_draw{draw}" for draw in range(5)]
    assert few == {label: many[label] for label in few}
    assert all(group.n_variants == 2 for group in many.values())
    sizes = np.array([group.settings["hidden_size"] for group in many.values()])
    assert sizes.dtype.kind == "i" and sizes.min() >= 8 and sizes.max() <= 64
    assert 16 < np.median(sizes) < 32
    others = [groups(entry, 200, seed=2), groups(entry, 200, name="other")]
    assert all(other != many for other in others)


def test_random_integers_include_both_ends_of_the_range() -> None:
    found = groups({"lstm": {"hidden_size": {"uniform": [2, 4]}}}, 100)
    counts = np.bincount([group.settings["hidden_size"] for group in found.values()], minlength=5)
    assert counts.sum() == counts[2:].sum() == 100
    assert (counts[2:] > 20).all()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"init_parm": 1.0},
            "studies.s.design.lstm.init_parm: lstm has no hyperparameter 'init_parm'; did you mean init_param?",
        ),
        ({"eps": 0.1}, "studies.s.design.lstm.eps: lstm has no hyperparameter 'eps'; allowed are dropout, hidden_size"),
        ({"architecture": "lstmm"}, "studies.s.design.lstm.architecture is 'lstmm'; did you mean lstm?"),
        (
            {"init_param": {"uniform": [3, 1]}},
            "studies.s.design.lstm.init_param is {'uniform': [3, 1]}; expected uniform: [low",
        ),
        ({"dropout": {"log_uniform": [0, 0.1]}}, "expected log_uniform from above 0"),
        (
            {"dropout": {"log_unifrm": [0.1, 0.2]}},
            "expected a value, {grid: [...]}, {uniform: [low, high]} or {log_uniform",
        ),
        ({"dropout": {"grid": [0.1], "uniform": [0.1, 0.2]}}, "expected a value, {grid: [...]}, {uniform"),
        ({"dropout": {"grid": []}}, "expected a value, {grid: [...]}, {uniform"),
        ({"dropout": {"grid": [0.1, 0.1]}}, "expected each value once"),
        ({"dropout": {"uniform": [0.1]}}, "expected uniform: [lowest, highest]"),
        (
            {"dropout": 1.0},
            "studies.s.design.lstm.dropout is 1.0; expected a number from 0 up to, but not, 1, or {grid",
        ),
        ({"hidden_size": {"grid": [8, 16.5]}}, "expected each value to be an integer above 0"),
        ({"hidden_size": "large"}, "is 'large'; expected an integer above 0, or {grid"),
        ({"learning_rate": True}, "expected a number above 0"),
    ],
)
def test_problems_name_the_key_the_value_and_the_allowed_values(entry: dict[str, Any], expected: str) -> None:
    (problem,) = problems(entry)
    assert expected in problem


def test_an_entry_that_is_not_named_after_an_architecture_must_name_one() -> None:
    (problem,) = problems({}, label="lstm_small")
    assert (
        problem == "studies.s.design.lstm_small names no architecture, so it is 'lstm_small'; allowed are asrnn, lstm"
    )
    assert not problems({"architecture": "lstm"}, label="lstm_small")


def test_missing_hyperparameters_are_named() -> None:
    study = {"variants": 1, "design": {"lstm": {"hidden_size": 4}}}
    assert study_problems("studies.s", study, KNOWN_CELLS) == [
        "studies.s.design.lstm has no init_param; expected it there or in studies.s.hyperparameters",
        "studies.s.design.lstm has no learning_rate; expected it there or in studies.s.hyperparameters",
    ]


@pytest.mark.parametrize("text", ["../x", "a/b", "", "a b", "x" * 65])
def test_texts_that_cannot_be_in_a_file_name_are_refused(text: str) -> None:
    assert level_problem("kind", text) and level_problem("kind", {"grid": ["uniform", text]})
    assert level_problem("kind", "a-b_C9") is None


@pytest.mark.parametrize("architecture", CELLS)
def test_hyperparameter_limits_agree_with_those_of_the_cells(architecture: str) -> None:
    """The limits of the configuration are those of the cell, or stricter if the cell accepts any finite number."""
    found = cell_hyperparameters()[architecture]
    for name, limits in found.items():
        assert limits.allows(getattr(make_cell(architecture, 2, 3), name))
        for value in (math.nan, math.inf, "soon", "../x"):
            assert not limits.allows(value)
            with pytest.raises(ValueError, match=name):
                make_cell(architecture, 2, 3, **{name: value})


def test_integers_beyond_the_range_of_floats_are_refused() -> None:
    assert not is_number(10**400) and is_number(10**300)
