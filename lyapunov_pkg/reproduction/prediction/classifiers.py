"""Classifiers of networks into low and high final error, and their scores.

A network is "low" if its final loss is below the median. "low" is the positive class of every score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

BOOSTING_LEAF = 3  # samples


class Scores(NamedTuple):
    """Recall, precision and F1 of the class "low", each in [0, 1]."""

    recall: float
    precision: float
    f1: float


def scores(predicted_low: np.ndarray, is_low: np.ndarray) -> Scores:
    """Return the scores of predictions (n,) for the true classes (n,), both bool.

    Precision is 0 if no sample was predicted low. All three are NaN if no sample is low.
    """
    hits, n_predicted, n_low = (int(np.count_nonzero(each)) for each in (predicted_low & is_low, predicted_low, is_low))
    if n_low == 0:
        return Scores(np.nan, np.nan, np.nan)
    return Scores(hits / n_low, hits / max(n_predicted, 1), 2 * hits / (n_predicted + n_low))


class Threshold(NamedTuple):
    """A decision boundary on one number: low error is predicted strictly above `value`, or at and below it."""

    value: float
    low_is_above: bool

    def predict_low(self, values: np.ndarray) -> np.ndarray:
        """Return whether low error is predicted, bool in the shape of `values`."""
        return (np.asarray(values) > self.value) == self.low_is_above


def best_f1_threshold(values: np.ndarray, is_low: np.ndarray) -> Threshold:
    """Return the boundary on values (n,) with the highest F1 for is_low (n,), over both directions.

    Boundaries are half way between neighbouring values. For equal F1, "low is above" and the smallest value are
    preferred. All samples may be predicted low: the boundary is then just below the smallest value, or at the largest.

    Raises:
        ValueError: values are not finite, or there is only one class.
    """
    values, is_low = _checked(values, is_low)
    order = np.argsort(values)
    ordered, low = values[order], is_low[order]
    last_of_its_value = np.append(ordered[1:] > ordered[:-1], True)
    below = np.append(0, np.cumsum(low)[last_of_its_value])  # number of low samples at and below each boundary
    n_below = np.append(0, np.flatnonzero(last_of_its_value) + 1)
    f1_above = 2 * (low.sum() - below) / (len(low) - n_below + low.sum())
    f1_below = 2 * below / (n_below + low.sum())
    low_is_above = bool(f1_above.max() >= f1_below.max())
    best = int(np.argmax(f1_above if low_is_above else f1_below))
    return Threshold(_boundary(ordered[last_of_its_value], best), low_is_above)


def _boundary(distinct: np.ndarray, n_below: int) -> float:
    """Return a number with exactly `n_below` of the ascending distinct values at or below it."""
    if n_below == 0:
        return float(np.nextafter(distinct[0], -np.inf))
    if n_below == len(distinct):
        return float(distinct[-1])
    low, high = distinct[n_below - 1], distinct[n_below]
    middle = low + (high / 2 - low / 2)
    return float(middle) if low <= middle < high else float(low)


def median_threshold(values: np.ndarray, is_low: np.ndarray) -> Threshold:
    """Return the median of values (n,) as boundary, in the direction with the higher F1 for is_low (n,).

    Raises:
        ValueError: values are not finite, or there is only one class.
    """
    values, is_low = _checked(values, is_low)
    both = [Threshold(float(np.median(values)), low_is_above) for low_is_above in (True, False)]
    return max(both, key=lambda threshold: scores(threshold.predict_low(values), is_low).f1)


def _checked(values: np.ndarray, is_low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, is_low = np.asarray(values, dtype=np.float64), np.asarray(is_low, dtype=bool)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(values))} of {values.size} values are not finite; expected none"
        )
    if not has_both_classes(is_low):
        raise ValueError(
            f"all {is_low.size} samples are {'low' if is_low.any() else 'high'} error; expected both classes"
        )
    return values, is_low


def has_both_classes(is_low: np.ndarray) -> bool:
    """Return whether is_low (n,) has low and high samples."""
    return bool(np.any(is_low) and not np.all(is_low))


@dataclass(frozen=True)
class OrthantClassifier:
    """The 2^k orthants around the medians (k,) of k components. `optimal` (2^k,) marks those predicted as low.

    An orthant is optimal if more of its training samples are low than high ("Higher Dimensions of AeLLE"). An orthant
    without training samples is not optimal. The dissertation's classes have equal size, so that an optimal orthant
    always exists. A small training part can have too few low samples for an optimal orthant. Then the orthants with the
    largest share of low samples are optimal.
    """

    medians: np.ndarray
    optimal: np.ndarray

    @classmethod
    def fit(cls, components: np.ndarray, is_low: np.ndarray, n_components: int) -> OrthantClassifier:
        """Return a classifier fitted to the first `n_components` of components (n, k) and to is_low (n,).

        Raises:
            ValueError: `n_components` is larger than the number of components.
        """
        if not 1 <= n_components <= components.shape[1]:
            raise ValueError(
                f"n_components is {n_components}; expected 1 to the {components.shape[1]} components given"
            )
        medians = np.median(components[:, :n_components], axis=0)
        orthant = _orthants(components, medians)
        n_low, n = (np.bincount(orthant, weights=each, minlength=2**n_components) for each in (is_low, None))
        share = n_low / np.maximum(n, 1)
        optimal = share > 0.5
        if not optimal.any() and share.any():
            optimal = share == share.max()
        return cls(medians, optimal)

    def predict_low(self, components: np.ndarray) -> np.ndarray:
        """Return whether components (n, at least k) are in an optimal orthant, bool (n,)."""
        return self.optimal[_orthants(components, self.medians)]


def _orthants(components: np.ndarray, medians: np.ndarray) -> np.ndarray:
    """Return the numbers of orthants: bit j is set if component j is above its median."""
    above = components[:, : len(medians)] > medians
    return above @ (1 << np.arange(len(medians)))


def fitted_classifiers(seed: int) -> dict[str, tuple[str, ClassifierMixin]]:
    """Return {name: (features, unfitted classifier)} of the scikit-learn classifiers for comparison with AeLLE.

    Features are "spectrum" (all exponents), "max_mean" (two numbers) or "hyperparameters", which contain no information
    on spectra. Boosting uses small leaves, because with scikit-learn's default of 20 samples it could not split 30
    networks.
    """
    boosting = HistGradientBoostingClassifier(min_samples_leaf=BOOSTING_LEAF, random_state=seed)
    return {
        "logistic_spectrum": ("spectrum", make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))),
        "logistic_max_mean": ("max_mean", make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))),
        "gradient_boosting_spectrum": ("spectrum", boosting),
        "random_forest_hyperparameters": ("hyperparameters", RandomForestClassifier(random_state=seed)),
    }
