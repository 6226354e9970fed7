"""Hyperparameters that cells declare: default values of the source, allowed values, and errors for other values."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass, fields

import numpy as np
import pytest

from lyapunov_pkg.cells import CELLS, Cell, cell_class, hyperparameters, make_cell
from lyapunov_pkg.cells.hyperparameters import Hyperparameter, declared, hyperparameter

# By name, as in the source. A changed default would change results silently, so the test repeats each value.
FROM_THE_SOURCES = {
    "rnn": {"nonlinearity": "tanh", "initialisation": "uniform"},
    "lstm": {},
    "gru": {},
    "asrnn": {"eps": 0.01, "gamma": 0.01, "initialisation": "uniform"},
    "cornn": {"dt": 0.042, "gamma": 2.7, "epsilon": 4.7},
    "lipschitz": {
        "dt": 0.03,
        "beta_A": 0.75,
        "beta_W": 0.75,
        "gamma_A": 0.001,
        "gamma_W": 0.001,
        "alpha": 1.0,
        "initialisation": "uniform",
    },
    "noisy": {
        "dt": 0.01,
        "beta_A": 0.75,
        "beta_W": 0.75,
        "gamma_A": 0.001,
        "gamma_W": 0.001,
        "alpha": 1.0,
        "initialisation": "uniform",
        "multiplicative_noise": 0.02,
        "additive_noise": 0.02,
    },
    "lem": {"dt": 1.0},
    "rank_one": {"dt": 0.1, "density": 0.1},
}

OF_ALL = [(architecture, name) for architecture in CELLS for name in hyperparameters(architecture)]
NUMBERS = [place for place in OF_ALL if hyperparameters(place[0])[place[1]].type is not str]
TEXTS = [place for place in OF_ALL if place not in NUMBERS]


@pytest.mark.parametrize("architecture", FROM_THE_SOURCES)
def test_defaults_are_those_of_the_sources(architecture):
    defaults = {name: own.default for name, own in hyperparameters(architecture).items()}
    assert defaults == FROM_THE_SOURCES[architecture]
    cell = make_cell(architecture, 3, 4)
    assert {name: getattr(cell, name) for name in defaults} == defaults


@pytest.mark.parametrize(("architecture", "name"), OF_ALL)
def test_each_has_a_description_and_allows_its_default(architecture, name):
    own = hyperparameters(architecture)[name]
    assert own.name == name
    assert own.meaning and own.source
    assert bool(own.unit) == (own.type is not str)
    assert bool(own.choices) == (own.type is str)
    assert own.allows(own.default)


@pytest.mark.parametrize(("architecture", "name"), NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, False, "soon", None, np.nan, 1j])
def test_non_finite_numbers_are_refused(architecture, name, value):
    expected = f"{name} of {architecture}: got .*, expected a finite number"
    with pytest.raises(ValueError, match=expected):
        make_cell(architecture, 3, 4, **{name: value})


@pytest.mark.parametrize(("architecture", "name"), TEXTS)
@pytest.mark.parametrize("value", ["tahn", "", "Tanh", 1.0, True, None])
def test_unknown_choices_are_refused(architecture, name, value):
    choices = ", ".join(hyperparameters(architecture)[name].choices)
    with pytest.raises(ValueError, match=f"{name} of {architecture}: got {value!r}, expected one of {choices}"):
        make_cell(architecture, 3, 4, **{name: value})


@pytest.mark.parametrize(
    ("architecture", "values", "message"),
    [
        ("cornn", {"dt": -1}, "dt of cornn: got -1, expected a finite number above 0"),
        ("cornn", {"epsilon": -0.1}, "epsilon of cornn: got -0.1, expected a finite number, 0 or above"),
        ("lem", {"dt": 0}, "dt of lem: got 0, expected a finite number above 0"),
        ("lipschitz", {"beta_A": 1.1}, "beta_A of lipschitz: got 1.1, expected a finite number from 0 to 1"),
        ("noisy", {"dt": 0.0}, "dt of noisy: got 0.0, expected a finite number above 0"),
        ("rank_one", {"density": 1.5}, "density of rank_one: got 1.5, expected a finite number above 0 and at most 1"),
    ],
)
def test_numbers_out_of_range_are_refused(architecture, values, message):
    with pytest.raises(ValueError) as error:
        make_cell(architecture, 3, 4, **values)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("architecture", "values"),
    [
        ("lipschitz", {"beta_A": 0, "beta_W": 1, "gamma_A": 0}),
        ("rank_one", {"dt": 1, "density": 1}),
        ("asrnn", {"gamma": 0, "eps": 1}),
        ("cornn", {"dt": np.float32(0.1)}),
        ("rnn", {"nonlinearity": np.str_("relu")}),
    ],
)
def test_the_ends_of_a_range_are_allowed_and_integers_are_accepted_as_floats(architecture, values):
    cell = make_cell(architecture, 3, 4, **values)
    assert {name: getattr(cell, name) for name in values} == values


@pytest.mark.parametrize(
    ("value", "allowed"), [(1, True), (np.int64(7), True), (0, False), (2.0, False), (True, False), (math.nan, False)]
)
def test_an_integer_hyperparameter_refuses_floats(value, allowed):
    own = Hyperparameter("n_branches", 2, "Branches.", "1", "a test", above=0)
    assert own.allows(value) is allowed
    assert own.expected == "an integer above 0"


@pytest.mark.parametrize("size", [0, -1, 2.0, True, math.nan, "4"])
@pytest.mark.parametrize("name", ["input_size", "hidden_size"])
def test_sizes_are_integers_above_0(name, size):
    with pytest.raises(ValueError, match=rf"{name} of lstm: got {size!r}, expected an integer above 0"):
        make_cell("lstm", **({"input_size": 3, "hidden_size": 4} | {name: size}))


def test_a_subclass_inherits_hyperparameters_and_can_have_its_own_defaults():
    parent, child = hyperparameters("lipschitz"), hyperparameters("noisy")
    assert list(child)[: len(parent)] == list(parent)
    assert child["beta_A"] == parent["beta_A"]
    assert child["dt"].default != parent["dt"].default


def test_a_plain_field_is_refused():
    @dataclass(frozen=True)
    class Plain(cell_class("rnn")):
        leak: float = 0.1

    with pytest.raises(TypeError, match=r"Plain\.leak: got a plain field, expected `hyperparameter\(\.\.\.\)`"):
        Plain(3, 4)


def test_a_declaration_is_a_field_with_a_default():
    @dataclass
    class Own:
        rate: float = hyperparameter(0.5, "Rate.", "a test", unit="1/s", minimum=0.25)

    assert Own().rate == 0.5
    assert declared(Own) == {"rate": Hyperparameter("rate", 0.5, "Rate.", "1/s", "a test", minimum=0.25)}
    assert declared(Own)["rate"].expected == "a finite number, 0.25 or above"


def test_hyperparameters_are_the_fields_of_the_cell_except_its_sizes():
    for architecture in CELLS:
        names = [field.name for field in fields(cell_class(architecture))]
        assert names == ["input_size", "hidden_size", *hyperparameters(architecture)]


def test_all_cells_state_their_hyperparameters_without_pytorch():
    """The workflow reads the hyperparameters at every start, and PyTorch takes seconds to load."""
    program = (
        "import sys; from lyapunov_pkg.cells import CELLS, hyperparameters; [hyperparameters(name) for name in CELLS]; "
        "sys.exit(', '.join({'torch', 'numba', 'xarray'} & sys.modules.keys()) or None)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_class_of_an_entry_has_the_same_name(monkeypatch):
    monkeypatch.setattr(cell_class("gru"), "name", "gated")
    with pytest.raises(TypeError, match=r"GRU\.name: got 'gated', expected 'gru' as in its entry"):
        cell_class("gru")


@pytest.mark.parametrize("architecture", CELLS)
def test_an_entry_must_name_a_cell_class(architecture):
    assert issubclass(cell_class(architecture), Cell)
