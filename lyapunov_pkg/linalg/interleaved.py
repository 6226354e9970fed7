"""Gram-Schmidt of many small matrices at once: one matrix to each lane of a vector.

A *group* holds as many matrices as a vector has lanes. Entry (column, row) of all of them is one vector, so that dot
products need no sums across lanes and every instruction works on whole vectors, however small the matrices are. The
columns are orthonormalised four at a time: block modified Gram-Schmidt, each panel against all panels before it.
"""

from __future__ import annotations

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.vectors import (
    MANY_REGISTERS,
    lane_products,
    lane_subtract,
    lanes,
    load,
    spread,
    square_root,
    store,
)

PANEL = 4
"""Columns that are orthonormalised together; columns and rows of a group are padded with zeros to multiples of it."""
_TILE = 4 if MANY_REGISTERS else 2


@compiled
def multiply_panel(a, a_at, a_stride, x, x_at, x_stride, n_inner, n_rows, out, out_at, out_stride, adds):
    """out[c, i] (+)= sum over j of a[i, j] x[c, j], lane by lane, for the `PANEL` columns c and all rows i of a.

    Offsets and strides count numbers. The vectors of a row of a, and of a column of x and out, lie together.
    """
    step = _TILE * lanes(a)
    for i in range(n_rows // _TILE):
        if adds:
            lane_products(
                x, x_at, x_stride, a, a_at + i * _TILE * a_stride, a_stride, n_inner,
                out, out_at + i * step, out_stride, 1, PANEL, _TILE,
            )  # fmt: skip
        else:
            lane_products(
                x, x_at, x_stride, a, a_at + i * _TILE * a_stride, a_stride, n_inner,
                out, out_at + i * step, out_stride, 0, PANEL, _TILE,
            )  # fmt: skip


@compiled
def orthonormalize_panel(q, column, n_rows, stride, work, squares, ratios, tiny):
    """Orthonormalise columns `column` to `column + PANEL` of a group against those before and among themselves.

    Args:
        q: flat, (columns, rows) vectors, columns `stride` numbers apart; those before `column` are orthonormal already.
        column: first column of the panel, a multiple of `PANEL`.
        n_rows: rows.
        stride: numbers from one column to the next.
        work: room for PANEL * (n_columns + PANEL + 2) vectors; holds the overlaps of the columns of each panel.
        squares: (columns) vectors, out: squared diagonal of R.
        ratios: (columns) vectors, out: the squared sine of the angle between a column and the span of those before it.
        tiny: what is added to squares before they divide.
    """
    width = lanes(q)
    panel = column * stride
    explained = PANEL * PANEL * width  # squared length along the directions of earlier columns
    inverses = explained + PANEL * width  # of the squared length of what is left
    one, tiny = spread(q, 1), spread(q, tiny)
    for j in range(PANEL):
        store(work, explained + j * width, spread(q, 0))
    overlaps = inverses + PANEL * width
    for before in range(column // PANEL):
        at, between = before * PANEL * stride, overlaps + before * PANEL * PANEL * width
        for half in range(PANEL // _TILE):
            to, sums = panel + half * _TILE * stride, explained + half * _TILE * width
            lane_products(q, at, stride, q, to, stride, n_rows, work, 0, _TILE * width, 0, PANEL, _TILE)
            for j in range(_TILE):
                sum_of_squares = load(work, sums + j * width)
                for i in range(PANEL):
                    # Columns of a panel are orthogonal only to about eps / sine: subtract them as if one by one.
                    factor = load(work, (i * _TILE + j) * width)
                    for m in range(i):
                        overlap = load(work, between + (i * PANEL + m) * width)
                        factor = factor - overlap * load(work, (m * _TILE + j) * width)
                    store(work, (i * _TILE + j) * width, factor)
                    sum_of_squares = sum_of_squares + factor * factor
                store(work, sums + j * width, sum_of_squares)
            lane_subtract(q, to, stride, q, at, stride, n_rows, work, 0, _TILE * width, PANEL, _TILE)
    for j in range(PANEL):
        at = panel + j * stride
        lane_products(q, at, stride, q, panel, stride, n_rows, work, 0, PANEL * width, 0, 1, PANEL)
        square = load(work, j * width)
        inverse = one / (square + tiny)
        store(squares, (column + j) * width, square)
        store(ratios, (column + j) * width, square / (square + load(work, explained + j * width) + tiny))
        store(work, inverses + j * width, inverse)
        for i in range(j + 1, PANEL):
            product = load(work, i * width)
            factor = product * inverse
            store(work, i * width, factor)
            store(work, explained + i * width, load(work, explained + i * width) + factor * product)
        if j == 0:
            lane_subtract(q, at + stride, stride, q, at, stride, n_rows, work, width, PANEL * width, 1, 3)
        elif j == 1:
            lane_subtract(q, at + stride, stride, q, at, stride, n_rows, work, 2 * width, PANEL * width, 1, 2)
        elif j == 2:
            lane_subtract(q, at + stride, stride, q, at, stride, n_rows, work, 3 * width, PANEL * width, 1, 1)
    for j in range(PANEL):
        scale = square_root(load(work, inverses + j * width))
        for row in range(n_rows):
            place = panel + j * stride + row * width
            store(q, place, load(q, place) * scale)
    to = overlaps + column * PANEL * width
    for half in range(PANEL // _TILE):
        lane_products(
            q, panel, stride, q, panel + half * _TILE * stride, stride, n_rows,
            work, to + half * _TILE * width, PANEL * width, 0, PANEL, _TILE,
        )  # fmt: skip


@compiled
def orthonormalize_group(q, n_columns, n_rows, stride, work, squares, ratios, tiny):
    """Orthonormalise all columns of a group; arguments as in `orthonormalize_panel`."""
    for column in range(0, n_columns, PANEL):
        orthonormalize_panel(q, column, n_rows, stride, work, squares, ratios, tiny)


@compiled
def orthonormalize_group_again(q, n_columns, n_rows, stride, work, squares, more, tiny):
    """Second pass over a group, which makes columns orthogonal to rounding where the first left them nearly so.

    Args as in `orthonormalize_panel`; `squares` is multiplied by what this pass finds, and `more` is room for
    2 * n_columns vectors.
    """
    width = lanes(q)
    orthonormalize_group(q, n_columns, n_rows, stride, work, more, more[n_columns * width :], tiny)
    for x in range(0, n_columns * width, width):
        store(squares, x, load(squares, x) * load(more, x))


@compiled
def take_matrix(q, lane, shape, matrix, matrix_stride):
    """Copy the matrix in one lane of a group, without padding, to matrix[column * matrix_stride + row]."""
    width = lanes(q)
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            for r in range(shape.block_rows):
                row = b * shape.padded_block_rows + r
                matrix[c * matrix_stride + b * shape.block_rows + r] = q[c * shape.stride + row * width + lane]


@compiled
def put_matrix(q, lane, shape, matrix, matrix_stride):
    """The reverse of `take_matrix`."""
    width = lanes(q)
    for c in range(shape.n_columns):
        for b in range(shape.n_blocks):
            for r in range(shape.block_rows):
                row = b * shape.padded_block_rows + r
                q[c * shape.stride + row * width + lane] = matrix[c * matrix_stride + b * shape.block_rows + r]
