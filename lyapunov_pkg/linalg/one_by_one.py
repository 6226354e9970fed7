"""The layout of matrices one by one: Gram-Schmidt of a matrix of any size, by panels of columns.

A matrix is stored with its columns contiguous: a[column * stride + row]. A panel has as many columns as a vector has
lanes. It is stored transposed, with one lane per column, so that a single pass over its rows subtracts one column from
all others and prepares the next one. Two matrix products then orthogonalise all later columns against the panel (block
modified Gram-Schmidt).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import ROWS, Layout, Shape, aligned_zeros, round_up
from lyapunov_pkg.linalg.vectors import (
    lanes,
    lanes_of,
    load,
    multiply_add,
    row_products,
    spread,
    store,
    sum_of_lanes,
    transpose_tile,
    view,
)


class MatrixScratch(NamedTuple):
    """Intermediate results of the orthonormalisation of a matrix. A vector has a number for each column of a panel."""

    panel: NDArray
    """(row,): the columns of a panel, transposed."""
    products: NDArray
    """(ROWS,): inner products of other columns with the columns of the panel."""
    factors: NDArray
    """(ROWS,): factors of the panel's columns that are subtracted from other columns."""
    overlaps: NDArray
    """(lanes,), at least (ROWS,): inner products of the finished columns of the panel, and what a tile adds to them."""
    ordering: NDArray
    """(lanes,): see `_order_projections`."""
    explained: NDArray
    """(column,): squared length along the columns of earlier panels, as lanes that have to be summed."""
    taken: NDArray
    """One vector: squared length of each column of the panel along earlier columns."""
    scales: NDArray
    """One vector: inverse length of the remainder of each column of the panel."""


def matrix_scratch(layout: Layout, dtype: np.dtype) -> MatrixScratch:
    """Return the memory of one thread for matrices of a layout."""
    width = lanes_of(dtype.itemsize)
    n_columns = round_up(layout.shape.padded_columns, width) + width
    sizes = layout.padded_rows, ROWS, ROWS, max(width, ROWS), width, n_columns, 1, 1
    return MatrixScratch(*(aligned_zeros(size * width, dtype) for size in sizes))


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
    width, n_rows, stride = lanes(a), shape.n_blocks * shape.padded_block_rows, shape.stride
    for x in range((shape.n_columns + width) * width):
        scratch.explained[x] = 0
    for first in range(0, shape.n_columns, width):
        count = min(width, shape.n_columns - first)
        _transpose(a, first, count, n_rows, stride, scratch.panel)
        _orthonormalize_panel(scratch, first, count, n_rows, lost_below * lost_below, found, tiny)
        _transpose_back(scratch.panel, first, count, n_rows, stride, a)
        if first + width >= shape.n_columns:
            break
        _order_projections(a, first, n_rows, stride, scratch)
        for c in range(first + width, shape.n_columns, ROWS):
            _subtract_panel(a, first, c, n_rows, stride, scratch)


@compiled
def orthonormalize_matrix_again(a, shape, scratch, found, second, tiny):
    """Make a second pass, which makes nearly orthogonal columns orthogonal to rounding.

    Arguments as in `orthonormalize_matrix`. `found.squares` is multiplied by the squares of this pass, `second`.
    """
    orthonormalize_matrix(a, shape, scratch, second, 0.0, tiny)
    for c in range(shape.n_columns):
        found.squares[c] *= second.squares[c]


@compiled
def project_matrix(q, a, shape, scratch, factor):
    """Write Q^T A to factor[column of a * `size` + column of q]. Its upper triangle is complete.

    `size` is the number of columns rounded up to whole vectors.
    """
    width, n_rows, stride = lanes(a), shape.n_blocks * shape.padded_block_rows, shape.stride
    size = -(-shape.padded_columns // width) * width
    for first in range(0, shape.n_columns, width):
        _transpose(q, first, min(width, shape.n_columns - first), n_rows, stride, scratch.panel)
        for c in range(first // ROWS * ROWS, shape.n_columns, ROWS):
            columns, to = view(a, c * stride, stride), view(factor, c * size + first, size)
            row_products(columns, view(scratch.panel, 0, width), n_rows, to, 0, ROWS, 1)


@compiled
def _subtract_panel(a, first, c, n_rows, stride, scratch):
    """Subtract from `ROWS` columns, from c on, their projection on the finished panel that begins at `first`."""
    width = lanes(a)
    columns, products = view(a, c * stride, stride), view(scratch.products, 0, width)
    factors = view(scratch.factors, 0, width)
    row_products(columns, view(scratch.panel, 0, width), n_rows, products, 0, ROWS, 1)
    row_products(products, view(scratch.ordering, 0, width), width, factors, 0, ROWS, 1)
    for i in range(ROWS):
        factor, place = load(scratch.factors, i * width), (c + i) * width
        store(scratch.explained, place, multiply_add(factor, factor, load(scratch.explained, place)))
    for r in range(0, n_rows, width):
        row_products(factors, view(a, first * stride + r, stride), width, view(a, c * stride + r, stride), -1, ROWS, 1)


@compiled
def _order_projections(a, first, n_rows, stride, scratch):
    """Compute the matrix that corrects projections on a panel, as if its columns were subtracted one after the other.

    The columns of a panel are orthogonal only to about eps / sine. A simultaneous projection on all of them would
    transfer this error to the remainders of other columns. With inner products s and overlaps G of the panel, (I +
    lower triangle of G)^{-1} s are the factors of modified Gram-Schmidt. The matrix is written to `ordering`,
    transposed.
    """
    width, overlaps, ordering = lanes(a), scratch.overlaps, scratch.ordering
    for i in range(0, width, ROWS):
        rows = view(a, (first + i) * stride, stride)
        row_products(rows, view(scratch.panel, 0, width), n_rows, view(overlaps, i * width, width), 0, ROWS, 1)
    for i in range(width - 1, -1, -1):
        row = spread(ordering, 0)
        for j in range(i + 1, width):
            row = row - spread(ordering, overlaps[i * width + j]) * load(ordering, j * width)
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
def _orthonormalize_panel(scratch, first, count, n_rows, lost_below, found, tiny):
    """Orthonormalise the columns of the transposed panel, from column `first` on, by modified Gram-Schmidt."""
    panel, products, taken, scales = scratch.panel, scratch.products, scratch.taken, scratch.scales
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
            row = load(panel, r) - spread(panel, panel[r + last]) * factors
            store(panel, r, row)
            sum_0 = multiply_add(spread(panel, panel[r + j]), row, sum_0)
            s = r + width
            row = load(panel, s) - spread(panel, panel[s + last]) * factors
            store(panel, s, row)
            sum_1 = multiply_add(spread(panel, panel[s + j]), row, sum_1)
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
