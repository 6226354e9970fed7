"""Recursive least squares in compiled kernels: the pass over the inverse correlation matrix in each update.

The matrix P is symmetric, so that only the tiles on and below the diagonal are stored. The width of a tile is that of a
vector, or `ROWS` if this is larger. One pass over memory changes P by one update and multiplies it by the next
regressor. This pass is the cost of an update, because P is larger than the first cache and needs few operations per
number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import aligned_zeros, round_up
from lyapunov_pkg.linalg.vectors import lanes, lanes_of, load, multiply_add, spread, store, sum_of_lanes

ROWS = 4
"""Number of rows that are processed together, so that shared operands are loaded once."""


class LeastSquares(NamedTuple):
    """The state of recursive least squares for one output, in one dtype.

    Attributes:
        inverse: P, with `stride` numbers from one row to the next. Entries to the right of the diagonal's tiles are not
            used.
        regressor: r, followed by zeros.
        direction: k = P r of the last update, by which P still has to be changed.
        product: memory for the next P r.
        weights: the learned weights w.
        gain: (1,), c = 1 / (1 + r·k) of the last update.
    """

    inverse: NDArray
    regressor: NDArray
    direction: NDArray
    product: NDArray
    weights: NDArray
    gain: NDArray


def least_squares(n_weights: int, dtype: np.dtype, scale: float = 1.0) -> LeastSquares:
    """Return the initial state: P is the identity times `scale`, and the weights are zero."""
    stride = round_up(n_weights, max(ROWS, lanes_of(dtype.itemsize)))
    inverse = aligned_zeros(stride * stride, dtype)
    inverse[:: stride + 1] = scale
    regressor, direction, product, weights = (aligned_zeros(stride, dtype) for _ in range(4))
    return LeastSquares(inverse, regressor, direction, product, weights, np.zeros(1, dtype))


@compiled
def learn(state, error):
    """Make one update, after `state.regressor` gave an output that was too large by `error`.

    k = P r, c = 1 / (1 + r·k), P <- P - c k kᵀ, w <- w - c error k (Sussillo and Abbott 2009, eqs. 4 and 5, with the
    error before the update). P is changed at its next multiplication.
    """
    change_and_multiply(state.inverse, state.gain[0], state.direction, state.regressor, state.product)
    correlation = state.gain[0] * 0
    for i in range(len(state.product)):
        correlation += state.regressor[i] * state.product[i]
    state.gain[0] = 1 / (1 + correlation)
    for i in range(len(state.product)):
        state.direction[i] = state.product[i]
        state.weights[i] -= state.gain[0] * error * state.product[i]


@compiled
def change_and_multiply(p, c, k, r, y):
    """Compute P <- P - c k kᵀ and y = P r, in one pass over the tiles on and below the diagonal."""
    n, width = len(k), lanes(p)
    tile = max(ROWS, width)
    y[:] = 0
    for i in range(0, n, ROWS):
        at_0, at_1, at_2, at_3 = i * n, (i + 1) * n, (i + 2) * n, (i + 3) * n
        k_0, k_1 = spread(p, -c * k[i]), spread(p, -c * k[i + 1])
        k_2, k_3 = spread(p, -c * k[i + 2]), spread(p, -c * k[i + 3])
        r_0, r_1, r_2, r_3 = spread(p, r[i]), spread(p, r[i + 1]), spread(p, r[i + 2]), spread(p, r[i + 3])
        sum_0 = sum_1 = sum_2 = sum_3 = spread(p, c * 0)
        diagonal = i // tile * tile
        for j in range(0, diagonal + tile, width):
            k_j, r_j = load(k, j), load(r, j)
            p_0 = multiply_add(k_0, k_j, load(p, at_0 + j))
            p_1 = multiply_add(k_1, k_j, load(p, at_1 + j))
            p_2 = multiply_add(k_2, k_j, load(p, at_2 + j))
            p_3 = multiply_add(k_3, k_j, load(p, at_3 + j))
            store(p, at_0 + j, p_0)
            store(p, at_1 + j, p_1)
            store(p, at_2 + j, p_2)
            store(p, at_3 + j, p_3)
            sum_0 = multiply_add(p_0, r_j, sum_0)
            sum_1 = multiply_add(p_1, r_j, sum_1)
            sum_2 = multiply_add(p_2, r_j, sum_2)
            sum_3 = multiply_add(p_3, r_j, sum_3)
            if j < diagonal:  # entries above the diagonal are the transpose
                y_j = multiply_add(p_0, r_0, load(y, j))
                y_j = multiply_add(p_1, r_1, y_j)
                y_j = multiply_add(p_2, r_2, y_j)
                store(y, j, multiply_add(p_3, r_3, y_j))
        y[i] += sum_of_lanes(sum_0)
        y[i + 1] += sum_of_lanes(sum_1)
        y[i + 2] += sum_of_lanes(sum_2)
        y[i + 3] += sum_of_lanes(sum_3)
