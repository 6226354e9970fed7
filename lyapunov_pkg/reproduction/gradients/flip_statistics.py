"""Tests of whether flips of ranked pixels raise the loss more than random ones (dissertation, table 4.1)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import ttest_1samp, ttest_ind

from lyapunov_pkg.labels import Label

DESCRIPTIONS = {
    "mean_excess": Label("nat", "mean loss with ranked pixels flipped minus that with random ones"),
    "standard_error": Label("nat", "standard error of that difference, all flipped images taken as independent"),
    "p_pooled": Label(
        "1", "one-sided t-test of two samples of equal variance, all flipped images taken as independent"
    ),
    "p_paired": Label(
        "1", "one-sided t-test over images of the ranked loss minus the mean random loss of the same image"
    ),
    "p_holm": Label("1", "p_paired corrected for the numbers of flips that are tested (Holm)"),
    "effect_size": Label("1", "mean over standard deviation of the paired differences (Cohen's d)"),
}


def flip_statistics(ranked: xr.DataArray, random: xr.DataArray) -> xr.Dataset:
    """Test whether ranked flips raise the loss more than random ones, for every ranking and number of flips.

    The dissertation takes all flipped images as independent: `p_pooled`, Student's t-test of 15 against 750 numbers.
    But the random ones come in groups of one image, and the same images were flipped by rank: `p_paired` is a t-test of
    the differences image by image, to the mean over the image's random choices. `p_holm` corrects it, for each ranking,
    for the number of tests (Holm 1979).

    Args:
        ranked: rise of the loss by flips, (n_flips, ranking, image).
        random: the same for random flips, (n_flips, image, draw).

    Returns:
        Dataset over (n_flips, ranking); all tests are one-sided. NaN where the differences do not vary.
    """
    paired = ranked - random.mean("draw")
    everything = random.stack(each=("image", "draw"))
    pooled = xr.apply_ufunc(
        lambda ours, theirs: np.array(_pooled(ours, theirs)),
        ranked,
        everything,
        input_core_dims=[["image"], ["each"]],
        output_core_dims=[["value"]],
        exclude_dims={"image", "each"},
        vectorize=True,
    )
    p_paired = xr.apply_ufunc(
        lambda each: ttest_1samp(each, 0, alternative="greater").pvalue,
        paired,
        input_core_dims=[["image"]],
        vectorize=True,
    )
    return xr.Dataset(
        {
            "mean_excess": paired.mean("image"),
            "standard_error": pooled[..., 0],
            "p_pooled": pooled[..., 1],
            "p_paired": p_paired,
            "p_holm": xr.apply_ufunc(
                holm, p_paired, input_core_dims=[["n_flips"]], output_core_dims=[["n_flips"]], vectorize=True
            ),
            "effect_size": paired.mean("image") / paired.std("image", ddof=1),
        }
    )


def _pooled(ours: NDArray, theirs: NDArray) -> tuple[float, float]:
    """Standard error of the difference of two means, and the one-sided p of Student's test that the first is larger."""
    freedoms = np.array([len(ours) - 1, len(theirs) - 1])
    variance = np.average([ours.var(ddof=1), theirs.var(ddof=1)], weights=freedoms)
    standard_error = np.sqrt(variance * (1 / len(ours) + 1 / len(theirs)))
    return standard_error, ttest_ind(ours, theirs, alternative="greater").pvalue


def holm(p_values: NDArray) -> NDArray:
    """P values (n,) corrected for n tests (Holm 1979): valid whatever their dependence."""
    order = np.argsort(p_values)
    stepwise = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(stepwise, 1)
    return corrected
