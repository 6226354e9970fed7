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
    """Correlation coefficients with the ends of their confidence intervals, and of how many pairs."""

    pearson: float
    pearson_low: float
    pearson_high: float
    spearman: float
    spearman_low: float
    spearman_high: float
    n_used: int


def correlation(x: ArrayLike, y: ArrayLike, n_resamples: int, seed: int) -> Correlation:
    """Pearson's and Spearman's correlation of two quantities, with 95% confidence intervals.

    That of Pearson's is by Fisher's transformation, that of Spearman's by percentiles of the bootstrap over networks. A
    resample in which one of the quantities is constant counts as uncorrelated.

    Args:
        x: (n,).
        y: (n,). Pairs that are not both finite are left out.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The coefficients, NaN where fewer than four pairs are left or one of the quantities is constant.
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
    """Pearson's and Spearman's correlation of what is left of two quantities when others are accounted for linearly.

    Intervals are those of `correlation`; Fisher's loses a degree of freedom for each quantity that is given.

    Args:
        x: (n,).
        y: (n,). Rows that are not finite are left out.
        given: quantities (n,) that are accounted for, for Spearman's coefficient by their ranks.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The coefficients, NaN where nothing is given, one of the quantities is constant, or too few rows are left.
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
    """Correlation of the first two quantities given the others, (...), of quantities (..., quantity, n).

    It is read off the inverse of the matrix of correlations; 0 where one of the two does not vary by itself.
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
    """Spearman's rank correlation of x and y (..., n) along the last axis: (...); 0 where one of them is constant."""
    ranks = [rankdata(values, axis=axis) for values in (x, y)]
    first, second = (rank - rank.mean(axis=axis, keepdims=True) for rank in ranks)
    norm = np.sqrt((first**2).sum(axis=axis) * (second**2).sum(axis=axis))
    return np.divide((first * second).sum(axis=axis), norm, out=np.zeros_like(norm), where=norm > 0)


def difference_of_spearman(
    pair: tuple[NDArray, NDArray], reference: tuple[NDArray, NDArray], n_resamples: int, seed: int
) -> tuple[float, float, float]:
    """Spearman's coefficient of a pair of quantities less that of another pair, both of the same networks.

    The 95% confidence interval is that of the bootstrap over networks, by percentiles.

    Args:
        pair: two quantities, each (n,).
        reference: two more. Networks of which any of the four is not finite are left out.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The difference with the ends of its interval; NaN with fewer than four networks.
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
