"""QR decomposition with a positive diagonal, for stacks of matrices of tangent vectors."""

from __future__ import annotations

import torch
from torch import Tensor

RESOLUTION = 1e-13
"""A column of which less than this is left, relative to its largest entry, counts as lost. Householder QR in float64
leaves rounding errors of 1e-16 to 1e-14, and a matrix of condition number 1e12 leaves at least 1e-12."""


def orthonormalize(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormalise the columns of each matrix in turn (the QR step of the dissertation's Algorithms 1 and 2).

    The decomposition is made in float64 whatever the input's dtype, so that an exactly singular matrix can be told
    from an ill-conditioned one. A column that is zero, or in the span of those before it up to `RESOLUTION`, is a lost
    direction: its logarithm is -inf. Lost directions come last in `q` and `log_r`, where the arbitrary orthogonal
    directions that take their place take nothing from the others.

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
    largest = matrices.abs().amax(dim=-2)
    finite = torch.isfinite(largest).all(dim=-1, keepdim=True)
    # LAPACK and cuSOLVER promise nothing for NaN, and one bad matrix must not spoil its batch.
    columns = torch.where(finite[..., None], matrices, 0.0).to(torch.float64)
    q, r = torch.linalg.qr(columns)
    lost = finite & (r.diagonal(dim1=-2, dim2=-1).abs() <= RESOLUTION * largest)
    if lost.any():
        q, r, lost = _move_lost_last(columns, q, r)
    diagonal = r.diagonal(dim1=-2, dim2=-1)
    signs = torch.where(finite, torch.where(diagonal < 0, -1.0, 1.0), torch.nan)
    log_r = torch.where(lost, -torch.inf, diagonal.abs().log())
    return (q * signs[..., None, :]).to(matrices.dtype), torch.where(finite, log_r, torch.nan).to(matrices.dtype)


def _move_lost_last(columns: Tensor, q: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """QR with the columns that depend linearly on others moved to the end, and which positions are theirs."""
    for _ in range(columns.shape[-1]):
        resolution = RESOLUTION * columns.abs().amax(dim=-2)
        lost = r.diagonal(dim1=-2, dim2=-1).abs() <= resolution
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
