"""When one pass of Gram-Schmidt can be trusted, and what is done with a matrix for which it cannot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lyapunov_pkg.linalg.blocked import ROWS, orthonormalize_carefully
from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.interleaved import PANEL
from lyapunov_pkg.linalg.layout import Layout, Shape, aligned_zeros, one_by_one, round_up
from lyapunov_pkg.linalg.resolution import RESOLUTION, SMALLEST_SINE
from lyapunov_pkg.linalg.vectors import lanes_of


class Limits(NamedTuple):
    """What one pass in one dtype can be trusted with; a matrix beyond is taken up again, in two passes in float64."""

    smallest_ratio: float
    """Squared sine of the angle between a column and the span of those before it, see `resolution`."""
    smallest_square: float
    """Squared length of a column: shorter ones come near the smallest numbers of the dtype."""
    tiny: float
    """Added to squares before they divide, so that a zero column stays zero."""


LIMITS = {
    np.dtype(np.float32): Limits(SMALLEST_SINE[torch.float32] ** 2, 1e-30, 1e-37),
    np.dtype(np.float64): Limits(SMALLEST_SINE[torch.float64] ** 2, 1e-280, 1e-300),
}


class Room(NamedTuple):
    """What a thread needs to orthonormalise a group, or a matrix, in one pass or two."""

    work: NDArray
    squares: NDArray
    ratios: NDArray
    more: NDArray


class CareRoom(NamedTuple):
    """A matrix in float64, column after column, and what it takes to orthonormalise it."""

    matrix: NDArray
    stride: int
    room: Room


def orthonormalization_room(layout: Layout, dtype: np.dtype) -> Room:
    """Room for groups or matrices of one layout."""
    width = lanes_of(dtype.itemsize)
    columns = round_up(layout.shape.padded_columns, width)
    if layout.lanes > 1:
        work = PANEL * (layout.shape.padded_columns + PANEL + 2) * width
    else:
        work = (layout.padded_rows + columns + 3 * width + 2 * ROWS + 4) * width
    sizes = work, columns * layout.lanes, columns * layout.lanes, max(2 * columns * layout.lanes, layout.padded_rows)
    return Room(*(aligned_zeros(size, dtype) for size in sizes))


def care_room(shape: Shape) -> CareRoom:
    """Room for one matrix, in float64 and without the padding of its blocks."""
    dtype = np.dtype(np.float64)
    layout = one_by_one(1, shape.n_blocks * shape.block_rows, shape.n_columns, dtype)
    return CareRoom(
        aligned_zeros(layout.frame_size, dtype), layout.shape.stride, orthonormalization_room(layout, dtype)
    )


@compiled
def needs_care(squares, ratios, first, step, n_columns, limits):
    """Whether a matrix has a column that one pass cannot be trusted with; NaN is one."""
    for x in range(first, first + n_columns * step, step):
        if not (ratios[x] >= limits.smallest_ratio and squares[x] >= limits.smallest_square):
            return True
    return False


@compiled
def take_care(care, shape, to_rounding, squares):
    """Orthonormalise `care.matrix`, write its squared diagonal of R and return the smallest sine, 0 if one is lost."""
    n_rows = shape.n_blocks * shape.block_rows
    room, tiny = care.room, 1e-300
    orthonormalize_carefully(
        care.matrix,
        shape.n_columns,
        n_rows,
        care.stride,
        RESOLUTION,
        to_rounding,
        room.work,
        room.squares,
        room.ratios,
        room.more,
        tiny,
    )
    smallest = room.ratios[0]
    for c in range(shape.n_columns):
        squares[c] = room.squares[c]
        smallest = min(smallest, room.ratios[c]) if room.squares[c] != 0 else 0.0
    return np.sqrt(smallest)
