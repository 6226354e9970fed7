"""How matrices of tangent vectors lie in memory for the CPU kernels."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lyapunov_pkg.linalg.blocked import ROWS
from lyapunov_pkg.linalg.interleaved import PANEL
from lyapunov_pkg.linalg.vectors import VECTOR_BYTES, lanes_of

INTERLEAVED_ROWS = 192
"""Matrices with more rows are taken one by one: a group of them would leave the cache."""


class Shape(NamedTuple):
    """Of a matrix in memory: rows in blocks, each block padded with zero rows, and columns padded with zero columns."""

    n_blocks: int
    block_rows: int
    padded_block_rows: int
    n_columns: int
    padded_columns: int
    stride: int
    """Numbers from one column to the next."""


class Layout(NamedTuple):
    """Of many matrices: in groups, one to each lane of a vector, or one by one (`lanes` is 1)."""

    lanes: int
    shape: Shape

    @property
    def frame_size(self) -> int:
        """Numbers in a group, or in a matrix."""
        return self.shape.padded_columns * self.shape.stride

    @property
    def padded_rows(self) -> int:
        """Rows of all blocks with their padding."""
        return self.shape.n_blocks * self.shape.padded_block_rows


def choose_layout(
    n_matrices: int, n_blocks: int, block_rows: int, n_columns: int, dtype: np.dtype, n_more_blocks: int = 0
) -> Layout:
    """Choose how matrices that belong together lie in memory.

    Args:
        n_matrices: how many there are.
        n_blocks: blocks of rows.
        block_rows: rows of each.
        n_columns: columns.
        dtype: float32 or float64.
        n_more_blocks: blocks of rows for which there has to be room behind the others.
    """
    width = lanes_of(dtype.itemsize)
    n_groups = -(-n_matrices // width)
    # Half of the lanes busy: that is about where a group is as fast as its matrices one by one.
    if n_blocks * block_rows > INTERLEAVED_ROWS or 2 * n_matrices < n_groups * width:
        return one_by_one(n_blocks, block_rows, n_columns, dtype, n_more_blocks)
    padded = round_up(block_rows, PANEL)
    stride = spaced((n_blocks + n_more_blocks) * padded) * width
    return Layout(width, Shape(n_blocks, block_rows, padded, n_columns, round_up(n_columns, PANEL), stride))


def one_by_one(n_blocks: int, block_rows: int, n_columns: int, dtype: np.dtype, n_more_blocks: int = 0) -> Layout:
    """The layout of matrices that are not grouped; arguments as in `choose_layout`."""
    padded = round_up(block_rows, lanes_of(dtype.itemsize))
    stride = (n_blocks + n_more_blocks) * padded
    return Layout(1, Shape(n_blocks, block_rows, padded, n_columns, round_up(n_columns, ROWS), stride))


def spaced(rows: int) -> int:
    """Rows from one column of a group to the next: columns 4 KiB apart displace each other in the cache."""
    return rows + 4 if rows % 8 == 0 else rows


def round_up(number: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `number`."""
    return -(-number // multiple) * multiple


def aligned_zeros(size: int, dtype: np.dtype) -> NDArray:
    """Zeros that begin where a vector may: loads that straddle cache lines take twice as long."""
    numbers = np.zeros(size + VECTOR_BYTES // dtype.itemsize, dtype)
    start = (-numbers.ctypes.data % VECTOR_BYTES) // dtype.itemsize
    return numbers[start : start + size]


def on_threads(work: Callable[[range], None], n_tasks: int) -> None:
    """Share tasks 0 to n_tasks - 1 among as many threads as PyTorch uses; the kernels hold no lock."""
    n_threads = min(torch.get_num_threads(), n_tasks)
    if n_threads <= 1:
        work(range(n_tasks))
        return
    own, *others = (range(start, n_tasks, n_threads) for start in range(n_threads))
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(work, tasks) for tasks in others]
        work(own)
        for future in running:
            future.result()
