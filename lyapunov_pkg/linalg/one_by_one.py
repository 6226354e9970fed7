"""The layout of matrices one by one: Gram-Schmidt of a matrix of any size, by panels of columns.

A matrix is stored with its columns contiguous: a[column * stride + row]. A panel has as many columns as a vector has
lanes. It is stored transposed, with one lane per column, so that a single pass over its rows subtracts one column from
all others and prepares the next one. Two matrix products then orthogonalise all later columns against the panel (block
modified Gram-Schmidt).

Some neighbouring panels are a *block*. The threads of a team share the blocks. Each thread orthogonalises its blocks
against all earlier panels, in their order. So each column goes through the same operations on any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import ROWS, Layout, Shape, aligned_zeros, round_up
from lyapunov_pkg.linalg.team import Team, finish_panel, make_team, meet, n_finished, pause
from lyapunov_pkg.linalg.tiles import WIDE, multiply_narrow, subtract_narrow, subtract_wide
from lyapunov_pkg.linalg.vectors import (
    lanes,
    lanes_of,
    load,
    multiply_add,
    spread,
    spread_from,
    store,
    sum_of_lanes,
    transpose_tile,
    view,
)

BLOCKS_OF_THREAD = 6
"""A thread of a team has so many blocks at least, where there are as many panels, so that all have about the same to
do."""
PANELS_OF_BLOCK = 4
"""Most panels of a block. A finished panel is read from memory once for a block."""
PANELS_AT_ONCE = 4
"""By how many panels a thread works ahead before it looks whether the next panel waits for it."""


class MatrixScratch(NamedTuple):
    """Intermediate results of the orthonormalisation of a matrix. A vector has a number for each column of a panel.

    The threads of a team share the first three arrays.
    """

    panels: NDArray
    """(panel, row): the columns of each panel, transposed."""
    orderings: NDArray
    """(panel, lanes): see `_order_projections`."""
    explained: NDArray
    """(column,): squared length along the columns of earlier panels, as lanes that have to be summed."""
    products: NDArray
    """(COLUMNS,): inner products of other columns with the columns of the panel."""
    factors: NDArray
    """(COLUMNS,): factors of the panel's columns that are subtracted from other columns."""
    overlaps: NDArray
    """(lanes,): inner products of the finished columns of the panel."""
    taken: NDArray
    """One vector: squared length of each column of the panel along earlier columns."""
    scales: NDArray
    """One vector: inverse length of the remainder of each column of the panel."""
    applied: NDArray
    """(block,), int64: number of panels that each block was orthogonalised against."""
    team: Team
    """The threads that work on a matrix together."""
    block_width: int
    """Number of columns of a block."""


COLUMNS = 32
"""Largest number of columns that are orthogonalised against a panel together."""


