"""The QR decomposition as a function through which gradients flow, and R of a decomposition."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyapunov_pkg.linalg.orthonormalization import orthonormalize


def orthonormalize_differentiably(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """As `orthonormalize`, with gradients of first order.

    With A = QR, cotangents G of Q and g of log r, and copyltu(M) the symmetric matrix that has the lower triangle of M,

        dA = (G + Q copyltu(diag(g) - Gᵀ Q)) R^{-T}

    (Walter and Lehmann 2010; Liao et al. 2019). Where a direction is lost, R is singular and the map has no derivative:
    the gradient of such a matrix is NaN.
    """
    return _Orthonormalize.apply(matrices)


def triangular_factor(matrices: Tensor, q: Tensor, log_r: Tensor) -> Tensor:
    """R (..., k, k) of a QR decomposition, from the matrices (..., n, k) and what `orthonormalize` returned for them.

    The diagonal is exp(log_r), accurate where Qᵀ A cancels. With lost directions, which `orthonormalize` moves to the
    end, it is the columns' R only up to the first of them.
    """
    diagonal = torch.diag_embed(log_r.exp())
    return (q.mT @ matrices).triu(1) + diagonal


class _Orthonormalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> tuple[Tensor, Tensor]:
        q, log_r = orthonormalize(matrices)
        ctx.save_for_backward(matrices, q, log_r)
        return q, log_r

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_q: Tensor, grad_log_r: Tensor) -> Tensor:
        matrices, q, log_r = ctx.saved_tensors
        lower = (torch.diag_embed(grad_log_r) - grad_q.mT @ q).tril()
        symmetric = lower + lower.tril(-1).mT
        has_derivative = torch.isfinite(log_r).all(dim=-1)[..., None, None]
        factor = triangular_factor(matrices, q, torch.where(torch.isfinite(log_r), log_r, 0.0))
        gradient = torch.linalg.solve_triangular(factor.mT, grad_q + q @ symmetric, upper=False, left=False)
        return torch.where(has_derivative, gradient, torch.nan)
