from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.splits import networks_in, split_networks


def test_networks_are_split_with_the_correct_counts() -> None:
    partition = split_networks(100, (0.2, 0.2, 0.6), seeds=[1, 2])
    for of_seed in partition:
        assert [np.count_nonzero(of_seed == part) for part in ("train", "validation", "test")] == [20, 20, 60]
    assert (partition[0] != partition[1]).any()
    np.testing.assert_array_equal(partition, split_networks(100, (0.2, 0.2, 0.6), seeds=[1, 2]))


@pytest.mark.parametrize(("n", "fractions"), [(100, (0.5, 0.5, 0.5)), (3, (0.1, 0.1, 0.8))])
def test_impossible_splits_are_refused(n: int, fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        split_networks(n, fractions, seeds=[1])


def test_networks_of_a_set_are_found_by_position() -> None:
    partition = np.array([["train", "test", "train"], ["test", "train", "train"]])
    assert networks_in(partition, "train").tolist() == [[0, 2], [1, 2]]
