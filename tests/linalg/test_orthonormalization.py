from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lyapunov_pkg.linalg import orthonormalize

QUICK = settings(max_examples=25, deadline=None)
shapes = st.tuples(st.integers(0, 3), st.integers(1, 8), st.integers(1, 8)).map(
    lambda s: (s[0], max(s[1:]), min(s[1:]))
)
seeds = st.integers(0, 2**31)


def random_matrices(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def well_conditioned(seed: int, n: int) -> torch.Tensor:
    return torch.eye(n, dtype=torch.float64) + 0.3 / n * random_matrices(seed, n, n)


def assert_orthonormal(q: torch.Tensor, tolerance: float = 1e-12) -> None:
    identity = torch.eye(q.shape[-1], dtype=q.dtype)
    assert torch.allclose(q.mT @ q, identity.expand(*q.shape[:-2], -1, -1), atol=tolerance)


@QUICK
@given(shapes, seeds)
def test_q_is_orthonormal_and_log_r_is_the_diagonal_of_triangular_r(shape, seed):
    a = random_matrices(seed, *shape)
    q, log_r = orthonormalize(a)
    assert q.shape == a.shape and log_r.shape == (shape[0], shape[2])
    assert_orthonormal(q)
    r = q.mT @ a
    assert torch.allclose(q @ r, a, atol=1e-12)
    assert torch.allclose(r.tril(-1), torch.zeros_like(r), atol=1e-12)
    assert torch.allclose(r.diagonal(dim1=-2, dim2=-1), log_r.exp(), atol=1e-12)


@QUICK
@given(st.lists(st.booleans(), min_size=1, max_size=8), seeds)
def test_dependent_columns_are_lost_without_changing_the_others(dependent, seed):
    n = len(dependent)
    a = well_conditioned(seed, n)
    kept = []
    for column in range(n):
        if dependent[column]:
            a[:, column] = a[:, kept] @ random_matrices(seed + column, len(kept))
        else:
            kept.append(column)
    q, log_r = orthonormalize(a)
    assert_orthonormal(q)
    assert torch.isneginf(log_r[len(kept) :]).all()
    expected_q, expected_log_r = orthonormalize(a[:, kept])
    assert torch.allclose(log_r[: len(kept)], expected_log_r, atol=1e-12)
    assert torch.allclose(q[:, : len(kept)], expected_q, atol=1e-12)


def test_a_zero_column_before_an_independent_one_loses_only_itself():
    q, log_r = orthonormalize(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]))
    assert log_r.tolist() == pytest.approx([0.0, math.log(2.0), -math.inf])
    assert_orthonormal(q, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_rows_and_the_zero_matrix_are_lost_exactly_in_both_precisions(dtype):
    a = random_matrices(3, 4, 6, 6, dtype=dtype)
    a[:, [0, 3]] = 0.0
    q, log_r = orthonormalize(a)
    assert q.dtype == log_r.dtype == dtype
    assert torch.isfinite(log_r[:, :4]).all() and torch.isneginf(log_r[:, 4:]).all()
    assert torch.isneginf(orthonormalize(torch.zeros(5, 3, dtype=dtype))[1]).all()


def test_columns_of_very_different_length_are_not_lost():
    lengths = torch.logspace(0, -60, 13, dtype=torch.float64)
    _, log_r = orthonormalize(torch.diag(lengths))
    assert torch.allclose(log_r, lengths.log())


@pytest.mark.parametrize("condition", [1e2, 1e7, 1e12])
def test_agrees_with_lapack_on_ill_conditioned_matrices(condition):
    n = 24
    left, _ = orthonormalize(random_matrices(1, 3, n, n))
    right, _ = orthonormalize(random_matrices(2, 3, n, n))
    a = left * torch.logspace(0, -math.log10(condition), n, dtype=torch.float64) @ right.mT
    _, log_r = orthonormalize(a)
    reference = np.log(np.abs(np.diagonal(np.linalg.qr(a.numpy()).R, axis1=-2, axis2=-1)))
    # R has a relative error of about eps times the condition number, and so do the logarithms.
    assert np.abs(log_r.numpy() - reference).max() < 100 * np.finfo(np.float64).eps * condition


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_non_finite_matrix_gives_nan_only_for_itself(value):
    a = random_matrices(0, 2, 3, 4, 4)
    clean_q, clean_log_r = orthonormalize(a)
    a[1, 2, 0, 3] = value
    q, log_r = orthonormalize(a)
    assert q[1, 2].isnan().all() and log_r[1, 2].isnan().all()
    others = torch.ones(2, 3, dtype=torch.bool)
    others[1, 2] = False
    assert torch.equal(q[others], clean_q[others]) and torch.equal(log_r[others], clean_log_r[others])


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3)])
def test_more_columns_than_rows_are_refused(shape):
    with pytest.raises(ValueError, match=r"matrices: got shape .* expected \(\.\.\., n, k\)"):
        orthonormalize(torch.ones(shape))


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0), (2, 0, 0), (5, 0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_matrices_and_no_columns_give_results_of_their_shape(shape, dtype):
    q, log_r = orthonormalize(torch.zeros(shape, dtype=dtype))
    assert q.shape == shape and log_r.shape == (*shape[:-2], shape[-1])
    assert q.dtype == log_r.dtype == dtype
