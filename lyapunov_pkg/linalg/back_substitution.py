"""The kernel of `coefficients.py`, which solves the triangular systems of a trajectory backward in time."""

from __future__ import annotations

import numpy as np

from lyapunov_pkg.linalg.compilation import compiled


@compiled
def substitute_back(factors, diagonals, defined, coefficients, growths):
    """Propagate the coefficients of one trajectory backward in time; see `coefficients.carry_back`.

    Args:
        factors: (time, k, k).
        diagonals: (time, k), float64.
        defined: (k,), bool.
        coefficients: (n_times, k, k), output.
        growths: (n_times, k), output.
    """
    k, n_times = len(defined), len(coefficients)
    current, squares = np.eye(k), np.empty(k)
    for time in range(len(factors) - 1, -1, -1):
        if time < n_times:
            coefficients[time] = current
        squares[:] = 0
        for i in range(k - 1, -1, -1):
            if defined[i]:
                for m in range(i + 1, k):
                    if defined[m]:
                        factor = np.float64(factors[time, i, m])
                        for j in range(m, k):
                            current[i, j] -= factor * current[m, j]
                for j in range(i, k):
                    current[i, j] /= diagonals[time, i]
            for j in range(i, k):
                squares[j] += current[i, j] * current[i, j]
        lengths = np.sqrt(squares)
        for i in range(k):
            for j in range(i, k):
                current[i, j] /= lengths[j]
        if time < n_times:
            for j in range(k):
                growths[time, j] = -np.log(lengths[j])
