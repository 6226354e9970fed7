"""The kernel of `covariant.py`, which solves the triangular systems of a trajectory backward in time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import ROWS
from lyapunov_pkg.linalg.tiles import WIDE
from lyapunov_pkg.linalg.vectors import (
    lanes,
    load,
    multiply_add,
    row_products,
    spread,
    spread_from,
    square_root,
    store,
    transpose_tile,
    view,
)


class _System(NamedTuple):
    """A triangular system R C = B. Padding consists of zeros, and of columns of C that nothing reads."""

    n_rows: int
    """k, rounded up to a multiple of `ROWS`."""
    factors: NDArray
    """(n_rows, n_rows), flat: R above its diagonal."""
    scales: NDArray
    """(n_rows,): the reciprocals of the diagonal of R."""
    stride: int
    """Padded number of columns, and of rows."""
    current: NDArray
    """(stride, stride), flat: B, which C replaces."""
    lengths: NDArray
    """(stride,): the lengths of the columns of C before they are normalised."""


class _Products(NamedTuple):
    """Memory for V = Q C in the precision of Q."""

    transposed: NDArray
    """C^T in float64, with the stride of `_System`, flat."""
    coefficients: NDArray
    """The same in the precision of Q."""
    stride: int
    """Padded number of rows of Q."""
    q: NDArray
    """(n_rows, stride), flat: the columns of Q."""
    vectors: NDArray
    """(n_rows, stride), flat: the columns of V."""


@compiled
def substitute_back(q, factors, diagonals, defined, growths):
    """Replace the bases of one trajectory by covariant vectors, backward in time; see `covariant.carry_back`.

    Args:
        q: (n_times, k, rows), the columns of Q, which are overwritten.
        factors: (time, k, k).
        diagonals: (time, k), float64.
        defined: (k,), bool.
        growths: (n_times, k), output.
    """
    n_times, k, _ = q.shape
    system, products = _make_system(k), _make_products(q)
    tile = WIDE * lanes(system.current)
    for time in range(len(factors) - 1, -1, -1):
        if time < n_times:
            _combine(system, products, q[time])
        for i in range(k):
            if defined[i]:
                system.scales[i] = 1 / diagonals[time, i]
                for m in range(i + 1, k):
                    system.factors[i * system.n_rows + m] = factors[time, i, m] if defined[m] else 0
        for first in range(0, k, tile):
            _solve(system, first, min(first + tile, system.n_rows))
        if time < n_times:
            for j in range(k):
                growths[time, j] = -np.log(system.lengths[j])


@compiled
def _make_system(k):
    n_rows = -(-k // ROWS) * ROWS
    factors, scales = np.zeros(n_rows * n_rows), np.ones(n_rows)
    tile = WIDE * lanes(factors)
    stride = -(-n_rows // tile) * tile
    current = np.zeros(stride * stride)
    for i in range(k):
        current[i * stride + i] = 1
    return _System(n_rows, factors, scales, stride, current, np.empty(stride))


@compiled
def _make_products(q):
    _, k, rows = q.shape
    n_rows = -(-k // ROWS) * ROWS
    of_64 = WIDE * lanes(np.empty(0))
    size = (-(-n_rows // of_64) * of_64) ** 2
    tile = WIDE * lanes(q)
    stride = -(-rows // tile) * tile
    memory = np.zeros(n_rows * stride, q.dtype), np.zeros(n_rows * stride, q.dtype)
    return _Products(np.zeros(size), np.zeros(size, q.dtype), stride, *memory)


@compiled
def _solve(system, first, n_rows):
    """Solve for the tile of columns from `first` on, and normalise them. From row `n_rows` on, they are zero.

    The rows are solved in blocks of `ROWS`, from the last one to the first.
    """
    size, stride, factors, current = system.n_rows, system.stride, system.factors, system.current
    width = lanes(current)
    for i in range(n_rows - ROWS, -1, -ROWS):
        after = i + ROWS
        if after < n_rows:
            of_solved, solved = view(factors, i * size + after, size), view(current, after * stride + first, stride)
            row_products(of_solved, solved, n_rows - after, view(current, i * stride + first, stride), -1, ROWS, WIDE)
        for row in range(after - 1, i - 1, -1):
            scale = spread_from(system.scales, row)
            for at in range(first, first + WIDE * width, width):
                x = load(current, row * stride + at)
                for m in range(row + 1, after):
                    x = x - spread_from(factors, row * size + m) * load(current, m * stride + at)
                store(current, row * stride + at, x * scale)
    for at in range(first, first + WIDE * width, width):
        square = spread(current, 0)
        for row in range(n_rows):
            x = load(current, row * stride + at)
            square = multiply_add(x, x, square)
        length = square_root(square)
        store(system.lengths, at, length)
        scale = spread(current, 1) / length
        for row in range(n_rows):
            store(current, row * stride + at, load(current, row * stride + at) * scale)


@compiled
def _combine(system, products, q):
    """Replace the columns of Q (k, rows) by those of Q C."""
    k, rows = q.shape
    stride, width = system.stride, lanes(system.current)
    for i in range(0, system.n_rows, width):
        for j in range(i, system.n_rows, width):  # C is an upper triangle.
            tile = view(system.current, i * stride + j, stride)
            transpose_tile(tile, view(products.transposed, j * stride + i, stride))
    for x in range(len(products.transposed)):
        products.coefficients[x] = products.transposed[x]
    for m in range(k):
        for r in range(rows):
            products.q[m * products.stride + r] = q[m, r]
    for j in range(0, system.n_rows, ROWS):
        for r in range(0, rows, WIDE * lanes(q)):
            bases = view(products.q, r, products.stride)
            vectors = view(products.vectors, j * products.stride + r, products.stride)
            row_products(view(products.coefficients, j * stride, stride), bases, j + ROWS, vectors, 0, ROWS, WIDE)
    for j in range(k):
        for r in range(rows):
            q[j, r] = products.vectors[j * products.stride + r]
