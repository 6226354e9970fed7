"""The interleaved layout: Gram-Schmidt of many small matrices together, one matrix in each lane of a vector.

A *group* contains as many matrices as a vector has lanes. Entry (column, row) of all its matrices is one vector. Dot
products then need no sums across lanes, and every instruction works on whole vectors, even for very small matrices. The
columns are orthonormalised in panels of four, by block modified Gram-Schmidt: each panel against all panels before it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import PANEL, Layout, Shape, aligned_zeros
from lyapunov_pkg.linalg.vectors import (
    MANY_REGISTERS,
    lane_products,
    lane_subtract,
    lanes,
    lanes_of,
    load,
    shifted,
    spread,
    square_root,
    store,
    transpose_tile,
    view,
)

_TILE = 4 if MANY_REGISTERS else 2


class GroupScratch(NamedTuple):
    """Intermediate results of the orthonormalisation of a group, in vectors."""

    factors: NDArray
    """(PANEL, PANEL): inner products of columns."""
    explained: NDArray
    """(PANEL,): squared length of each column of a panel along the directions of earlier columns."""
    inverses: NDArray
    """(PANEL,): inverse squared length of the remainder of each column of a panel."""
    overlaps: NDArray
    """(panel, PANEL, PANEL): inner products of the finished columns of each panel."""


def group_scratch(layout: Layout, dtype: np.dtype) -> GroupScratch:
    """Return the memory of one thread for groups of a layout."""
    sizes = PANEL * PANEL, PANEL, PANEL, PANEL * layout.shape.padded_columns
    return GroupScratch(*(aligned_zeros(size * lanes_of(dtype.itemsize), dtype) for size in sizes))


def view_group(frame: NDArray, shape: Shape) -> NDArray:
    """Return the matrices of a group without their padding, (column, block, row, lane), as a view of the frame."""
    width = lanes_of(frame.dtype.itemsize)
    columns = frame.reshape(shape.padded_columns, -1, width)
    blocks = columns[: shape.n_columns, : shape.n_blocks * shape.padded_block_rows]
    return blocks.reshape(shape.n_columns, shape.n_blocks, -1, width)[:, :, : shape.block_rows]


@compiled
def pack_lane(frame, lane, shape, matrix, matrix_stride):
    """Copy a matrix without padding, matrix[column * matrix_stride + row], into one lane of a group."""
    width = lanes(frame)
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            for r in range(shape.block_rows):
                row = b * shape.padded_block_rows + r
                frame[c * shape.stride + row * width + lane] = matrix[c * matrix_stride + b * shape.block_rows + r]


@compiled
def unpack_lane(frame, lane, shape, matrix, matrix_stride):
    """Copy a matrix back from a lane, as the reverse of `pack_lane`."""
    width = lanes(frame)
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            for r in range(shape.block_rows):
                row = b * shape.padded_block_rows + r
                matrix[c * matrix_stride + b * shape.block_rows + r] = frame[c * shape.stride + row * width + lane]


@compiled
def unpack_group(frame, shape, matrices):
    """Copy the matrices of a group to the rows of `matrices`, each column after the other without padding.

    Args:
        frame: the matrices of a group.
        shape: their shape.
        matrices: (trajectory, column * row), of which each row is contiguous; fewer rows than lanes leave some out.
    """
    width, n_rows = lanes(frame), shape.block_rows
    whole = n_rows // width * width if len(matrices) == width else 0
    distance = matrices.strides[0] // matrices.itemsize
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            at, to = c * shape.stride + b * shape.padded_block_rows * width, (c * shape.n_blocks + b) * n_rows
            for r in range(0, whole, width):
                transpose_tile(view(frame, at + r * width, width), view(matrices, to + r, distance))
            for r in range(whole, n_rows):
                for lane in range(len(matrices)):
                    matrices[lane, to + r] = frame[at + r * width + lane]


@compiled
def unpack_triangles(factors, shape, matrices):
    """Copy the upper triangles of a group's factors, those of `project_group`, to the rows of `matrices`.

    Args:
        factors: (column, row, lane), flat.
        shape: the shape of the matrices that were factorised.
        matrices: (trajectory, row * column), of which each row is contiguous.
    """
    width, k, stride = lanes(factors), shape.n_columns, shape.padded_columns
    whole = k // width * width if len(matrices) == width else 0
    distance = matrices.strides[0] // matrices.itemsize
    for i in range(k):
        first = min(-(-i // width) * width, k)
        last = max(first, whole)
        for j in range(first, last, width):
            columns = view(factors, (j * stride + i) * width, stride * width)
            transpose_tile(columns, view(matrices, i * k + j, distance))
        for lane in range(len(matrices)):
            for j in range(i, first):
                matrices[lane, i * k + j] = factors[(j * stride + i) * width + lane]
            for j in range(last, k):
                matrices[lane, i * k + j] = factors[(j * stride + i) * width + lane]


@compiled
def multiply_panel(a, x, n_inner, n_rows, out, adds):
    """Compute out[c, i] (+)= sum over j of a[i, j] x[c, j], lane by lane, for `PANEL` columns c and all rows i of a.

    Args:
        a: view of the rows of the matrix a.
        x: view of the columns of x.
        n_inner: number of columns of a.
        n_rows: number of rows of a.
        out: view of the columns of out.
        adds: whether the products are added to `out`.
    """
    for i in range(0, n_rows, _TILE):
        rows, to = shifted(a, i, 0), shifted(out, 0, i * lanes(out))
        if adds:
            lane_products(x, rows, n_inner, to, 1, PANEL, _TILE)
        else:
            lane_products(x, rows, n_inner, to, 0, PANEL, _TILE)


@compiled
def orthonormalize_group(q, shape, scratch, found, tiny):
    """Orthonormalise all columns of a group.

    Args:
        q: the group, flat: (columns, rows) vectors.
        shape: `Shape` of its matrices.
        scratch: `GroupScratch`.
        found: `Diagonal`, output, as (padded_columns) vectors.
        tiny: number that is added to squares before a division by them.
    """
    for column in range(0, shape.padded_columns, PANEL):
        _orthonormalize_panel(q, column, shape, scratch, found, tiny)


@compiled
def orthonormalize_group_again(q, shape, scratch, found, second, tiny):
    """Make a second pass over a group, which makes nearly orthogonal columns orthogonal to rounding.

    Arguments as in `orthonormalize_group`. `found.squares` is multiplied by the squares of this pass, `second`.
    """
    orthonormalize_group(q, shape, scratch, second, tiny)
    for x in range(0, shape.padded_columns * lanes(q), lanes(q)):
        store(found.squares, x, load(found.squares, x) * load(second.squares, x))


@compiled
def project_group(q, a, shape, factor):
    """Write Q^T A of all lanes to factor[(column of a, column of q)], in vectors. Its upper triangle is complete."""
    width, stride, n_rows = lanes(q), shape.stride, shape.n_blocks * shape.padded_block_rows
    size = shape.padded_columns * width
    for column in range(0, shape.padded_columns, PANEL):
        to = view(factor, column * size, size)
        for i in range(0, column + PANEL, _TILE):
            columns, rows = view(a, column * stride, stride), view(q, i * stride, stride)
            lane_products(columns, rows, n_rows, shifted(to, 0, i * width), 0, PANEL, _TILE)


@compiled
def _orthonormalize_panel(q, column, shape, scratch, found, tiny):
    """Orthonormalise columns `column` to `column + PANEL`. The columns before them are already orthonormal."""
    width, n_rows = lanes(q), shape.n_blocks * shape.padded_block_rows
    panel = column * shape.stride
    for j in range(PANEL):
        store(scratch.explained, j * width, spread(q, 0))
    for before in range(column // PANEL):
        _subtract_panel(q, before, column, shape, scratch)
    _orthogonalize_among_themselves(q, column, shape, scratch, found, tiny)
    for j in range(PANEL):
        scale = square_root(load(scratch.inverses, j * width))
        for row in range(n_rows):
            place = panel + j * shape.stride + row * width
            store(q, place, load(q, place) * scale)
    to = column * PANEL * width
    for half in range(PANEL // _TILE):
        lane_products(
            view(q, panel, shape.stride),
            view(q, panel + half * _TILE * shape.stride, shape.stride),
            n_rows,
            view(scratch.overlaps, to + half * _TILE * width, PANEL * width),
            0,
            PANEL,
            _TILE,
        )


@compiled
def _subtract_panel(q, before, column, shape, scratch):
    """Subtract from a panel its projection on the finished panel number `before`."""
    width, stride, n_rows = lanes(q), shape.stride, shape.n_blocks * shape.padded_block_rows
    finished = view(q, before * PANEL * stride, stride)
    factors, explained, between = scratch.factors, scratch.explained, before * PANEL * PANEL * width
    for half in range(PANEL // _TILE):
        columns, sums = view(q, (column + half * _TILE) * stride, stride), half * _TILE * width
        products = view(factors, 0, _TILE * width)
        lane_products(finished, columns, n_rows, products, 0, PANEL, _TILE)
        for j in range(_TILE):
            sum_of_squares = load(explained, sums + j * width)
            for i in range(PANEL):
                # Columns of a panel are orthogonal only to about eps / sine, so subtract them as if one by one.
                factor = load(factors, (i * _TILE + j) * width)
                for m in range(i):
                    overlap = load(scratch.overlaps, between + (i * PANEL + m) * width)
                    factor = factor - overlap * load(factors, (m * _TILE + j) * width)
                store(factors, (i * _TILE + j) * width, factor)
                sum_of_squares = sum_of_squares + factor * factor
            store(explained, sums + j * width, sum_of_squares)
        lane_subtract(columns, finished, n_rows, products, PANEL, _TILE)


@compiled
def _orthogonalize_among_themselves(q, column, shape, scratch, found, tiny):
    """Orthogonalise the columns of a panel against each other without a change of their lengths."""
    width, stride, n_rows = lanes(q), shape.stride, shape.n_blocks * shape.padded_block_rows
    panel, factors, explained = column * stride, scratch.factors, scratch.explained
    one, tiny_vector = spread(q, 1), spread(q, tiny)
    for j in range(PANEL):
        at = panel + j * stride
        lane_products(view(q, at, stride), view(q, panel, stride), n_rows, view(factors, 0, PANEL * width), 0, 1, PANEL)
        square = load(factors, j * width)
        inverse = one / (square + tiny_vector)
        store(found.squares, (column + j) * width, square)
        ratio = square / (square + load(explained, j * width) + tiny_vector)
        store(found.ratios, (column + j) * width, ratio)
        store(scratch.inverses, j * width, inverse)
        for i in range(j + 1, PANEL):
            product = load(factors, i * width)
            factor = product * inverse
            store(factors, i * width, factor)
            store(explained, i * width, load(explained, i * width) + factor * product)
        own, others = view(q, at, stride), view(q, at + stride, stride)
        of_others = view(factors, (j + 1) * width, PANEL * width)
        if j == 0:
            lane_subtract(others, own, n_rows, of_others, 1, 3)
        elif j == 1:
            lane_subtract(others, own, n_rows, of_others, 1, 2)
        elif j == 2:
            lane_subtract(others, own, n_rows, of_others, 1, 1)
