"""Gram-Schmidt of one matrix of any size: a panel of columns after the other, and matrix products between panels.

A matrix is stored with its columns contiguous: a[column * stride + row]. A panel has as many columns as a vector has
lanes. It is kept transposed, one lane to a column, so that a single pass over its rows subtracts one column from all
others and prepares the next; all columns behind the panel are then orthogonalised against it by two matrix products
(block modified Gram-Schmidt).
"""

from __future__ import annotations

import numpy as np

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.vectors import (
    lanes,
    load,
    multiply_add,
    row_products,
    spread,
    store,
    sum_of_lanes,
    transpose_tile,
)

ROWS = 4
"""Rows of a tile of a matrix product; columns and rows of a matrix are padded with zeros to multiples of it."""


@compiled
def orthonormalize_matrix(a, n_columns, n_rows, stride, lost_below, work, squares, ratios, tiny):
    """Orthonormalise the columns of a matrix in place, from the first to the last.

    Args:
        a: flat; column c at c * stride. Columns (to a multiple of `ROWS`) and rows (to a multiple of the lanes) that
            pad the matrix are zero.
        n_columns: columns, without padding.
        n_rows: rows, with padding.
        stride: numbers from one column to the next, at least n_rows.
        lost_below: a column of which at most this share (sine of the angle to the earlier ones) is left counts as
            lost: its square is 0, and it becomes zero.
        work: room for n_rows + n_columns + 3 * lanes + 12 vectors.
        squares: (n_columns, rounded up to the lanes), out: squared diagonal of R.
        ratios: likewise, out: the squared sine of the angle between a column and the span of those before it.
        tiny: what is added to squares before they divide.
    """
    width = lanes(a)
    panel, products = 0, n_rows * width
    factors, scratch, overlaps = products + ROWS * width, products + 2 * ROWS * width, products + (2 * ROWS + 4) * width
    explained = overlaps + 2 * width * width
    for x in range((n_columns + width) * width):
        work[explained + x] = 0
    for first in range(0, n_columns, width):
        count = min(width, n_columns - first)
        of_panel = explained + first * width
        _transpose(a, first, count, n_rows, stride, work)
        _orthonormalize_panel(
            work, count, n_rows, scratch, of_panel, lost_below * lost_below, squares[first:], ratios[first:], tiny
        )
        _transpose_back(work, first, count, n_rows, stride, a)
        if first + width >= n_columns:
            break
        _order_projections(a, first, n_rows, stride, work, overlaps)
        ordering = overlaps + width * width
        for c in range(first + width, n_columns, ROWS):
            row_products(a, c * stride, stride, work, panel, width, n_rows, work, products, width, 0, ROWS, 1)
            row_products(work, products, width, work, ordering, width, width, work, factors, width, 0, ROWS, 1)
            for i in range(ROWS):
                factor, place = load(work, factors + i * width), explained + (c + i) * width
                store(work, place, multiply_add(factor, factor, load(work, place)))
            for r in range(0, n_rows, width):
                row_products(
                    work, factors, width, a, first * stride + r, stride, width, a, c * stride + r, stride, -1, ROWS, 1
                )


@compiled
def _order_projections(a, first, n_rows, stride, work, overlaps):
    """Find the matrix that makes projections on a panel as if its columns had been subtracted one after the other.

    The columns of a panel are orthogonal only to about eps / sine. Projecting on all at once would carry that into
    what is left of other columns; with inner products s and overlaps G of the panel, (I + lower triangle of G)^{-1} s
    are the factors of modified Gram-Schmidt. Written behind the overlaps, transposed.
    """
    width = lanes(a)
    for i in range(0, width, ROWS):
        row_products(
            a, (first + i) * stride, stride, work, 0, width, n_rows, work, overlaps + i * width, width, 0, ROWS, 1
        )
    ordering = overlaps + width * width
    for i in range(width - 1, -1, -1):
        row = spread(work, 0)
        for j in range(i + 1, width):
            row = row - spread(work, work[overlaps + i * width + j]) * load(work, ordering + j * width)
        store(work, ordering + i * width, row)
        work[ordering + i * width + i] += 1


@compiled
def orthonormalize_matrix_again(a, n_columns, n_rows, stride, work, squares, more, tiny):
    """Second pass, which makes columns orthogonal to rounding where the first left them nearly so.

    Args as in `orthonormalize_matrix`; `squares` is multiplied by what this pass finds, and `more` is room for twice as
    many numbers as `squares`.
    """
    found, unused = more[: len(squares)], more[len(squares) :]
    orthonormalize_matrix(a, n_columns, n_rows, stride, 0.0, work, found, unused, tiny)
    for c in range(n_columns):
        squares[c] *= found[c]


@compiled
def take_rows(a, shape, matrix, matrix_stride):
    """Copy a matrix of tangent vectors, without padding, to matrix[column * matrix_stride + row]."""
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            for r in range(shape.block_rows):
                matrix[c * matrix_stride + b * shape.block_rows + r] = a[
                    c * shape.stride + b * shape.padded_block_rows + r
                ]


@compiled
def put_rows(a, shape, matrix, matrix_stride):
    """The reverse of `take_rows`."""
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            for r in range(shape.block_rows):
                a[c * shape.stride + b * shape.padded_block_rows + r] = matrix[
                    c * matrix_stride + b * shape.block_rows + r
                ]


