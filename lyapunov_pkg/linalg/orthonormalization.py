"""QR decomposition with a positive diagonal, for stacks of matrices of tangent vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def orthonormalize(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormalise the columns of each matrix in turn (the QR step of the dissertation's Algorithms 1 and 2).

    The decomposition is made in float64 whatever the input's dtype, so that an exactly singular matrix can be told from an
    ill-conditioned one. A column that is zero, or lies in the span of the others before it to the rounding error of float64,
    is a lost direction: its logarithm is -inf. Lost directions come last in `q` and `log_r`, where their place, filled by
    an arbitrary orthogonal direction, takes nothing from the others.

    Args:
        matrices: (..., n, k) with k <= n, any floating dtype.

    Returns:
        q: (..., n, k), orthonormal columns that span the columns of `matrices`.
        log_r: (..., k), natural logarithm of the diagonal of R: how much longer each direction became, orthogonally to
            those before it. Both have the dtype of `matrices`. A matrix with NaN or infinite entries gives NaN for
            itself alone.

    Raises:
        ValueError: fewer than two axes, or more columns than rows.
    """
    if matrices.ndim < 2 or matrices.shape[-1] > matrices.shape[-2]:
        raise ValueError(f"matrices: got shape {tuple(matrices.shape)}, expected (..., n, k) with k <= n")
    finite = torch.isfinite(matrices).all(dim=-1).all(dim=-1)[..., None]
    # LAPACK and cuSOLVER promise nothing for NaN, and one bad matrix must not spoil its batch.
    columns = torch.where(finite[..., None], matrices, 0.0).to(torch.float64)
    q, diagonal, dependent = _positive_qr(columns)
    for _ in range(columns.shape[-1]):
        order = torch.argsort(dependent.to(torch.uint8), dim=-1, stable=True)
        if torch.equal(dependent, dependent.gather(-1, order)):
            break
        columns = columns.gather(-1, order[..., None, :].expand_as(columns))
        q, diagonal, dependent = _positive_qr(columns)
    log_r = torch.where(dependent, -torch.inf, diagonal.log())
    q = torch.where(finite[..., None], q, torch.nan)
    log_r = torch.where(finite, log_r, torch.nan)
    return q.to(matrices.dtype), log_r.to(matrices.dtype)


def _positive_qr(columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Q, the positive diagonal of R, and which columns depend linearly on independent columns before them."""
    q, r = torch.linalg.qr(columns)
    diagonal = r.diagonal(dim1=-2, dim2=-1)
    q = q * torch.where(diagonal < 0, -1.0, 1.0)[..., None, :]
    diagonal = diagonal.abs()
    # Backward error of Householder QR: the computed R belongs to columns that are off by about n eps of their own length.
    resolution = columns.shape[-2] * torch.finfo(columns.dtype).eps * torch.linalg.vector_norm(columns, dim=-2)
    lost = diagonal <= resolution
    # A lost column leaves an arbitrary direction in Q. What a later column has along it is really that column's own.
    residual = torch.linalg.vector_norm(r * lost[..., :, None], dim=-2)
    return q, diagonal, lost & (residual <= resolution)
