"""Differences between two predictors over overlapping splits, with confidence intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

CONFIDENCE = 0.95


class Difference(NamedTuple):
    """A mean over splits with the ends of its 95% interval, each an array or a number."""

    mean: NDArray
    low: NDArray
    high: NDArray


def over_splits(differences: NDArray, test_to_train: float) -> Difference:
    """Return the mean over splits of differences (split, ...), with the 95% interval of the t distribution.

    The variance is corrected for overlapping splits (Nadeau & Bengio 2003). If a split has no difference (NaN), mean
    and ends are NaN. If there is only one split, the ends are NaN.

    >>> mean, low, high = over_splits(np.array([0.1, 0.2, 0.3]), test_to_train=0.5)
    >>> print(f"{mean:.2f} [{low:.2f}, {high:.2f}]")
    0.20 [-0.19, 0.59]

    Args:
        differences: differences of the scores of two predictors on the same test part.
        test_to_train: number of networks of the test part divided by that of the training part.
    """
    differences = np.asarray(differences, dtype=np.float64)
    n_splits, mean = len(differences), differences.mean(axis=0)
    if n_splits < 2:
        return Difference(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    deviation = np.sqrt((1 / n_splits + test_to_train) * differences.var(axis=0, ddof=1))
    reach = student_t.ppf((1 + CONFIDENCE) / 2, n_splits - 1) * deviation
    return Difference(mean, mean - reach, mean + reach)