@compiled
def _transpose(a, first, count, n_rows, stride, panel):
    width = lanes(a)
    if count == width:
        for r in range(0, n_rows, width):
            transpose_tile(a, first * stride + r, stride, panel, r * width, width)
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
            transpose_tile(panel, r * width, width, a, first * stride + r, stride)
        return
    for i in range(count):
        for r in range(n_rows):
            a[(first + i) * stride + r] = panel[r * width + i]


@compiled
def _orthonormalize_panel(work, count, n_rows, scratch, explained, lost_below, squares, ratios, tiny):
    """Modified Gram-Schmidt of the columns of the transposed panel at the beginning of `work`.

    `explained` is the offset of a vector to each column, whose sum is the squared length that earlier panels took.
    """
    width = lanes(work)
    zero = spread(work, 0)
    products, taken, scales = scratch, scratch + width, scratch + 2 * width
    for i in range(width):
        work[taken + i] = sum_of_lanes(load(work, explained + i * width)) if i < count else 0
        work[scales + i] = 0
    factors = zero  # of the last column, in each column behind it
    for j in range(count):
        last = max(j - 1, 0)
        sum_0, sum_1 = zero, zero
        for r in range(0, n_rows * width, 2 * width):
            row = load(work, r) - spread(work, work[r + last]) * factors
            store(work, r, row)
            sum_0 = multiply_add(spread(work, work[r + j]), row, sum_0)
            s = r + width
            row = load(work, s) - spread(work, work[s + last]) * factors
            store(work, s, row)
            sum_1 = multiply_add(spread(work, work[s + j]), row, sum_1)
        store(work, products, sum_0 + sum_1)
        square = work[products + j]
        ratio = square / (square + work[taken + j] + tiny)
        is_lost = ratio <= lost_below
        inverse = 0 * square if is_lost else 1 / (square + tiny)
        squares[j] = 0 if is_lost else square
        ratios[j] = ratio
        work[scales + j] = np.sqrt(inverse)
        for i in range(width):
            product = work[products + i]
            factor = product * inverse if i > j else 0 * inverse
            work[products + i] = factor
            work[taken + i] += factor * product
        factors = load(work, products)
    scale = load(work, scales)
    for r in range(0, n_rows * width, width):
        store(work, r, load(work, r) * scale)


@compiled
def orthonormalize_carefully(a, n_columns, n_rows, stride, lost_below, to_rounding, work, squares, ratios, more, tiny):
    """Orthonormalise and move lost directions to the end; float64.

    A second pass removes what the first left of earlier columns in those that nearly depended on them ("twice is
    enough"); without `to_rounding` only where the first left more than 1e-8. Orthonormal directions, otherwise
    arbitrary, take the place of lost ones.

    Args as in `orthonormalize_matrix`, but n_rows are without padding; `more` is room for twice as many numbers as
    `squares`, and for n_rows. A matrix that is not finite becomes NaN, its squares and ratios too.
    """
    padded_rows = (n_rows + lanes(a) - 1) // lanes(a) * lanes(a)
    finite = True
    for c in range((n_columns + ROWS - 1) // ROWS * ROWS):
        for r in range(padded_rows):
            if c >= n_columns or r >= n_rows:
                a[c * stride + r] = 0
            finite &= np.isfinite(a[c * stride + r])
    if not finite:
        for c in range(n_columns):
            squares[c] = ratios[c] = np.nan
            for r in range(n_rows):
                a[c * stride + r] = np.nan
        return
    orthonormalize_matrix(a, n_columns, padded_rows, stride, lost_below, work, squares, ratios, tiny)
    smallest = 1.0
    for c in range(n_columns):
        if squares[c] > 0:
            smallest = min(smallest, ratios[c])
    if to_rounding or smallest < 1e-16:
        orthonormalize_matrix_again(a, n_columns, padded_rows, stride, work, squares, more, tiny)
    kept = 0
    for c in range(n_columns):
        if squares[c] > 0:
            squares[kept] = squares[c]
            if kept < c:
                for r in range(n_rows):
                    a[kept * stride + r] = a[c * stride + r]
            kept += 1
    if kept < n_columns:
        squares[kept:n_columns] = 0
        _fill_with_new_directions(a, kept, n_columns, n_rows, padded_rows, stride, more)


@compiled
def _fill_with_new_directions(a, n_given, n_columns, n_rows, padded_rows, stride, left):
    """Set the columns from n_given on to unit vectors orthogonal to one another and to those before.

    Each starts from the coordinate axis that is farthest from what is there: `left` holds their squared distances.
    """
    for r in range(n_rows):
        left[r] = 1.0
        for c in range(n_given):
            left[r] -= a[c * stride + r] ** 2
    for new in range(n_given, n_columns):
        to = new * stride
        farthest = np.argmax(left[:n_rows])
        a[to : to + padded_rows] = 0
        a[to + farthest] = 1
        for _ in range(2):
            for c in range(new):
                product = spread(a, -_product(a, c * stride, to, padded_rows))
                for r in range(0, padded_rows, lanes(a)):
                    store(a, to + r, multiply_add(product, load(a, c * stride + r), load(a, to + r)))
            scale = 1 / np.sqrt(_product(a, to, to, padded_rows))
            for r in range(n_rows):
                a[to + r] *= scale
        for r in range(n_rows):
            left[r] -= a[to + r] ** 2


@compiled
def _product(a, first, second, n_rows):
    """The inner product of two columns."""
    total = spread(a, 0)
    for r in range(0, n_rows, lanes(a)):
        total = multiply_add(load(a, first + r), load(a, second + r), total)
    return sum_of_lanes(total)
