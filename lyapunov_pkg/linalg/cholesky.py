"""Cholesky QR in two passes, for GPUs: nothing but batched matrix products, factorisations and triangular solves."""

from __future__ import annotations

import torch
from torch import Tensor

from lyapunov_pkg.linalg.householder import orthonormalize_by_householder

SMALLEST_SINE = 1e-6
"""The Gram matrix squares the condition number: with columns closer to the span of the others, or a factorisation that
fails, Householder QR takes over for that matrix."""


def orthonormalize_by_cholesky(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """See `lyapunov_pkg.linalg.orthonormalize`; matrices (N, n, k), finite, on any device. Returned in float64.

    Where `try_cholesky` fails, Householder QR takes over. Finding out waits for the device.
    """
    q, log_r, good = try_cholesky(matrices)
    if not good.all():
        q[~good], log_r[~good] = orthonormalize_by_householder(matrices[~good].double())
    return q, log_r


def try_cholesky(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Q, log r and for which matrices they are right, (N,); nothing here waits for the device.

    With G = AᵀA = RᵀR, Q = A R^{-1} is orthogonal to about the rounding error over the square of the smallest sine of
    the angle between a column and the span of those before it; the second pass removes what is left (Fukaya et al.,
    2014).
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
