"""The structure of Jacobians, in the caller's form and in the form of the kernels.

The caller does not form Jacobians. It lists blocks. Each is a sum of products of the network's weights with slopes,
which change from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.linalg.layout import Layout, Shape, spaced
from lyapunov_pkg.linalg.vectors import lanes_of

Terms = tuple[tuple[tuple[int, ...], Tensor | None], ...]
"""For each term, the slots of its slopes (one or two), and its weight W (variant, size, size) or None."""


@dataclass(frozen=True)
class Block:
    """One block of a Jacobian: the sum over its terms of diag(slopes) W, or of diag(slopes) if W is None.

    The slopes of a term are those of one slot, or the product of those of two slots.

    Attributes:
        target: block of rows of the tangent vectors to which it contributes.
        source: block of rows to which it is applied.
        after: whether the source is taken after this step (an upper layer's input, or z for LEM's y). Such a source
            must be the target of an earlier block.
        terms: the slots of the slopes, and W (variant, size, size) or None.
    """

    target: int
    source: int
    after: bool
    terms: Terms


class Plan(NamedTuple):
    """The Jacobians in the form of the kernels."""

    shape: Shape
    """Shape of one trajectory's tangent vectors."""
    blocks: NDArray
    """(block,) records of `BLOCK`, in the order of their application."""
    slots: NDArray
    """(term, 2): the slots of each term's slopes. The second is -1 if there is only one."""
    weights: NDArray
    """The weights of all blocks, concatenated."""
    row_stride: int
    """Distance between the rows of a block of a group's Jacobians, in numbers."""


BLOCK = np.dtype(
    [
        ("target", np.int64),
        ("source", np.int64),
        ("after", np.int64),
        ("adds", np.int64),  # whether to add to the result of earlier blocks in the target
        ("first_slot", np.int64),
        ("n_weights", np.int64),  # number of terms with a weight, which come first
        ("n_slots", np.int64),  # terms
        ("weight_at", np.int64),  # beginning of the block's weights
    ],
    align=True,
)


def make_plan(blocks: Sequence[Block], layout: Layout, n_variants: int, dtype: np.dtype) -> Plan:
    """Return the plan of blocks for the kernels of a layout, for networks with `n_variants` different weights."""
    records: list[tuple[int, ...]] = []
    slots: list[tuple[int, ...]] = []
    weights = [np.zeros(0, dtype)]
    weight_at = 0
    reached: set[int] = set()
    for block in blocks:
        matrices = [(pair, weight) for pair, weight in block.terms if weight is not None]
        direct = [pair for pair, weight in block.terms if weight is None]
        adds = block.target in reached
        sizes = len(slots), len(matrices), len(block.terms), weight_at
        records.append((block.target, block.source, block.after, adds, *sizes))
        reached.add(block.target)
        slots += [pair for pair, _ in matrices] + direct
        if matrices:
            weights.append(_laid_out([weight for _, weight in matrices], layout, n_variants, dtype))
            weight_at += weights[-1].size
    pairs = [pair if len(pair) == 2 else (*pair, -1) for pair in slots]
    row_stride = spaced(layout.shape.padded_block_rows) * layout.lanes
    return Plan(
        layout.shape,
        np.array(records, BLOCK),
        np.array(pairs, np.int64),
        np.concatenate(weights),
        row_stride,
    )


def _laid_out(weights: Sequence[Tensor], layout: Layout, n_variants: int, dtype: np.dtype) -> NDArray:
    """Return the weights of one block in the order of the kernels' reads.

    In groups: (variant, row, column, term). One by one: (variant, vector of rows, column, term, row).
    """
    size = layout.shape.padded_block_rows
    padded = np.zeros((len(weights), n_variants, size, size), dtype)
    for term, weight in enumerate(weights):
        padded[term, :, : weight.shape[-2], : weight.shape[-1]] = weight.detach().expand(n_variants, -1, -1).numpy()
    if layout.lanes > 1:
        return padded.transpose((1, 2, 3, 0)).ravel()
    width = lanes_of(dtype.itemsize)
    return padded.reshape(*padded.shape[:2], -1, width, size).transpose((1, 2, 4, 0, 3)).ravel()
