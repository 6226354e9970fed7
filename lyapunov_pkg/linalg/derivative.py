"""A differentiable QR decomposition, and the factor R of a decomposition."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lyapunov_pkg.linalg.orthonormalization import orthonormalize


def orthonormalize_differentiably(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Do as `orthonormalize`, with gradients of first order.

    With A = QR, cotangents G of Q and g of log r, and copyltu(M) the symmetric matrix that has the lower triangle of M,

        dA = (G + Q copyltu(diag(g) - Gᵀ Q)) R^{-T}

    (Walter and Lehmann 2010; Liao et al. 2019). If a direction is lost, R is singular and the map has no derivative.
    The gradient of such a matrix is NaN.
    """
    return _Orthonormalize.apply(matrices)


def triangular_factor(matrices: Tensor, q: Tensor, log_r: Tensor) -> Tensor:
    """Return R (..., k, k) of a QR decomposition, from matrices (..., n, k) and the results of `orthonormalize`.

    The diagonal is exp(log_r), which is accurate even if Qᵀ A suffers from cancellation. `orthonormalize` moves lost
    directions to the end. R then belongs to the columns only up to the first lost one.
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
    def backward(ctx: Any, grad_q: Tensor, grad_log_r: Tensor) -> Tensor:
        matrices, q, log_r = ctx.saved_tensors
        with torch.no_grad():
            gradient = _gradient(matrices, q, log_r, grad_q, grad_log_r)
        if not torch.is_grad_enabled():
            return gradient
        refusing: Tensor = _OfFirstOrder.apply(gradient, matrices)
        return refusing


def _gradient(matrices: Tensor, q: Tensor, log_r: Tensor, grad_q: Tensor, grad_log_r: Tensor) -> Tensor:
    """Return the cotangents of the matrices from those of Q and log r; see `orthonormalize_differentiably`."""
    lower = (torch.diag_embed(grad_log_r) - grad_q.mT @ q).tril()
    symmetric = lower + lower.tril(-1).mT
    has_derivative = torch.isfinite(log_r).all(dim=-1)[..., None, None]
    factor = triangular_factor(matrices, q, torch.where(torch.isfinite(log_r), log_r, 0.0))
    gradient = torch.linalg.solve_triangular(factor.mT, grad_q + q @ symmetric, upper=False, left=False)
    return torch.where(has_derivative, gradient, torch.nan)


class _OfFirstOrder(torch.autograd.Function):
    """A gradient whose derivative raises an error, although it depends on the matrices.

    `once_differentiable` does not detect every second derivative, because autograd does not always follow the path to
    its error.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, matrices: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise RuntimeError(
            "differentiable: got a request for second derivatives of Lyapunov exponents (a second backward pass "
            "after create_graph=True), expected first derivatives only; use finite differences of the gradient "
            "instead"
        )
