"""Shards: the parts of a group of variants that are computed in one job."""

from __future__ import annotations

import math


def number_of_shards(n_variants: int, size: int) -> int:
    """Return the number of shards for `n_variants` variants, with at most `size` variants each.

    >>> number_of_shards(10, 4)
    3
    """
    return math.ceil(n_variants / size)


def indices_of_shard(shard: int, size: int, n_variants: int) -> list[int]:
    """Return the indices of the variants in one shard. The last shard can be smaller than `size`.

    >>> indices_of_shard(2, 4, 10)
    [8, 9]
    """
    return list(range(shard * size, min((shard + 1) * size, n_variants)))
