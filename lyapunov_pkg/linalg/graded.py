"""QR decomposition of matrices whose rows or columns differ in size by more than float64 resolves.

The rows of Jacobians differ in size if units saturate: the slope of one unit may be 1, that of another 1e-20.
Gram-Schmidt subtracts whole columns, and small rows are lost in the rounding errors of large rows. The same happens in
Householder QR with an arbitrary order of rows. Householder QR with the largest entry of each column as pivot has an
error that is small relative to each row (Powell and Reid 1969; Cox and Higham 1998). It therefore finds the remaining
directions of a column even if they are very small. Each resulting entry is compared with the size of its operands.

References:
    Powell, M., Reid, J.: On applying Householder transformations to linear least squares problems. IFIP Congress 1968,
    122-126 (1969).
    Cox, A., Higham, N.: Stability of Householder QR factorization for weighted least squares problems. Numerical
    Analysis 1997, 57-73 (1998).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import Layout, aligned_zeros
from lyapunov_pkg.linalg.vectors import lanes, load, multiply_add, spread, store, sum_of_lanes

ROUNDING = 1e-14
"""An entry counts as a rounding error if it is at most this share of the size of its operands. Exactly dependent
columns leave a share of 1e-16 to 1e-14, in rare steps 1e-13. The limit is below the rare value. Dependent columns are
found at other steps too, but a direction of a nonsingular Jacobian must never be treated as lost."""


class GradedScratch(NamedTuple):
    """Intermediate results of the decomposition, in float64.

    A reflection is H = I - factor v vᵀ. It follows the exchange of row `pivot` with the row of the reflection's own
    number.
    """

    magnitudes: NDArray
    """(column, row): absolute values of each v."""
    sources: NDArray
    """(row,): size of the operands of each entry of a column."""
    factors: NDArray
    """(column,)"""
    pivots: NDArray
    """(column,), int64"""
    signs: NDArray
    """(column,): signs that make the diagonal of R positive."""
    squares: NDArray
    """(column,), output: squared diagonal of R, without the factor of `powers`; 0 for lost directions."""
    powers: NDArray
    """(column,), int16, output: the square is squares * 4**powers."""


def graded_scratch(layout: Layout) -> GradedScratch:
    """Return the memory of one thread for float64 matrices of a layout, one by one."""
    float64, n_columns = np.dtype(np.float64), layout.shape.n_columns
    magnitudes, sources = (aligned_zeros(size, float64) for size in (layout.frame_size, layout.padded_rows))
    factors, signs, squares = (np.zeros(n_columns) for _ in range(3))
    pivots, powers = np.zeros(n_columns, np.int64), np.zeros(n_columns, np.int16)
    return GradedScratch(magnitudes, sources, factors, pivots, signs, squares, powers)


@compiled
def orthonormalize_graded(a, shape, scratch):
    """Orthonormalise the columns of a finite matrix in place and move lost directions to the end.

    Args:
        a: flat, float64. Columns and rows that pad the matrix are zero.
        shape: its `Shape`; one block.
        scratch: `GradedScratch`. Its `squares` and `powers` contain the diagonal of R afterwards.

    Returns:
        The number of directions that are not lost, and the smallest sine of the angle between a column and the span of
        the columns before it. The sine is 0 if a direction is lost.
    """
    kept, smallest = 0, 1.0
    for c in range(shape.n_columns):
        at = c * shape.stride
        length, power = _scale(a, at, shape.block_rows, scratch.sources)
        for i in range(kept):
            _exchange(a, at + i, at + scratch.pivots[i])
            _exchange(scratch.sources, i, scratch.pivots[i])
            _reflect(a, at, i, shape, scratch)
            _follow_sources(i, shape, scratch)
        rest = _make_reflection(a, at, kept, shape, scratch)
        if rest > 0:
            smallest = min(smallest, rest / length)
            mantissa, own_power = math.frexp(rest)
            scratch.squares[kept], scratch.powers[kept] = mantissa * mantissa, power + own_power
            kept += 1
    scratch.squares[kept:] = 0
    scratch.powers[kept:] = 0
    _form_basis(a, kept, shape, scratch)
    return kept, smallest if kept == shape.n_columns else 0.0


@compiled
def _scale(a, at, n_rows, sources):
    """Scale a column by a power of two so that its largest entry is about 1. Return its new length and the power."""
    largest = 0.0
    for r in range(n_rows):
        largest = max(largest, abs(a[at + r]))
    power, square = math.frexp(largest)[1], 0.0
    for r in range(n_rows):
        a[at + r] = math.ldexp(a[at + r], -power)
        sources[r] = abs(a[at + r])
        square += sources[r] * sources[r]
    return np.sqrt(square), power


@compiled
def _exchange(numbers, x, y):
    held = numbers[x]
    numbers[x] = numbers[y]
    numbers[y] = held


@compiled
def _reflect(a, at, i, shape, scratch):
    """Apply reflection i, whose vector is in column i, to the column at `at`."""
    vector, width, product = i * shape.stride, lanes(a), spread(a, 0)
    for r in range(0, shape.padded_block_rows, width):
        product = multiply_add(load(a, vector + r), load(a, at + r), product)
    step = spread(a, -scratch.factors[i] * sum_of_lanes(product))
    for r in range(0, shape.padded_block_rows, width):
        store(a, at + r, multiply_add(step, load(a, vector + r), load(a, at + r)))


@compiled
def _follow_sources(i, shape, scratch):
    """Add the sizes of the operands of reflection i to the sizes for the entries of a column."""
    magnitudes, sources, vector = scratch.magnitudes, scratch.sources, i * shape.stride
    size = spread(sources, 0)
    for r in range(0, shape.padded_block_rows, lanes(sources)):
        size = multiply_add(load(magnitudes, vector + r), load(sources, r), size)
    factor = scratch.factors[i] * sum_of_lanes(size)
    for r in range(shape.block_rows):
        sources[r] = max(sources[r], factor * magnitudes[vector + r])


@compiled
def _make_reflection(a, at, i, shape, scratch):
    """Compute the reflection of the column at `at` onto row i, with its vector in column i.

    Return the remaining length of the column. Entries that are only rounding errors of their operands count as zero. If
    all entries do, the column is lost: the result is 0 and column i is unchanged.
    """
    n_rows, to, sources = shape.block_rows, i * shape.stride, scratch.sources
    largest, pivot = 0.0, i
    for r in range(i, n_rows):
        size = abs(a[at + r])
        if size <= ROUNDING * sources[r]:
            a[at + r] = 0
        elif size > largest:
            largest, pivot = size, r
    if largest == 0:
        return 0.0
    _exchange(a, at + i, at + pivot)
    square = 0.0
    for r in range(n_rows):
        a[to + r] = a[at + r] / largest if r >= i else 0.0
        square += a[to + r] * a[to + r]
    length = np.sqrt(square)
    scratch.signs[i] = -1.0 if a[to + i] >= 0 else 1.0
    first, square = a[to + i] - scratch.signs[i] * length, 1.0
    for r in range(i + 1, n_rows):
        a[to + r] /= first
        square += a[to + r] * a[to + r]
    a[to + i] = 1.0
    for r in range(n_rows):
        scratch.magnitudes[to + r] = abs(a[to + r])
    scratch.factors[i], scratch.pivots[i] = 2.0 / square, pivot
    return largest * length


@compiled
def _form_basis(a, kept, shape, scratch):
    """Form Q from the reflections in the first `kept` columns, followed by orthogonal columns for lost directions."""
    stride = shape.stride
    a[kept * stride : shape.n_columns * stride] = 0
    for c in range(kept, shape.n_columns):
        a[c * stride + c] = 1
    for i in range(kept - 1, -1, -1):
        for c in range(i + 1, shape.n_columns):
            _reflect(a, c * stride, i, shape, scratch)
            _exchange(a, c * stride + i, c * stride + scratch.pivots[i])
        own = i * stride
        for r in range(i, shape.block_rows):
            a[own + r] *= -scratch.signs[i] * scratch.factors[i]
        a[own + i] += scratch.signs[i]
        _exchange(a, own + i, own + scratch.pivots[i])
