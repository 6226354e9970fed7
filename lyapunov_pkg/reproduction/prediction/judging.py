"""Classifiers of low and high final error, fitted on the training part of a split and scored on its test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.labels import Label
from lyapunov_pkg.reproduction.prediction.classifiers import (
    Scores,
    Threshold,
    fitted_classifiers,
    has_both_classes,
    scores,
)
from lyapunov_pkg.reproduction.prediction.embedding import on_training_part
from lyapunov_pkg.reproduction.prediction.networks import hyperparameters
from lyapunov_pkg.reproduction.splits import Partition

ThresholdChoice = Callable[[NDArray, NDArray[np.bool_]], Threshold]

DESCRIPTIONS = {
    "classifier": Label("1", "classifier of low error"),
    "threshold": Label("1", "decision boundary, in the units of what is classified; NaN for classifiers without one"),
    "low_is_above": Label("1", "whether low error is predicted above the threshold"),
    "recall": Label("1", "recall of low error on the test part"),
    "precision": Label("1", "precision of low error on the test part"),
    "f1": Label("1", "F1 of low error on the test part"),
}


class Verdict(NamedTuple):
    """A classifier on one split: its threshold, if it has one, and its scores on the test part by epoch, (epoch, 3)."""

    threshold: Threshold
    scores: NDArray


NO_THRESHOLD = Threshold(np.nan, False)


def judge_classifiers(
    networks: xr.Dataset,
    partition: Partition,
    aelle: NDArray,
    spectrum: NDArray,
    choose: ThresholdChoice,
    seed: int,
) -> dict[str, Verdict]:
    """Fit every classifier on one seed's training part and score it on its test part.

    Thresholds, chosen by `choose`, are on PC1 of `aelle` and of `spectrum` (network, epoch, component), and on the
    mean and the largest exponent.
    """
    features = {
        "aelle": aelle[..., 0],
        "lyapunov_mean": networks["lyapunov_mean"].values,
        "lyapunov_max": networks["lyapunov_max"].values,
        "spectrum_pca": spectrum[..., 0],
    }
    return judge_thresholds(networks, partition, features, choose) | judge_fitted_classifiers(networks, partition, seed)


def judge_thresholds(
    networks: xr.Dataset,
    partition: Partition,
    features: Mapping[str, NDArray],
    choose: ThresholdChoice,
) -> dict[str, Verdict]:
    """Choose a threshold on each feature (network, epoch) by one seed's training part, and score it on its test part.

    A training part of a single class gives no threshold, and NaN scores.
    """
    verdicts = {}
    for name, values in features.items():
        samples, _, is_low = on_training_part(networks, partition, values)
        if has_both_classes(is_low):
            threshold = choose(samples, is_low)
            verdicts[name] = Verdict(threshold, score_epochs(networks, partition, threshold.predict_low(values)))
        else:
            verdicts[name] = Verdict(NO_THRESHOLD, np.full((networks.sizes["epoch"], 3), np.nan))
    return verdicts


def judge_fitted_classifiers(networks: xr.Dataset, partition: Partition, seed: int) -> dict[str, Verdict]:
    """Fit the scikit-learn classifiers on one seed's training part and score them on its test part."""
    exponents = networks["lyapunov_exponent"].values
    features = {
        "spectrum": exponents,
        "max_mean": np.stack((networks["lyapunov_max"].values, networks["lyapunov_mean"].values), axis=-1),
        "hyperparameters": np.repeat(hyperparameters(networks)[:, None], networks.sizes["epoch"], axis=1),
    }
    verdicts = {}
    for name, (feature, classifier) in fitted_classifiers(seed).items():
        values = features[feature]
        samples, _, is_low = on_training_part(networks, partition, values)
        by_epoch = np.full((networks.sizes["epoch"], 3), np.nan)
        if has_both_classes(is_low):
            predicted = classifier.fit(samples, is_low).predict(values.reshape(-1, values.shape[-1]))
            by_epoch = score_epochs(networks, partition, predicted.reshape(values.shape[:2]))
        verdicts[name] = Verdict(NO_THRESHOLD, by_epoch)
    return verdicts


def score_epochs(networks: xr.Dataset, partition: Partition, predicted_low: NDArray) -> NDArray:
    """Score predictions (network, epoch) on one seed's test part, epoch by epoch: (epoch, 3), recall, precision and
    F1."""
    test = partition == "test"
    is_low = networks["low_error"].values[test]
    return np.array([scores(predicted, is_low) for predicted in predicted_low[test].T])


def verdict_variables(verdicts: Sequence[Mapping[str, Verdict]], by_epoch: bool) -> dict[str, Any]:
    """Return the variables threshold, low_is_above (seed, classifier), recall, precision and f1, and the coordinate
    classifier.

    Scores are (seed, classifier, epoch), or (seed, classifier) of the only epoch.
    """
    names = list(verdicts[0])
    stacked = np.array([[of_seed[name].scores for name in names] for of_seed in verdicts])
    dims = ("seed", "classifier", "epoch") if by_epoch else ("seed", "classifier")
    thresholds = [[of_seed[name].threshold for name in names] for of_seed in verdicts]
    variables: dict[str, Any] = {
        "classifier": ("classifier", names),
        "threshold": (dims[:2], np.array([[each.value for each in of_seed] for of_seed in thresholds])),
        "low_is_above": (dims[:2], np.array([[each.low_is_above for each in of_seed] for of_seed in thresholds])),
    }
    for column, score in enumerate(Scores._fields):
        variables[score] = (dims, stacked[..., column] if by_epoch else stacked[..., 0, column])
    return variables
