from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm, ttest_1samp, ttest_ind, ttest_rel

from lyapunov_pkg.reproduction.gradients.flip_statistics import holm, paired_statistics, pooled_statistics


def example(excess: float, between: float, n_images: int = 15, n_draws: int = 50) -> tuple[xr.DataArray, xr.DataArray]:
    """Return loss increases from ranked and from random flips.

    `between` is the standard deviation between images; that of single flips is 1.
    """
    rng = np.random.default_rng(3)
    of_image = between * rng.standard_normal((2, n_images))
    ranked = of_image[:, None] + excess + rng.standard_normal((2, 3, n_images))
    random = of_image[..., None] + rng.standard_normal((2, n_images, n_draws))
    return (
        xr.DataArray(ranked, dims=("n_flips", "ranking", "image")),
        xr.DataArray(random, dims=("n_flips", "image", "draw")),
    )


def paired(ranked: xr.DataArray, random: xr.DataArray) -> xr.Dataset:
    return paired_statistics((ranked - random.mean("draw")).expand_dims("variant"))


def test_statistics_agree_with_scipy_and_with_their_definitions():
    ranked, random = example(0.5, 3.0, n_images=4, n_draws=3)  # With few samples the degrees of freedom matter.
    found = paired(ranked, random).merge(pooled_statistics(ranked, random))
    for flips in range(2):
        for ranking in range(3):
            ours, theirs = ranked.values[flips, ranking], random.values[flips]
            of = found.isel(n_flips=flips, ranking=ranking)
            assert of["p_paired"] == pytest.approx(ttest_rel(ours, theirs.mean(1), alternative="greater").pvalue)
            difference = ours - theirs.mean(1)
            assert of["mean_excess"] == pytest.approx(ours.mean() - theirs.mean())
            assert of["excess"] == pytest.approx(of["mean_excess"].item())
            assert of["effect_size"] == pytest.approx(difference.mean() / difference.std(ddof=1))
            assert of["excess_error"] == pytest.approx(difference.std(ddof=1) / 2)
            pooled = ttest_ind(ours, theirs.ravel(), alternative="greater")
            assert of["p_pooled"] == pytest.approx(pooled.pvalue)
            assert of["standard_error"] == pytest.approx(of["mean_excess"].item() / pooled.statistic)


def test_the_paired_test_detects_effects_that_differences_between_images_hide():
    ranked, random = example(1.0, 6.0)
    assert (paired(ranked, random)["p_paired"] < 0.05).all()
    assert (pooled_statistics(ranked, random)["p_pooled"] > 0.1).all()


def test_networks_are_averaged_per_image_and_their_spread_is_returned():
    differences = xr.DataArray([[[1.0, 2.0, 4.0]], [[3.0, 2.0, 1.0]]], dims=("variant", "n_flips", "image"))
    found = paired_statistics(differences).isel(n_flips=0)
    assert found["excess"] == pytest.approx(13 / 6)
    assert found["excess_std"] == pytest.approx(np.std([7 / 3, 2], ddof=1))
    assert found["p_paired"] == pytest.approx(ttest_1samp([2, 2, 2.5], 0, alternative="greater").pvalue)


def test_printed_p_values_follow_if_the_printed_variance_is_taken_as_standard_error():
    """The numbers are those of table 4.1 of the dissertation (docs/differences.md)."""
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
    np.testing.assert_allclose(holm(np.array([0.3, np.nan, 0.2])), [0.4, np.nan, 0.4])
