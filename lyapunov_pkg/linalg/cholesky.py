"""Cholesky QR in two passes, for GPUs. It uses only batched matrix products, factorisations and triangular solves."""

from __future__ import annotations

import torch
from torch import Tensor

from lyapunov_pkg.linalg.householder import orthonormalize_by_householder

SMALLEST_SINE = 1e-6
"""Smallest allowed sine of the angle between a column and the span of the others. The Gram matrix squares the condition
number. A matrix with a smaller sine, or whose factorisation fails, is decomposed by Householder QR."""


def orthonormalize_by_cholesky(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Do as `lyapunov_pkg.linalg.orthonormalize`, in float64, for finite matrices (N, n, k) on any device.

    If `try_cholesky` fails for a matrix, Householder QR is used for it. The check waits for the device.
    """
    q, log_r, good = try_cholesky(matrices)
    if not good.all():
        q[~good], log_r[~good] = orthonormalize_by_householder(matrices[~good].double())
    return q, log_r


def try_cholesky(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Q, log r, and for which matrices they are valid, (N,), without waiting for the device.

    With G = AᵀA = RᵀR, the error of the orthogonality of Q = A R^{-1} is about the rounding error divided by s². Here s
    is the smallest sine of the angle between a column and the span of the columns before it. The second pass removes
    this error (Fukaya et al., 2014).
    """
    columns = matrices.double()
    lengths = torch.linalg.vector_norm(columns, dim=-2)
    units = columns / lengths[..., None, :]
    q, sines, failed = _pass(units)
    q, corrections, failed_again = _pass(q)
    log_r = (lengths * sines * corrections).log()
    good = ~(failed | failed_again) & (sines.amin(dim=-1) >= SMALLEST_SINE) & torch.isfinite(log_r).all(dim=-1)
    return q, log_r, good


def _pass(columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Q, the diagonal of R, and which factorisations failed."""
    upper, info = torch.linalg.cholesky_ex(columns.mT @ columns, upper=True)
    q = torch.linalg.solve_triangular(upper, columns, upper=True, left=False)
    return q, upper.diagonal(dim1=-2, dim2=-1), info != 0
