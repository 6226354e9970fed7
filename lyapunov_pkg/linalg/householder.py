"""Householder QR in float64 by `torch.linalg`, for any device. It is slow for many small matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from lyapunov_pkg.linalg.resolution import RESOLUTION


def orthonormalize_by_householder(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Do as `lyapunov_pkg.linalg.orthonormalize`, in float64, for finite matrices (N, n, k).

    Matrices in which a direction seems to be lost are decomposed on the CPU, whose kernels find its remainder.
    """
    columns = matrices.double()
    q, r = torch.linalg.qr(columns)
    diagonal = r.diagonal(dim1=-2, dim2=-1)
    log_r = diagonal.abs().log()
    q = q * torch.where(diagonal < 0, -1.0, 1.0)[..., None, :]
    # The negation also finds values that overflowed to NaN.
    loses = ~(diagonal.abs() > RESOLUTION * columns.norm(dim=-2)).all(dim=-1)
    if loses.any():
        from lyapunov_pkg.linalg.cpu import orthonormalize_on_cpu

        found = orthonormalize_on_cpu(columns[loses].cpu(), to_rounding=True)
        q[loses], log_r[loses] = (value.to(columns.device) for value in found)
    return q, log_r
