"""Fallback in float64 for matrices for which one pass of Gram-Schmidt is not accurate enough.

Two passes of Gram-Schmidt suffice for almost all of these matrices. In the remaining ones directions seem to be lost.
These are decomposed by Householder reflections (`graded.py`), unless zero rows or columns already explain the lost
directions. If the reflections find no more directions, the result of Gram-Schmidt is kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.graded import GradedScratch, graded_scratch, orthonormalize_graded
from lyapunov_pkg.linalg.layout import Shape, aligned_zeros, one_by_one
from lyapunov_pkg.linalg.one_by_one import orthonormalize_matrix, orthonormalize_matrix_again
from lyapunov_pkg.linalg.resolution import RESOLUTION
from lyapunov_pkg.linalg.vectors import lanes, load, multiply_add, spread, store, sum_of_lanes
from lyapunov_pkg.linalg.workspace import Workspace, make_workspace

TRUSTED_RATIO = 1e-16
"""Squared sine below which a second pass in float64 is needed, even if Q need not be orthonormal to rounding."""


class Fallback(NamedTuple):
    """Workspace of a thread that recomputes matrices in float64, one at a time."""

    shape: Shape
    """Shape of the matrix, as one block."""
    matrix: NDArray
    original: NDArray
    """The matrix before Gram-Schmidt. Householder reflections work on it in place."""
    workspace: Workspace
    graded: GradedScratch
    distances: NDArray
    """(row,): squared distance of each coordinate axis from the span of the columns."""


def make_fallback(shape: Shape) -> Fallback:
    """Return the workspace for matrices of this shape."""
    dtype = np.dtype(np.float64)
    layout = one_by_one(1, shape.n_blocks * shape.block_rows, shape.n_columns, dtype)
    matrix, original = (aligned_zeros(layout.frame_size, dtype) for _ in range(2))
    workspace, graded = make_workspace(layout, dtype), graded_scratch(layout)
    return Fallback(layout.shape, matrix, original, workspace, graded, aligned_zeros(layout.padded_rows, dtype))


@compiled
def recompute_in_float64(fallback, to_rounding, findings, index):
    """Orthonormalise `fallback.matrix` in place, with lost directions last, and write its findings.

    Args:
        fallback: `Fallback`.
        to_rounding: whether Q must be orthonormal to rounding. If not, a second pass is made only if the columns after
            the first pass are orthogonal to less than 1e-8.
        findings: `Findings`, output. A matrix that is not finite becomes NaN, and its squares too. The squares of lost
            directions are 0, and then the sine is also 0.
        index: index into `findings`.
    """
    a, shape, found = fallback.matrix, fallback.shape, fallback.workspace.first
    squares = findings.squares[index]
    if not _is_finite(a, shape):
        squares[:] = np.nan
        findings.sines[index] = np.nan
        for c in range(shape.n_columns):
            a[c * shape.stride : c * shape.stride + shape.block_rows] = np.nan
        return
    fallback.original[:] = a
    n_kept = _orthonormalize_twice(fallback, to_rounding)
    if _seems_wrong(fallback, n_kept):
        n_found, sine = orthonormalize_graded(fallback.original, shape, fallback.graded)
        if n_found > n_kept or not np.isfinite(found.squares[:n_kept]).all():
            a[:] = fallback.original
            squares[:] = fallback.graded.squares
            findings.powers[index, :] = fallback.graded.powers
            findings.sines[index] = sine
            return
    smallest = found.ratios[0]
    for c in range(shape.n_columns):
        squares[c] = found.squares[c]
        smallest = min(smallest, found.ratios[c]) if found.squares[c] != 0 else 0.0
    findings.sines[index] = np.sqrt(smallest)


@compiled
def _is_finite(a, shape):
    """Return whether all entries are finite, and set the padding to zero."""
    finite = True
    for c in range(shape.padded_columns):
        for r in range(shape.padded_block_rows):
            if c >= shape.n_columns or r >= shape.block_rows:
                a[c * shape.stride + r] = 0
            finite &= np.isfinite(a[c * shape.stride + r])
    return finite


@compiled
def _orthonormalize_twice(fallback, to_rounding):
    """Make two passes of Gram-Schmidt ("twice is enough"), and return how many directions are not lost.

    Arbitrary orthonormal directions replace the lost ones.
    """
    a, shape, workspace = fallback.matrix, fallback.shape, fallback.workspace
    found, tiny = workspace.first, workspace.limits.tiny
    orthonormalize_matrix(a, shape, workspace.scratch, found, RESOLUTION, tiny)
    smallest = 1.0
    for c in range(shape.n_columns):
        if found.squares[c] > 0:
            smallest = min(smallest, found.ratios[c])
    if to_rounding or smallest < TRUSTED_RATIO:
        orthonormalize_matrix_again(a, shape, workspace.scratch, found, workspace.second, tiny)
    n_kept = 0
    for c in range(shape.n_columns):
        if found.squares[c] > 0:
            found.squares[n_kept] = found.squares[c]
            if n_kept < c:
                for r in range(shape.block_rows):
                    a[n_kept * shape.stride + r] = a[c * shape.stride + r]
            n_kept += 1
    if n_kept < shape.n_columns:
        found.squares[n_kept : shape.n_columns] = 0
        _fill_with_new_directions(a, n_kept, shape, fallback.distances)
    return n_kept


@compiled
def _seems_wrong(fallback, n_kept):
    """Return whether lengths overflowed, or more directions were lost than zero rows and columns explain."""
    original, shape = fallback.original, fallback.shape
    for c in range(n_kept):
        if not np.isfinite(fallback.workspace.first.squares[c]):
            return True
    if n_kept == shape.n_columns:
        return False
    n_columns = 0
    fallback.distances[:] = 0
    for c in range(shape.n_columns):
        is_zero = True
        for r in range(shape.block_rows):
            size = abs(original[c * shape.stride + r])
            fallback.distances[r] = max(fallback.distances[r], size)
            is_zero &= size == 0
        n_columns += not is_zero
    n_rows = 0
    for r in range(shape.block_rows):
        n_rows += fallback.distances[r] > 0
    return n_kept < min(n_rows, n_columns)


@compiled
def _fill_with_new_directions(a, n_given, shape, distances):
    """Set the columns from n_given on to unit vectors that are orthogonal to each other and to the first columns.

    Each is computed from the coordinate axis that is farthest from the span of the columns before it.
    """
    n_rows, stride = shape.block_rows, shape.stride
    for r in range(n_rows):
        distances[r] = 1.0
        for c in range(n_given):
            distances[r] -= a[c * stride + r] ** 2
    for new in range(n_given, shape.n_columns):
        to = new * stride
        farthest = np.argmax(distances[:n_rows])
        a[to : to + shape.padded_block_rows] = 0
        a[to + farthest] = 1
        for _ in range(2):
            for c in range(new):
                product = spread(a, -_product(a, c * stride, to, shape.padded_block_rows))
                for r in range(0, shape.padded_block_rows, lanes(a)):
                    store(a, to + r, multiply_add(product, load(a, c * stride + r), load(a, to + r)))
            scale = 1 / np.sqrt(_product(a, to, to, shape.padded_block_rows))
            for r in range(n_rows):
                a[to + r] *= scale
        for r in range(n_rows):
            distances[r] -= a[to + r] ** 2


@compiled
def _product(a, first, second, n_rows):
    """Return the inner product of two columns."""
    total = spread(a, 0)
    for r in range(0, n_rows, lanes(a)):
        total = multiply_add(load(a, first + r), load(a, second + r), total)
    return sum_of_lanes(total)
