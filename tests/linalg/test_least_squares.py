"""Recursive least squares gives the result of regularised least squares."""

from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.linalg.least_squares import learn, least_squares


@pytest.mark.parametrize("n", [1, 4, 7, 16, 33, 100])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-3)])
def test_weights_are_those_of_ridge_regression(n, dtype, tolerance):
    """After m updates, w = (I / scale + Rᵀ R)^-1 Rᵀ f, and P is the inverse in this formula."""
    rng = np.random.default_rng(0)
    regressors, wanted = rng.standard_normal((60, n)), rng.standard_normal(60)
    state = least_squares(n, np.dtype(dtype), scale=0.5)
    for r, f in zip(regressors, wanted, strict=True):
        state.regressor[:n] = r
        learn(state, state.weights @ state.regressor - dtype(f))
    inverse = np.linalg.inv(np.eye(n) / 0.5 + regressors.T @ regressors)
    np.testing.assert_allclose(state.weights[:n], inverse @ regressors.T @ wanted, atol=tolerance)
    assert not state.weights[n:].any()

    # An update with error zero changes only P, and the next product shows P.
    probe = rng.standard_normal(n)
    state.regressor[:n] = probe
    learn(state, dtype(0))
    np.testing.assert_allclose(state.product[:n], inverse @ probe, atol=tolerance)
