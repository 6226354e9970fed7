from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lyapunov_pkg.reproduction.training.design import derived_seed
from lyapunov_pkg.reproduction.training.variants import Variant, design_variants, variant_coordinates

SETTINGS = {"architecture": "lstm", "hidden_size": 16, "init_param": {"uniform": [0.1, 3.0]}, "learning_rate": 0.01}


def design(indices: range | list[int], seed: int = 1, group: str = "lstm", **settings: Any) -> list[Variant]:
    return design_variants("smnist", group, SETTINGS | settings, indices, seed)


def test_a_variant_does_not_depend_on_the_other_variants() -> None:
    assert design(range(5))[3] == design([3])[0]


def test_groups_and_seeds_give_different_draws() -> None:
    assert len({v.seed for s in (1, 2) for group in ("lstm", "lstm_64") for v in design(range(10), s, group)}) == 40


def test_draws_cover_their_range_and_are_independent() -> None:
    random = {"learning_rate": {"log_uniform": [1e-4, 1e-2]}, "dropout": {"uniform": [0.0, 0.5]}}
    variants = design(range(400), **random)
    drawn = np.array([[v.init_param, np.log10(v.learning_rate), v.dropout] for v in variants]).T
    low, width = np.array([[0.1], [-4], [0]]), np.array([[2.9], [2], [0.5]])
    quantiles = (drawn - low) / width
    assert (quantiles >= 0).all() and (quantiles <= 1).all()
    np.testing.assert_allclose(np.quantile(quantiles, [0.25, 0.5, 0.75], axis=1).T, [[0.25, 0.5, 0.75]] * 3, atol=0.08)
    assert np.abs(np.corrcoef(drawn) - np.eye(3)).max() < 0.15


def test_a_draw_does_not_depend_on_other_random_hyperparameters() -> None:
    alone, beside = design(range(5)), design(range(5), dropout={"uniform": [0.1, 0.2]})
    assert [v.init_param for v in alone] == [v.init_param for v in beside]


def test_each_draw_uses_one_combination_of_the_grids_in_turn() -> None:
    grids = {"learning_rate": {"grid": [0.1, 0.2]}, "dropout": {"grid": [0.0, 0.3, 0.5]}}
    variants = design(range(12), **grids)
    combinations = [(rate, dropout) for rate in (0.1, 0.2) for dropout in (0.0, 0.3, 0.5)]
    assert [(v.learning_rate, v.dropout) for v in variants] == combinations * 2
    assert len({v.init_param for v in variants}) == 12
    assert variants[:7] == design(range(7), **grids)


def test_random_streams_of_a_variant_differ_and_are_repeatable() -> None:
    variant = design([0])[0]
    draws = [
        torch.rand(3, generator=variant.generator(*purpose)) for purpose in (("order", 1), ("order", 2), ("noise", 1))
    ]
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], torch.rand(3, generator=variant.generator("order", 1)))


def test_derived_seeds_fit_a_signed_integer_of_64_bits() -> None:
    assert all(0 <= derived_seed("part", i) < 2**63 for i in range(100))


def test_coordinates_contain_the_design() -> None:
    variants = design([4, 7], architecture="asrnn", eps=0.1, dropout=0.2)
    coords = variant_coordinates(variants)
    assert coords["variant"].values.tolist() == [4, 7]
    assert coords["seed"].values.tolist() == [variant.seed for variant in variants]
    for name, value in {"architecture": "asrnn", "hidden_size": 16, "n_layers": 1, "dropout": 0.2, "eps": 0.1}.items():
        assert coords[name].values.tolist() == [value, value]


@pytest.mark.parametrize(
    ("settings", "indices", "message"),
    [
        ({"init_param": {"uniform": [3.0, 0.1]}}, [0], r"init_param of group lstm is .*; expected .*lowest <= highest"),
        ({"learning_rate": 0}, [0], "learning_rate of group lstm is 0; expected a number above 0"),
        ({"dropout": {"grid": [0.5, 1.0]}}, [0], "expected each value to be a number from 0"),
        ({}, [-1], "expected none below 0"),
    ],
)
def test_impossible_designs_are_refused(settings: dict[str, Any], indices: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design(indices, **settings)
