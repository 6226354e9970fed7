from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import norm, ttest_rel

from lyapunov_pkg.gradients.input_flips import descending, flip, flip_statistics, holm, input_gradients
from tests.gradients.networks import loss_at, tanh_network, task


def test_flips_are_those_of_algorithm_3():
    inputs = torch.tensor([[0.0, 0.25, 1.0, 0.0], [0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)[..., None]
    places = torch.tensor([[[0, 1], [0, 3]], [[2, 3], [1, 2]]])
    expected = [[[1, 0, 1, 0], [0, 0, 0, 1]], [[0, 0.25, 0, 1], [0.5, 1, 1, 0]]]
    assert flip(inputs, places)[..., 0].tolist() == expected
    assert inputs[0, 0, 0] == 0  # the images themselves stay


def test_order_is_descending_with_ties_at_random():
    scores = torch.tensor([[0.0, 2, 0, 1, 0, 0]]).repeat(200, 1)
    order = descending(scores, torch.Generator().manual_seed(0))
    assert (order[:, 0] == 1).all() and (order[:, 1] == 3).all()
    assert (order.sort().values == torch.arange(6)).all()
    third = order[:, 2].bincount(minlength=6)
    assert (third[[0, 2, 4, 5]] > 30).all()


def test_input_gradients_are_those_of_repeated_steps():
    network = tanh_network(1, input_size=1)
    inputs, labels, _ = task(network)
    start = network.initial_state(1)
    for sequence, found in enumerate(input_gradients(network, inputs, labels)):
        own = inputs[sequence, None].clone().requires_grad_()
        loss = loss_at(network, own, labels[sequence, None], start, inputs.shape[1])
        torch.testing.assert_close(found, torch.autograd.grad(loss, own)[0][0, :, 0], rtol=0, atol=1e-12)


def example(excess: float, between: float, n_images: int = 15, n_draws: int = 50) -> tuple[xr.DataArray, xr.DataArray]:
    """Rises of the loss by ranked and by random flips: `between` is how images differ, the noise of a flip is 1."""
    rng = np.random.default_rng(3)
    of_image = between * rng.standard_normal((2, n_images))
    ranked = of_image[:, None] + excess + rng.standard_normal((2, 3, n_images))
    random = of_image[..., None] + rng.standard_normal((2, n_images, n_draws))
    return (
        xr.DataArray(ranked, dims=("n_flips", "ranking", "image")),
        xr.DataArray(random, dims=("n_flips", "image", "draw")),
    )


def test_statistics_are_those_of_scipy_and_of_the_definitions():
    ranked, random = example(0.5, 1.0)
    found = flip_statistics(ranked, random)
    for flips in range(2):
        for ranking in range(3):
            ours, theirs = ranked.values[flips, ranking], random.values[flips]
            of = found.isel(n_flips=flips, ranking=ranking)
            assert of["p_paired"] == pytest.approx(ttest_rel(ours, theirs.mean(1), alternative="greater").pvalue)
            difference = ours - theirs.mean(1)
            assert of["mean_excess"] == pytest.approx(ours.mean() - theirs.mean())
            assert of["effect_size"] == pytest.approx(difference.mean() / difference.std(ddof=1))
            # 763 degrees of freedom: as good as normal.
            assert of["p_pooled"] == pytest.approx(norm.sf(of["mean_excess"] / of["standard_error"]), rel=0.05)


def test_paired_test_sees_what_differences_between_images_hide():
    found = flip_statistics(*example(1.0, 6.0))
    assert (found["p_paired"] < 0.05).all()
    assert (found["p_pooled"] > 0.1).all()


def test_printed_p_values_are_those_of_a_pooled_test_with_the_printed_variance_as_standard_error():
    """Table 4.1 of the dissertation (docs/differences.md)."""
    printed = {
        1: (-0.028, 0.009, 0.998),
        20: (0.313, 0.341, 0.179),
        75: (0.814, 0.475, 0.043),
        100: (1.05, 0.53, 0.024),
    }
    for difference, variance, p in printed.values():
        assert norm.sf(difference / variance) == pytest.approx(p, abs=0.002)


def test_holm_corrects_for_the_number_of_tests():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.6])), [1.0, 1.0])
