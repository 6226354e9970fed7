"""Splits of the networks of a study into parts, one split per seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Partition = NDArray[np.str_]
"""The part in `PARTS` of each network, (seed, network), or (network,) for one seed."""

PARTS = ("train", "validation", "test")


def split_networks(n_networks: int, fractions: Sequence[float], seeds: Sequence[int]) -> Partition:
    """Return the part of each network, (seed, network): "train", "validation" or "test".

    The first two parts have their rounded fraction of the networks. The last part has the rest.

    >>> split_networks(10, (0.5, 0.2, 0.3), seeds=[1])[0].tolist().count("train")
    5

    Raises:
        ValueError: `fractions` are not three positive numbers of sum 1, or a part has no network.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or not np.isclose(sum(fractions), 1):
        raise ValueError(
            f"fractions are {tuple(fractions)}; expected three positive numbers (train, validation, test) of sum 1"
        )
    n_train, n_validation = (int(fraction * n_networks + 0.5) for fraction in fractions[:2])
    counts = (n_train, n_validation, n_networks - n_train - n_validation)
    if min(counts) < 1:
        raise ValueError(
            f"{n_networks} networks split by {tuple(fractions)} into parts of {counts}; expected at least 1 in each"
        )
    parts = np.repeat(PARTS, counts)
    return np.stack([np.random.default_rng(seed).permutation(parts) for seed in seeds])


def networks_in(partition: Partition, part: str) -> NDArray[np.int_]:
    """Return the indices of the networks of a part, (seed, n), from a partition (seed, network)."""
    return np.stack([np.flatnonzero(of_seed == part) for of_seed in partition])
