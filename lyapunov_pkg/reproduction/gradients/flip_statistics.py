"""Tests whether flips of ranked pixels increase the loss more than random flips (dissertation, table 4.1)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, ttest_ind

from lyapunov_pkg.labels import Label

DESCRIPTIONS = {
    "mean_excess": Label(
        "nat", "mean loss with ranked pixels flipped minus that with random ones, first images and best network"
    ),
    "standard_error": Label("nat", "standard error of that difference, all flipped images taken as independent"),
    "p_pooled": Label(
        "1", "one-sided t-test of two samples of equal variance, all flipped images taken as independent"
    ),
    "comparison": Label(
        "1", "random pixels, pixels ranked in other images, or random pixels with both choices among later steps"
    ),
    "excess": Label("nat", "mean loss with ranked pixels flipped minus that with those that they are compared with"),
    "excess_error": Label("nat", "standard error of excess over images"),
    "excess_std": Label("nat", "standard deviation of excess over networks"),
    "p_paired": Label("1", "one-sided t-test over images of that difference, mean over networks"),
    "p_holm": Label("1", "p_paired corrected for the numbers of flips that are tested (Holm)"),
    "effect_size": Label("1", "mean over standard deviation of the differences that p_paired tests (Cohen's d)"),
}


def pooled_statistics(ranked: xr.DataArray, random: xr.DataArray) -> xr.Dataset:
    """Return the dissertation's test of whether ranked flips increase the loss more than random flips.

    All flipped images are treated as independent: Student's t-test of, e.g., 15 against 750 numbers. In fact, groups of
    random flips belong to one image, and the same images were flipped by rank. `paired_statistics` takes this into
    account.

    Args:
        ranked: increase of the loss by flips, (n_flips, ranking, image).
        random: the same for random flips, (n_flips, image, draw).

    Returns:
        Dataset of `mean_excess`, `standard_error` and `p_pooled` over (n_flips, ranking). The test is one-sided.
    """
    found = xr.apply_ufunc(
        lambda ours, theirs: np.array(_pooled(ours, theirs)),
        ranked,
        random.stack(each=("image", "draw")),
        input_core_dims=[["image"], ["each"]],
        output_core_dims=[["value"]],
        exclude_dims={"image", "each"},
        vectorize=True,
    )
    excess = ranked.mean("image") - random.mean(["image", "draw"])
    return xr.Dataset({"mean_excess": excess, "standard_error": found[..., 0], "p_pooled": found[..., 1]})


def paired_statistics(differences: xr.DataArray) -> xr.Dataset:
    """Return tests of whether ranked flips increase the loss more than other flips of the same images.

    Networks are averaged first, because they see the same images. `p_holm` corrects `p_paired`, for each ranking and
    comparison, for the number of tests (Holm 1979).

    Args:
        differences: loss by ranked flips minus mean loss by others, (variant, n_flips, ..., image).

    Returns:
        Dataset over (n_flips, ...). All tests are one-sided. NaN if the differences are constant or missing.
    """
    by_network = differences.mean("image")
    of_images = differences.mean("variant")
    p_paired = xr.apply_ufunc(
        lambda each: ttest_1samp(each, 0, alternative="greater").pvalue,
        of_images,
        input_core_dims=[["image"]],
        vectorize=True,
    )
    return xr.Dataset(
        {
            "excess": of_images.mean("image"),
            "excess_error": of_images.std("image", ddof=1) / np.sqrt(of_images.sizes["image"]),
            "excess_std": by_network.std("variant", ddof=1 if differences.sizes["variant"] > 1 else 0),
            "p_paired": p_paired,
            "p_holm": xr.apply_ufunc(
                holm, p_paired, input_core_dims=[["n_flips"]], output_core_dims=[["n_flips"]], vectorize=True
            ),
            "effect_size": of_images.mean("image") / of_images.std("image", ddof=1),
        }
    )


def _pooled(ours: NDArray, theirs: NDArray) -> tuple[float, float]:
    """Return the standard error of the difference of two means, and the one-sided p of Student's test."""
    freedoms = np.array([len(ours) - 1, len(theirs) - 1])
    variance = np.average([ours.var(ddof=1), theirs.var(ddof=1)], weights=freedoms)
    standard_error = np.sqrt(variance * (1 / len(ours) + 1 / len(theirs)))
    return standard_error, ttest_ind(ours, theirs, alternative="greater").pvalue


def holm(p_values: NDArray) -> NDArray:
    """Return p values (n,) corrected for n tests, dependent or not (Holm 1979). NaN is not a test, and is kept."""
    corrected = np.full_like(p_values, np.nan)
    (tested,) = np.nonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested])]
    stepwise = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.minimum(stepwise, 1)
    return corrected
