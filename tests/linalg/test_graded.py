"""The decomposition finds directions in very small rows or columns, and reports only truly lost directions as lost."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lyapunov_pkg.linalg import orthonormalize


def exact_log_r(matrix: NDArray, digits: int = 400) -> NDArray:
    """Return log |diag R| from Gram-Schmidt with the given number of decimal digits."""
    with mpmath.workdps(digits):
        columns = [[mpmath.mpf(float(entry)) for entry in column] for column in matrix.T]
        found = []
        for j, column in enumerate(columns):
            for _ in range(2):
                for unit in columns[:j]:
                    product = mpmath.fdot(unit, column)
                    column = [x - product * u for x, u in zip(column, unit, strict=True)]
            length = mpmath.sqrt(mpmath.fdot(column, column))
            found.append(float(mpmath.log(length)))
            columns[j] = [x / length for x in column]
    return np.array(found)


def rows_graded(rng: np.random.Generator, n: int, k: int, decades: float) -> NDArray:
    return 10.0 ** -rng.uniform(0, decades, (n, 1)) * rng.standard_normal((n, k))


def with_zeros(rng: np.random.Generator, n: int, k: int, decades: float) -> NDArray:
    graded = rows_graded(rng, n, k, decades) * (rng.random((n, k)) > 0.3)
    # The scale is chosen so that no column is lost.
    graded[np.arange(k), np.arange(k)] = 10.0 ** -rng.uniform(0, decades, k)
    return graded


def rows_and_columns_graded(rng: np.random.Generator, n: int, k: int, decades: float) -> NDArray:
    return rows_graded(rng, n, k, decades) * 10.0 ** -rng.uniform(0, 30, k)


KINDS = [rows_graded, with_zeros, rows_and_columns_graded]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "decades"), [(5, 20), (8, 40), (8, 200)])
@pytest.mark.parametrize("n_matrices", [1, 9], ids=["one by one", "in groups"])
@pytest.mark.parametrize("to_rounding", [True, False])
def test_log_r_agrees_with_high_precision_if_rows_differ_by_many_decades(kind, k, decades, n_matrices, to_rounding):
    rng = np.random.default_rng(0)
    n = k + k // 2
    matrices = np.stack([kind(rng, n, k, decades) for _ in range(n_matrices)])
    q, log_r = orthonormalize(torch.from_numpy(matrices), to_rounding=to_rounding)
    for matrix, basis, found in zip(matrices[:3], q, log_r, strict=False):
        expected = exact_log_r(matrix)
        # One pass has an error of about eps / sine and is accepted for sines above 1e-8.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 if to_rounding else 1e-7)
        assert (basis.mT @ basis - torch.eye(k, dtype=torch.float64)).abs().max() < (1e-13 if to_rounding else 1e-6)


def test_q_times_r_reproduces_each_row_of_a_graded_matrix():
    """The error of each row is small relative to that row, not to the largest one."""
    matrix = torch.from_numpy(rows_graded(np.random.default_rng(1), 10, 10, 100))
    q, log_r = orthonormalize(matrix)
    triangular = (q.mT @ matrix).triu(1) + torch.diag(log_r.exp())
    size = matrix.abs().amax(dim=-1, keepdim=True)
    # Rows of Q have the gradation of the matrix, so rows below 1e-16 are beyond this check.
    kept = (size > 1e-12)[:, 0]
    torch.testing.assert_close((q @ triangular)[kept] / size[kept], matrix[kept] / size[kept], atol=1e-12, rtol=0)


@pytest.mark.parametrize("to_rounding", [True, False])
@pytest.mark.parametrize("n_matrices", [1, 9], ids=["one by one", "in groups"])
def test_each_zero_row_costs_one_direction_even_in_graded_matrices(n_matrices, to_rounding):
    rng = np.random.default_rng(2)
    matrices = np.stack([rows_graded(rng, 9, 9, 30) for _ in range(n_matrices)])
    matrices[:, [1, 4, 8]] = 0
    _, log_r = orthonormalize(torch.from_numpy(matrices), to_rounding=to_rounding)
    assert torch.isfinite(log_r[:, :6]).all() and torch.isneginf(log_r[:, 6:]).all()
    # The other exponents are those of the first columns, one for each nonzero row.
    expected = exact_log_r(matrices[0][:, :6])
    np.testing.assert_allclose(log_r[0, :6], expected, rtol=0, atol=1e-7)


def test_small_rows_below_rows_that_cancel_are_resolved():
    """After elimination, the second of two equal rows contains only rounding; the tiny third row must still count."""
    matrix = torch.tensor([[1.1, 1.3], [1.1, 1.3], [1e-30, -1e-30]], dtype=torch.float64)
    _, log_r = orthonormalize(matrix)
    # det(AᵀA) = 2 (1.1 + 1.3)² 1e-60, by the Cauchy-Binet formula.
    assert log_r.sum().item() == pytest.approx(0.5 * math.log(2 * 2.4**2 * 1e-60), rel=1e-12)


@pytest.mark.parametrize("decades", [0, 15])
def test_columns_that_depend_on_others_are_lost_whether_or_not_rows_are_graded(decades):
    rng = np.random.default_rng(3)
    for _ in range(20):
        independent = rng.standard_normal((12, 7))
        scales = 10.0 ** -rng.uniform(0, decades, (12, 1)) if decades else 1.0
        matrix = scales * (independent @ np.concatenate([np.eye(7), rng.standard_normal((7, 4))], axis=1))
        _, log_r = orthonormalize(torch.from_numpy(matrix))
        assert torch.isneginf(log_r).sum() == 4
        np.testing.assert_allclose(log_r[:7], exact_log_r(matrix[:, :7]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_columns_whose_squared_lengths_underflow_or_overflow(scale):
    matrix = np.random.default_rng(4).standard_normal((6, 4))
    expected = exact_log_r(matrix) + math.log(scale)
    for matrices in (scale * matrix, np.stack([scale * matrix] * 9)):
        _, log_r = orthonormalize(torch.from_numpy(matrices))
        np.testing.assert_allclose(log_r.reshape(-1, 4)[0], expected, rtol=1e-13)
