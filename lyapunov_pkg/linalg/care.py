"""When one pass of Gram-Schmidt can be trusted, and what is done with a matrix for which it cannot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lyapunov_pkg.linalg.blocked import ROWS, orthonormalize_carefully
from lyapunov_pkg.linalg.vectors import VECTOR_BYTES, lanes_of

RESOLUTION = 1e-13
"""A column of which less than this share is left counts as lost. Gram-Schmidt in float64 leaves rounding errors of 1e-16
to 1e-14, and a matrix of condition number 1e12 leaves at least 1e-12."""


class Limits(NamedTuple):
    """Of one pass in one dtype.

    While the sine of the angle between a column and the span of those before it is larger than the root of
    `smallest_ratio`, log r is in error by about eps / sine at most, and columns are orthogonal to about the same. Below,
    or where squares come near the smallest numbers of the dtype, a matrix is taken up again, in two passes in float64.
    """

    smallest_ratio: float
    smallest_square: float
    tiny: float
    """Added to squares before they divide, so that a zero column stays zero."""


LIMITS = {
    np.dtype(np.float32): Limits(1e-8, 1e-30, 1e-37),
    np.dtype(np.float64): Limits(1e-16, 1e-280, 1e-300),
}


class Shape(NamedTuple):
    """Of a matrix of tangent vectors in memory: rows in blocks, each block padded with zero rows; columns padded too."""

    n_blocks: int
    block_rows: int
    padded_block_rows: int
    n_columns: int
    padded_columns: int
    stride: int
    """Numbers from one column to the next."""


class CareRoom(NamedTuple):
    """A matrix in float64, column after column, and what it takes to orthonormalise it."""

    matrix: NDArray
    stride: int
    work: NDArray
    squares: NDArray
    ratios: NDArray
    more: NDArray


def care_room(n_rows: int, n_columns: int) -> CareRoom:
    """Room for matrices of one size."""
    dtype = np.dtype(np.float64)
    width = lanes_of(dtype.itemsize)
    rows, columns = round_up(n_rows, width), round_up(n_columns, width)
    return CareRoom(
        aligned_zeros(round_up(n_columns, ROWS) * rows, dtype),
        rows,
        aligned_zeros(work_size(rows, columns, width), dtype),
        *(aligned_zeros(columns, dtype) for _ in range(2)),
        aligned_zeros(2 * columns, dtype),
    )


def work_size(padded_rows: int, padded_columns: int, width: int) -> int:
    """Numbers of work space that `orthonormalize_matrix` needs."""
    return (padded_rows + padded_columns + width + ROWS + 4) * width


@njit(nogil=True, cache=True)
def needs_care(squares, ratios, first, step, n_columns, limits):
    """Whether a matrix has a column that one pass cannot be trusted with; NaN is one."""
    for x in range(first, first + n_columns * step, step):
        if not (ratios[x] >= limits.smallest_ratio and squares[x] >= limits.smallest_square):
            return True
    return False


@njit(nogil=True, cache=True)
def take_care(room, shape, squares):
    """Orthonormalise `room.matrix`, write its squared diagonal of R and return the smallest sine, 0 if one is lost."""
    n_rows = shape.n_blocks * shape.block_rows
    orthonormalize_carefully(
        room.matrix, shape.n_columns, n_rows, room.stride, RESOLUTION, room.work, room.squares, room.ratios, room.more,
        1e-300,
    )  # fmt: skip
    smallest = room.ratios[0]
    for c in range(shape.n_columns):
        squares[c] = room.squares[c]
        smallest = min(smallest, room.ratios[c]) if room.squares[c] != 0 else 0.0
    return np.sqrt(smallest)


def aligned_zeros(size: int, dtype: np.dtype) -> NDArray:
    """Zeros that begin where a vector may: loads that straddle cache lines take twice as long."""
    numbers = np.zeros(size + VECTOR_BYTES // dtype.itemsize, dtype)
    start = (-numbers.ctypes.data % VECTOR_BYTES) // dtype.itemsize
    return numbers[start : start + size]


def round_up(number: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `number`."""
    return -(-number // multiple) * multiple


def spaced(rows: int) -> int:
    """Rows from one column of a group to the next: columns a multiple of 4 KiB apart displace each other in the cache."""
    return rows + 4 if rows % 8 == 0 else rows
