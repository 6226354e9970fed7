"""Layouts of matrices of tangent vectors in memory, for the CPU kernels.

Matrices are *interleaved* in groups, one in each lane of a vector register (`interleaved.py`), or stored *one by one*
(`one_by_one.py`). A *frame* is the memory of the matrices that one thread processes together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.linalg.vectors import VECTOR_BYTES, lanes_of

PANEL = 4
"""Number of columns of a group that are orthonormalised together. Columns and rows of a group are padded with zeros to
multiples of it."""

ROWS = 4
"""Number of rows of a tile of a matrix product. The columns of a matrix outside a group are padded to multiples of it.
If a panel is narrower than a tile (float64 in vectors of 16 bytes), the padding also contains the end of the last tile
after a panel."""

INTERLEAVED_ROWS = 192
"""Matrices with more rows are processed one by one, because a group of them would not fit into the cache."""


class Shape(NamedTuple):
    """Shape of one matrix in memory. Blocks of rows are padded with zero rows, and columns with zero columns."""

    n_blocks: int
    block_rows: int
    padded_block_rows: int
    n_columns: int
    padded_columns: int
    stride: int
    """Distance from one column to the next, in numbers."""


class Layout(NamedTuple):
    """Layout of many matrices: in groups, one in each lane of a vector, or one by one (`lanes` is 1)."""

    lanes: int
    shape: Shape

    @property
    def frame_size(self) -> int:
        """Return how many numbers a group, or a single matrix, has."""
        return self.shape.padded_columns * self.shape.stride

    @property
    def padded_rows(self) -> int:
        """Return the number of rows of all blocks with their padding."""
        return self.shape.n_blocks * self.shape.padded_block_rows


def choose_layout(
    n_matrices: int, n_blocks: int, block_rows: int, n_columns: int, dtype: np.dtype, n_more_blocks: int = 0
) -> Layout:
    """Return the layout of matrices that belong together.

    Args:
        n_matrices: number of matrices.
        n_blocks: number of blocks of rows.
        block_rows: number of rows of each block.
        n_columns: number of columns.
        dtype: float32 or float64.
        n_more_blocks: number of additional blocks of rows after the others.
    """
    width = lanes_of(dtype.itemsize)
    n_groups = -(-n_matrices // width)
    # A group with half of its lanes in use is about as fast as its matrices one by one.
    if n_blocks * block_rows > INTERLEAVED_ROWS or 2 * n_matrices < n_groups * width:
        return one_by_one(n_blocks, block_rows, n_columns, dtype, n_more_blocks)
    padded = round_up(block_rows, PANEL)
    stride = spaced((n_blocks + n_more_blocks) * padded) * width
    return Layout(width, Shape(n_blocks, block_rows, padded, n_columns, round_up(n_columns, PANEL), stride))


def one_by_one(n_blocks: int, block_rows: int, n_columns: int, dtype: np.dtype, n_more_blocks: int = 0) -> Layout:
    """Return the layout of matrices that are not grouped; arguments as in `choose_layout`."""
    width = lanes_of(dtype.itemsize)
    padded, padded_columns = round_up(block_rows, width), round_up(n_columns + max(0, ROWS - width), ROWS)
    stride = (n_blocks + n_more_blocks) * padded
    if stride * dtype.itemsize % 512 == 0:  # Columns such powers of two apart displace each other in the cache.
        stride += width
    return Layout(1, Shape(n_blocks, block_rows, padded, n_columns, padded_columns, stride))


def spaced(rows: int) -> int:
    """Return the rows between columns of a group, because columns 4 KiB apart evict each other from the cache."""
    return rows + 4 if rows % 8 == 0 else rows


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `number`."""
    return -(-number // multiple) * multiple


def aligned_zeros(size: int, dtype: np.dtype) -> NDArray:
    """Return zeros, aligned to a vector's size. Loads across a cache line boundary take twice as long."""
    numbers = np.zeros(size + VECTOR_BYTES // dtype.itemsize, dtype)
    start = (-numbers.ctypes.data % VECTOR_BYTES) // dtype.itemsize
    return numbers[start : start + size]
