"""Evaluation of classifiers of low and high final error: fit on the training part, scores on the test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from lyapunov_pkg.labels import Label
from lyapunov_pkg.reproduction.prediction.classifiers import (
    Scores,
    Threshold,
    fitted_classifiers,
    has_both_classes,
    scores,
)
from lyapunov_pkg.reproduction.prediction.comparison import over_splits
from lyapunov_pkg.reproduction.prediction.embedding import on_part
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
    "f1_difference": Label("1", "F1 of AeLLE minus that of the classifier, mean over seeds"),
    "f1_difference_low": Label(
        "1", "lower end of the 95 % interval of the difference, corrected for overlap of splits"
    ),
    "f1_difference_high": Label(
        "1", "upper end of the 95 % interval of the difference, corrected for overlap of splits"
    ),
}


class Verdict(NamedTuple):
    """A classifier on one split: its threshold, if it has one, and its scores on the test part, (epoch, 3)."""

    threshold: Threshold
    scores: NDArray


LEARN_FROM_ALL_EPOCHS = ("logistic_spectrum", "logistic_max_mean")
NO_THRESHOLD = Threshold(np.nan, False)


def judge_classifiers(
    networks: xr.Dataset,
    partition: Partition,
    aelle: NDArray,
    spectrum: NDArray,
    choose: ThresholdChoice,
    seed: int,
    threshold_part: str = "train",
) -> dict[str, Verdict]:
    """Return the verdict on every classifier, fitted on one seed's training part and scored on its test part.

    Thresholds are on PC1 of `aelle` and of `spectrum` (network, epoch, component), and on the mean and the largest
    exponent. `choose` chooses them on the part `threshold_part`.
    """
    features = {
        "aelle": aelle[..., 0],
        "lyapunov_mean": networks["lyapunov_mean"].values,
        "lyapunov_max": networks["lyapunov_max"].values,
        "spectrum_pca": spectrum[..., 0],
    }
    by_threshold = judge_thresholds(networks, partition, features, choose, threshold_part)
    return by_threshold | judge_fitted_classifiers(networks, partition, seed)


def judge_thresholds(
    networks: xr.Dataset,
    partition: Partition,
    features: Mapping[str, NDArray],
    choose: ThresholdChoice,
    threshold_part: str = "train",
) -> dict[str, Verdict]:
    """Return the verdicts on thresholds for features (network, epoch), chosen on one part and scored on the test part.

    A part with a single class gives no threshold and NaN scores.
    """
    verdicts = {}
    for name, values in features.items():
        samples, _, is_low = on_part(networks, partition, values, threshold_part)
        if has_both_classes(is_low):
            threshold = choose(samples, is_low)
            verdicts[name] = Verdict(threshold, score_epochs(networks, partition, threshold.predict_low(values)))
        else:
            verdicts[name] = Verdict(NO_THRESHOLD, np.full((networks.sizes["epoch"], 3), np.nan))
    return verdicts


def judge_fitted_classifiers(networks: xr.Dataset, partition: Partition, seed: int) -> dict[str, Verdict]:
    """Return the verdicts on the scikit-learn classifiers, fitted on one seed's training part.

    Scores are those of the test part. Logistic regressions learn from all epochs together, as AeLLE does. Trees would
    treat the epochs of one network as different networks. They therefore learn from each network once, at the scored
    epoch.
    """
    exponents = networks["lyapunov_exponent"].values
    features = {
        "spectrum": exponents,
        "max_mean": np.stack((networks["lyapunov_max"].values, networks["lyapunov_mean"].values), axis=-1),
        "hyperparameters": hyperparameters(networks)[:, None],  # the same at every epoch
    }
    verdicts = {}
    for name, (feature, classifier) in fitted_classifiers(seed).items():
        values, n_epochs = features[feature], networks.sizes["epoch"]
        by_epoch = np.full((n_epochs, 3), np.nan)
        if has_both_classes(networks["low_error"].values[partition == "train"]):
            at_once = [values] if name in LEARN_FROM_ALL_EPOCHS else np.split(values, values.shape[1], axis=1)
            predicted = np.concatenate([_predicted(classifier, networks, partition, part) for part in at_once], axis=1)
            by_epoch = score_epochs(networks, partition, np.broadcast_to(predicted, (len(predicted), n_epochs)))
        verdicts[name] = Verdict(NO_THRESHOLD, by_epoch)
    return verdicts


def _predicted(classifier: ClassifierMixin, networks: xr.Dataset, partition: Partition, values: NDArray) -> NDArray:
    """Return the predictions (network, epoch) of a classifier from values (network, epoch, d)."""
    train = partition == "train"
    samples = values[train].reshape(-1, values.shape[-1])
    classifier.fit(samples, np.repeat(networks["low_error"].values[train], values.shape[1]))
    return np.asarray(classifier.predict(values.reshape(-1, values.shape[-1]))).reshape(values.shape[:2])


def judge_loss_by_epoch(
    networks: xr.Dataset, partition: Partition, choose: ThresholdChoice, threshold_part: str
) -> Verdict:
    """Return the verdict on thresholds of the loss, chosen separately at each epoch and scored on the test part."""
    part, loss = partition == threshold_part, networks["loss"].values
    is_low = networks["low_error"].values[part]
    if not has_both_classes(is_low):
        return Verdict(NO_THRESHOLD, np.full((networks.sizes["epoch"], 3), np.nan))
    predicted = [choose(of_epoch[part], is_low).predict_low(of_epoch) for of_epoch in loss.T]
    return Verdict(NO_THRESHOLD, score_epochs(networks, partition, np.stack(predicted, axis=1)))


def score_epochs(networks: xr.Dataset, partition: Partition, predicted_low: NDArray) -> NDArray:
    """Return recall, precision and F1, (epoch, 3), of predictions (network, epoch) on one seed's test part."""
    test = partition == "test"
    is_low = networks["low_error"].values[test]
    return np.array([scores(predicted, is_low) for predicted in predicted_low[test].T])


def verdict_variables(
    verdicts: Sequence[Mapping[str, Verdict]], partition: Partition, by_epoch: bool
) -> dict[str, Any]:
    """Return the verdicts of all seeds as variables, with the coordinate classifier.

    The variables are threshold and low_is_above (seed, classifier), recall, precision and f1, and the difference
    between AeLLE's F1 and that of each classifier, with its interval.

    Scores are (seed, classifier, epoch), or (seed, classifier) if there is only one epoch. `partition` is (seed,
    network).
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
    f1 = variables["f1"][1]
    n_test, n_train = (np.count_nonzero(partition[0] == part) for part in ("test", "train"))
    difference = over_splits(f1[:, [names.index("aelle")]] - f1, n_test / n_train)
    return variables | {
        f"f1_difference{end}": (dims[1:], values) for end, values in zip(("", "_low", "_high"), difference, strict=True)
    }
