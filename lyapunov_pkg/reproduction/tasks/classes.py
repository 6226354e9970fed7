"""Classes of samples: labels as indices, and stratified random orders."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def class_indices(labels: Mapping[str, NDArray]) -> tuple[NDArray, dict[str, NDArray[np.int64]]]:
    """Return the sorted classes, and labels as indices into them.

    Args:
        labels: {name for errors: labels of any shape}, with the training samples first.

    Raises:
        ValueError: there is only one class, or another part has a class that no training sample has.
    """
    (training, of_training), *others = labels.items()
    classes = np.unique(of_training)
    if len(classes) < 2:
        raise ValueError(f"{training}: all are of the class {classes[0]}; expected at least two classes")
    for name, values in others:
        unknown = np.setdiff1d(values, classes)
        if len(unknown):
            raise ValueError(
                f"{name}: found the class {unknown[0]}, which none of {training} has; expected classes of these: "
                + shortened(classes)
            )
    return classes, {name: np.searchsorted(classes, values) for name, values in labels.items()}


def shortened(values: NDArray, n_shown: int = 10) -> str:
    """Return the first values as text, and the number of others.

    >>> shortened(np.arange(12), n_shown=3)
    '0, 1, 2 and 9 more'
    """
    shown = ", ".join(str(value) for value in values[:n_shown])
    return shown if len(values) <= n_shown else f"{shown} and {len(values) - n_shown} more"


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a seeded random order of the samples. For every n, the first n samples are a stratified subset.

    The position of a sample follows from its random rank within its class, as a fraction of the class. Among the first
    n samples, every class therefore has its share of n, to within one.

    Args:
        labels: class of each sample, shape (n,), integer.
        seed: seed of the ranks.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = labels[order] == label
        place[of_class] = (np.arange(of_class.sum()) + 0.5) / of_class.sum()
    return order[np.argsort(place, kind="stable")]
