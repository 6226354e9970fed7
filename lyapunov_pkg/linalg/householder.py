"""Householder QR in float64 by `torch.linalg`: any device, slow for many small matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from lyapunov_pkg.linalg.resolution import RESOLUTION


def orthonormalize_by_householder(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """See `lyapunov_pkg.linalg.orthonormalize`; matrices (N, n, k), finite. Returned in float64."""
    q, r = torch.linalg.qr(matrices.double())
    lost = _lost(matrices.double(), r)
    if lost.any():
        q, r, lost = _move_lost_last(matrices.double(), q, r)
    diagonal = r.diagonal(dim1=-2, dim2=-1)
    log_r = torch.where(lost, -torch.inf, diagonal.abs().log())
    return q * torch.where(diagonal < 0, -1.0, 1.0)[..., None, :], log_r


def _lost(columns: Tensor, r: Tensor) -> Tensor:
    """Which columns have nothing left that could be told from rounding errors."""
    return r.diagonal(dim1=-2, dim2=-1).abs() <= RESOLUTION * columns.norm(dim=-2)


def _move_lost_last(columns: Tensor, q: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """QR with the columns that depend linearly on others moved to the end, and which positions are theirs."""
    for _ in range(columns.shape[-1]):
        resolution = RESOLUTION * columns.norm(dim=-2)
        lost = _lost(columns, r)
        # A lost column leaves an arbitrary direction in Q; what a later column has along it is really its own.
        residual = torch.linalg.vector_norm(r * lost[..., :, None], dim=-2)
        dependent = lost & (residual <= resolution)
        order = torch.argsort(dependent.to(torch.uint8), dim=-1, stable=True)
        in_order = dependent.gather(-1, order)
        if torch.equal(dependent, in_order):
            break
        dependent = in_order
        columns = columns.gather(-1, order[..., None, :].expand_as(columns))
        q, r = torch.linalg.qr(columns)
    return q, r, dependent