def matrix_scratch(layout: Layout, dtype: np.dtype, n_threads: int = 1) -> list[MatrixScratch]:
    """Return the memory of each thread of a team for matrices of a layout."""
    width = lanes_of(dtype.itemsize)
    n_panels = -(-layout.shape.n_columns // width)
    shared_blocks = BLOCKS_OF_THREAD * n_threads if n_threads > 1 else 1
    panels_of_block = max(1, min(PANELS_OF_BLOCK, n_panels // shared_blocks))
    n_columns = round_up(layout.shape.padded_columns, width) + width
    sizes = n_panels * layout.padded_rows, n_panels * width, n_columns
    panels, orderings, explained = (aligned_zeros(size * width, dtype) for size in sizes)
    found = []
    for team in make_team(n_threads):
        own_sizes = COLUMNS, COLUMNS, width, 1, 1
        products, factors, overlaps, taken, scales = (aligned_zeros(size * width, dtype) for size in own_sizes)
        applied = np.zeros(-(-n_panels // panels_of_block), np.int64)
        shared, own = (panels, orderings, explained), (products, factors, overlaps, taken, scales)
        found.append(MatrixScratch(*shared, *own, applied, team, panels_of_block * width))
    return found


def view_matrices(frame: NDArray, shape: Shape) -> NDArray:
    """Return the matrices of a frame without their padding, (column, block, row, matrix), as a view of the frame."""
    matrices = frame.reshape(-1, shape.padded_columns, shape.stride)
    blocks = matrices[:, : shape.n_columns, : shape.n_blocks * shape.padded_block_rows]
    split = blocks.reshape(len(matrices), shape.n_columns, shape.n_blocks, -1)
    return np.moveaxis(split[..., : shape.block_rows], 0, -1)


@compiled
def pack_matrix(frame, index, shape, matrix, matrix_stride):
    """Copy a matrix without padding, matrix[column * matrix_stride + row], to its place in a frame."""
    first = index * shape.padded_columns * shape.stride
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            at = first + c * shape.stride + b * shape.padded_block_rows
            for r in range(shape.block_rows):
                frame[at + r] = matrix[c * matrix_stride + b * shape.block_rows + r]


@compiled
def unpack_matrix(frame, index, shape, matrix, matrix_stride):
    """Copy a matrix back from a frame, as the reverse of `pack_matrix`."""
    first = index * shape.padded_columns * shape.stride
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            at = first + c * shape.stride + b * shape.padded_block_rows
            for r in range(shape.block_rows):
                matrix[c * matrix_stride + b * shape.block_rows + r] = frame[at + r]


@compiled
def orthonormalize_matrix(a, shape, scratch, found, lost_below, tiny):
    """Orthonormalise the columns of a matrix in place, from the first to the last.

    Args:
        a: flat. Columns and rows that pad the matrix are zero.
        shape: its `Shape`.
        scratch: `MatrixScratch`.
        found: `Diagonal`, output.
        lost_below: largest remaining share of a lost column (the sine of the angle to the earlier ones). The square of
            a lost column is 0, and the column becomes zero.
        tiny: number that is added to squares before a division by them.
    """
    team, applied, own = scratch.team, scratch.applied, scratch.block_width * lanes(a)
    for block in range(team.rank, len(applied), team.size):
        applied[block] = 0
        scratch.explained[block * own : (block + 1) * own] = 0
    for block in range(team.rank, len(applied), team.size):
        if not _wait_for_panels(a, block, shape, scratch):
            return
        _orthonormalize_block(a, block, shape, scratch, lost_below, found, tiny)
    if meet(team):
        team.progress[0] += -(-shape.n_columns // lanes(a))


@compiled
def _wait_for_panels(a, block, shape, scratch):
    """Orthogonalise a block of the thread's own against all panels before it, and later ones while it has to wait.

    Returns whether all panels came: no thread gave up.
    """
    team, applied = scratch.team, scratch.applied
    first = block * scratch.block_width // lanes(a)
    while applied[block] < first:
        finished = n_finished(team)
        later = block
        while later < len(applied) and applied[later] >= finished:
            later += team.size
        if later < len(applied):
            limit = first if later == block else applied[later] + PANELS_AT_ONCE
            _apply_panels(a, later, min(finished, limit), shape, scratch)
        elif not pause(team):
            return False
    return True


@compiled
def _orthonormalize_block(a, block, shape, scratch, lost_below, found, tiny):
    """Orthonormalise the columns of a block, which is orthogonal to all panels before it."""
    width, n_rows, stride = lanes(a), shape.n_blocks * shape.padded_block_rows, shape.stride
    begin = block * scratch.block_width
    for first in range(begin, min(begin + scratch.block_width, shape.n_columns), width):
        count = min(width, shape.n_columns - first)
        panel = scratch.panels[first * n_rows : (first + width) * n_rows]
        _transpose(a, first, count, n_rows, stride, panel)
        _orthonormalize_panel(panel, scratch, first, count, n_rows, lost_below * lost_below, found, tiny)
        _transpose_back(panel, first, count, n_rows, stride, a)
        if first + width < shape.n_columns:
            ordering = scratch.orderings[first * width : (first + width) * width]
            _order_projections(a, panel, first, n_rows, stride, scratch.overlaps, ordering)
        finish_panel(scratch.team)
        _apply_panels(a, block, first // width + 1, shape, scratch)


@compiled
def _apply_panels(a, block, end, shape, scratch):
    """Orthogonalise the columns of a block, but for those of finished panels in it, against panels up to `end`."""
    width = lanes(a)
    begin = block * scratch.block_width
    last = min(begin + scratch.block_width, -(-shape.n_columns // ROWS) * ROWS)
    for panel in range(scratch.applied[block], end):
        for c in range(max(begin, (panel + 1) * width), last, COLUMNS):
            _subtract_panel(a, panel * width, c, min(COLUMNS, last - c), shape, scratch)
    scratch.applied[block] = end


@compiled
def orthonormalize_matrix_again(a, shape, scratch, found, second, tiny):
    """Make a second pass, which makes nearly orthogonal columns orthogonal to rounding.

    Arguments as in `orthonormalize_matrix`. `found.squares` is multiplied by the squares of this pass, `second`.
    """
    orthonormalize_matrix(a, shape, scratch, second, 0.0, tiny)
    if scratch.team.rank == 0:
        for c in range(shape.n_columns):
            found.squares[c] *= second.squares[c]


@compiled
def project_matrix(q, a, shape, scratch, factor):
    """Write Q^T A to factor[column of a * `size` + column of q]. Its upper triangle is complete.

    `size` is the number of columns rounded up to whole vectors. Q is what was orthonormalised last.
    """
    width, n_rows, stride = lanes(a), shape.n_blocks * shape.padded_block_rows, shape.stride
    size = -(-shape.padded_columns // width) * width
    for first in range(0, shape.n_columns, width):
        panel = scratch.panels[first * n_rows : (first + width) * n_rows]
        _transpose(q, first, min(width, shape.n_columns - first), n_rows, stride, panel)
        c = first // ROWS * ROWS
        columns, to = view(a, c * stride, stride), view(factor, c * size + first, size)
        n_columns = -(-(shape.n_columns - c) // ROWS) * ROWS
        multiply_narrow(columns, n_columns, view(panel, 0, width), n_rows, to)


@compiled
def _subtract_panel(a, first, c, n_columns, shape, scratch):
    """Subtract from some columns, from c on, their projection on the finished panel that begins at column `first`."""
    width, n_rows, stride = lanes(a), shape.n_blocks * shape.padded_block_rows, shape.stride
    columns, products = view(a, c * stride, stride), view(scratch.products, 0, width)
    factors = view(scratch.factors, 0, width)
    multiply_narrow(columns, n_columns, view(scratch.panels, first * n_rows, width), n_rows, products)
    multiply_narrow(products, n_columns, view(scratch.orderings, first * width, width), width, factors)
    for i in range(n_columns):
        factor, place = load(scratch.factors, i * width), (c + i) * width
        store(scratch.explained, place, multiply_add(factor, factor, load(scratch.explained, place)))
    r = 0
    while r + WIDE * width <= n_rows:
        finished = view(a, first * stride + r, stride)
        subtract_wide(factors, n_columns, finished, width, view(a, c * stride + r, stride))
        r += WIDE * width
    while r < n_rows:
        finished = view(a, first * stride + r, stride)
        subtract_narrow(factors, n_columns, finished, width, view(a, c * stride + r, stride))
        r += width


@compiled
def _order_projections(a, panel, first, n_rows, stride, overlaps, ordering):
    """Compute the matrix that corrects projections on a panel, as if its columns were subtracted one after the other.

    The columns of a panel are orthogonal only to about eps / sine. A simultaneous projection on all of them would
    transfer this error to the remainders of other columns. With inner products s and overlaps G of the panel, (I +
    lower triangle of G)^{-1} s are the factors of modified Gram-Schmidt. The matrix is written to `ordering`,
    transposed.
    """
    width = lanes(a)
    multiply_narrow(view(a, first * stride, stride), width, view(panel, 0, width), n_rows, view(overlaps, 0, width))
    for i in range(width - 1, -1, -1):
        row = spread(ordering, 0)
        for j in range(i + 1, width):
            row = row - spread_from(overlaps, i * width + j) * load(ordering, j * width)
        store(ordering, i * width, row)
        ordering[i * width + i] += 1


@compiled
def _transpose(a, first, count, n_rows, stride, panel):
    width = lanes(a)
    if count == width:
        for r in range(0, n_rows, width):
            transpose_tile(view(a, first * stride + r, stride), view(panel, r * width, width))
        return
    for x in range(n_rows * width):
        panel[x] = 0
    for i in range(count):
        for r in range(n_rows):
            panel[r * width + i] = a[(first + i) * stride + r]


@compiled
def _transpose_back(panel, first, count, n_rows, stride, a):
    width = lanes(a)
    if count == width:
        for r in range(0, n_rows, width):
            transpose_tile(view(panel, r * width, width), view(a, first * stride + r, stride))
        return
    for i in range(count):
        for r in range(n_rows):
            a[(first + i) * stride + r] = panel[r * width + i]


@compiled
def _orthonormalize_panel(panel, scratch, first, count, n_rows, lost_below, found, tiny):
    """Orthonormalise the columns of the transposed panel, from column `first` on, by modified Gram-Schmidt."""
    products, taken, scales = scratch.products, scratch.taken, scratch.scales
    width = lanes(panel)
    zero = spread(panel, 0)
    for i in range(width):
        taken[i] = sum_of_lanes(load(scratch.explained, (first + i) * width)) if i < count else 0
        scales[i] = 0
    factors = zero  # factors of the last column in each later column
    for j in range(count):
        last = max(j - 1, 0)
        sum_0, sum_1 = zero, zero
        for r in range(0, n_rows * width, 2 * width):
            row = load(panel, r) - spread_from(panel, r + last) * factors
            store(panel, r, row)
            sum_0 = multiply_add(spread_from(panel, r + j), row, sum_0)
            s = r + width
            row = load(panel, s) - spread_from(panel, s + last) * factors
            store(panel, s, row)
            sum_1 = multiply_add(spread_from(panel, s + j), row, sum_1)
        store(products, 0, sum_0 + sum_1)
        square = products[j]
        ratio = square / (square + taken[j] + tiny)
        is_lost = ratio <= lost_below
        inverse = 0 * square if is_lost else 1 / (square + tiny)
        found.squares[first + j] = 0 if is_lost else square
        found.ratios[first + j] = ratio
        scales[j] = np.sqrt(inverse)
        for i in range(width):
            product = products[i]
            factor = product * inverse if i > j else 0 * inverse
            products[i] = factor
            taken[i] += factor * product
        factors = load(products, 0)
    scale = load(scales, 0)
    for r in range(0, n_rows * width, width):
        store(panel, r, load(panel, r) * scale)
