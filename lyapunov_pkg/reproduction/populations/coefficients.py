"""Pearson's and Spearman's correlation of two quantities, with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, norm, pearsonr, rankdata

CONFIDENCE = 0.95
FEWEST = 4  # pairs; the interval of Pearson's coefficient needs them


class Correlation(NamedTuple):
    """Correlation coefficients with the ends of their confidence intervals, and the number of pairs."""

    pearson: float
    pearson_low: float
    pearson_high: float
    spearman: float
    spearman_low: float
    spearman_high: float
    n_used: int


def correlation(x: ArrayLike, y: ArrayLike, n_resamples: int, seed: int) -> Correlation:
    """Return Pearson's and Spearman's correlation of two quantities, with 95% confidence intervals.

    The interval of Pearson's coefficient is from Fisher's transformation. That of Spearman's is from percentiles of the
    bootstrap over networks. A resample with a constant quantity counts as uncorrelated.

    Args:
        x: (n,).
        y: (n,). Pairs with a value that is not finite are excluded.
        n_resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Returns:
        The coefficients. They are NaN if fewer than four pairs remain or one of the quantities is constant.
    """
    both = np.stack((np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)))
    first, second = both[:, np.isfinite(both).all(axis=0)]
    n_used = len(first)
    if n_used < FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return Correlation(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, n_used)
    pearson = pearsonr(first, second)
    spearman = bootstrap(
        (first, second),
        spearman_coefficient,
        paired=True,
        n_resamples=n_resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    pearson_low, pearson_high = pearson.confidence_interval(CONFIDENCE)
    spearman_low, spearman_high = spearman.confidence_interval
    coefficient = float(spearman_coefficient(first, second))
    return Correlation(pearson.statistic, pearson_low, pearson_high, coefficient, spearman_low, spearman_high, n_used)


class PartialCorrelation(NamedTuple):
    """Partial correlation coefficients with the ends of their confidence intervals."""

    partial_pearson: float
    partial_pearson_low: float
    partial_pearson_high: float
    partial_spearman: float
    partial_spearman_low: float
    partial_spearman_high: float


def partial_correlation(
    x: ArrayLike, y: ArrayLike, given: Sequence[ArrayLike], n_resamples: int, seed: int
) -> PartialCorrelation:
    """Return Pearson's and Spearman's partial correlation of two quantities, given others (linearly).

    Intervals are those of `correlation`. Fisher's interval has one degree of freedom less for each given quantity.

    Args:
        x: (n,).
        y: (n,). Rows with a value that is not finite are excluded.
        given: quantities (n,) to control for; Spearman's coefficient uses their ranks.
        n_resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Returns:
        The coefficients. They are NaN if `given` is empty, a quantity is constant, or too few rows remain.
    """
    rows = np.stack([np.asarray(values, dtype=np.float64) for values in (x, y, *given)])
    rows = rows[:, np.isfinite(rows).all(axis=0)]
    degrees = rows.shape[1] - 3 - len(given)
    if not given or degrees < 1 or (np.ptp(rows, axis=1) == 0).any():
        return PartialCorrelation(*[np.nan] * 6)
    pearson = float(partial_coefficient(rows))
    bounded = np.clip(pearson, -1 + 1e-15, 1 - 1e-15)
    low, high = np.tanh(np.arctanh(bounded) + np.array([-1, 1]) * norm.ppf((1 + CONFIDENCE) / 2) / np.sqrt(degrees))
    n = rows.shape[1]
    resamples = rows[:, np.random.default_rng(seed).integers(0, n, (n_resamples, n))].swapaxes(0, 1)
    tail = 50 * (1 - CONFIDENCE)
    ends = np.percentile(partial_coefficient(rankdata(resamples, axis=-1)), [tail, 100 - tail])
    return PartialCorrelation(
        pearson, float(low), float(high), float(partial_coefficient(rankdata(rows, axis=-1))), *map(float, ends)
    )


def partial_coefficient(rows: NDArray) -> NDArray:
    """Return the correlation (...) of the first two quantities given the others, from (..., quantity, n).

    It follows from the inverse of the correlation matrix. It is 0 if one of the two does not vary independently.
    """
    centred = rows - rows.mean(axis=-1, keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=-1, keepdims=True))
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    inverse = np.linalg.pinv(unit @ unit.swapaxes(-1, -2), hermitian=True)
    product = inverse[..., 0, 0] * inverse[..., 1, 1]
    scale = np.sqrt(np.maximum(product, 0))
    result: NDArray = np.divide(-inverse[..., 0, 1], scale, out=np.zeros_like(scale), where=scale > 0)
    return np.clip(result, -1, 1)


def spearman_coefficient(x: NDArray, y: NDArray, axis: int = -1) -> NDArray:
    """Return Spearman's rank correlation (...) of x and y (..., n) along the last axis; 0 if one is constant."""
    ranks = [rankdata(values, axis=axis) for values in (x, y)]
    first, second = (rank - rank.mean(axis=axis, keepdims=True) for rank in ranks)
    norm = np.sqrt((first**2).sum(axis=axis) * (second**2).sum(axis=axis))
    return np.divide((first * second).sum(axis=axis), norm, out=np.zeros_like(norm), where=norm > 0)


def difference_of_spearman(
    pair: tuple[NDArray, NDArray], reference: tuple[NDArray, NDArray], n_resamples: int, seed: int
) -> tuple[float, float, float]:
    """Return Spearman's coefficient of a pair of quantities minus that of another pair, for the same networks.

    The 95% confidence interval is from percentiles of the bootstrap over networks.

    Args:
        pair: two quantities, each (n,).
        reference: two more quantities. Networks are excluded if one of the four values is not finite.
        n_resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Returns:
        The difference with the ends of its interval. All are NaN with fewer than four networks.
    """
    quantities = np.stack([*pair, *reference]).astype(np.float64)
    quantities = quantities[:, np.isfinite(quantities).all(axis=0)]
    if quantities.shape[1] < FEWEST:
        return np.nan, np.nan, np.nan

    def difference(values: NDArray) -> NDArray:
        result: NDArray = spearman_coefficient(values[0], values[1]) - spearman_coefficient(values[2], values[3])
        return result

    n = quantities.shape[1]
    resamples = np.random.default_rng(seed).integers(0, n, (n_resamples, n))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(difference(quantities[:, resamples]), [tail, 100 - tail])
    return float(difference(quantities)), float(low), float(high)
