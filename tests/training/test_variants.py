from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg.training.variants import derived_seed, design_variants, variant_coordinates


def design(indices: range | list[int], seed: int = 1, architecture: str = "lstm"):
    return design_variants("smnist", architecture, 16, (0.1, 3.0), indices, seed)


def test_a_variant_does_not_depend_on_who_else_is_drawn() -> None:
    assert design(range(5))[3] == design([3])[0]


def test_architectures_tasks_and_seeds_draw_apart() -> None:
    assert len({v.seed for s in (1, 2) for a in ("lstm", "gru") for v in design(range(10), s, a)}) == 40


def test_init_param_covers_its_range() -> None:
    drawn = np.array([variant.init_param for variant in design(range(400))])
    assert drawn.min() >= 0.1
    assert drawn.max() <= 3.0
    np.testing.assert_allclose(
        np.quantile(drawn, [0.25, 0.5, 0.75]), 0.1 + 2.9 * np.array([0.25, 0.5, 0.75]), atol=0.25
    )


def test_streams_of_one_variant_are_apart_and_repeatable() -> None:
    variant = design([0])[0]
    draws = [
        torch.rand(3, generator=variant.generator(*purpose)) for purpose in (("order", 1), ("order", 2), ("noise", 1))
    ]
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], torch.rand(3, generator=variant.generator("order", 1)))


def test_derived_seeds_fit_a_signed_integer_of_64_bits() -> None:
    assert all(0 <= derived_seed("part", i) < 2**63 for i in range(100))


def test_coordinates_hold_the_design() -> None:
    coords = variant_coordinates(design([4, 7]))
    assert coords["variant"].values.tolist() == [4, 7]
    assert set(coords["architecture"].values) == {"lstm"}


@pytest.mark.parametrize(("low_high", "indices"), [((3.0, 0.1), [0]), ((0.1, 3.0), [-1])])
def test_impossible_designs_are_refused(low_high: tuple[float, float], indices: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        design_variants("smnist", "lstm", 16, low_high, indices, 1)
