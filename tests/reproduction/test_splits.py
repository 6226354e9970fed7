from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.splits import networks_in, split_networks, two_parts


def test_split_is_by_network_with_the_right_counts() -> None:
    partition = split_networks(100, (0.2, 0.2, 0.6), seeds=[1, 2])
    for of_seed in partition:
        assert [np.count_nonzero(of_seed == part) for part in ("train", "validation", "test")] == [20, 20, 60]
    assert (partition[0] != partition[1]).any()
    np.testing.assert_array_equal(partition, split_networks(100, (0.2, 0.2, 0.6), seeds=[1, 2]))


@pytest.mark.parametrize(("n", "fractions"), [(100, (0.5, 0.5, 0.5)), (3, (0.1, 0.1, 0.8))])
def test_impossible_splits_are_refused(n: int, fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        split_networks(n, fractions, seeds=[1])


def test_networks_of_a_part_are_found_by_position() -> None:
    partition = np.array([["train", "test", "train"], ["test", "train", "train"]])
    assert networks_in(partition, "train").tolist() == [[0, 2], [1, 2]]


def test_two_parts_hold_every_network_once_and_are_redrawn_by_seed() -> None:
    train, validation = two_parts(10, 0.2, seeds=[1, 2])
    assert train.shape == (2, 8) and validation.shape == (2, 2)
    np.testing.assert_array_equal(np.sort(np.concatenate((train, validation), axis=1)), [range(10)] * 2)
    assert (train[0] != train[1]).any()
    for share in (0.01, 0.99):
        with pytest.raises(ValueError, match="expected at least 1, and at least 1 left for training"):
            two_parts(10, share, seeds=[1])
