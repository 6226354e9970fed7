"""QR decomposition with a positive diagonal, for stacks of matrices of tangent vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def orthonormalize(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormalise the columns of each matrix in turn (the QR step of the dissertation's Algorithms 1 and 2).

    A column that is zero, or in the span of those before it up to a share of 1e-13 of its length, is a lost direction:
    its logarithm is -inf. Lost directions come last in `q` and `log_r`, where the arbitrary orthogonal directions that
    take their place take nothing from the others.

    On the CPU this is block Gram-Schmidt in compiled kernels, in two passes in the dtype of the matrices; a matrix in
    which a column comes close to the span of the others is taken up again in float64. On CUDA it is Cholesky QR in two
    passes in float64, with Householder QR for the matrices that it cannot do; elsewhere Householder QR in float64. So
    everywhere Q is orthonormal to rounding, an exactly singular matrix is told from an ill-conditioned one, and the
    error of `log_r` is at most that of LAPACK in the dtype of the matrices, times two.

    Args:
        matrices: (..., n, k) with k <= n, any floating dtype; lengths of columns between 1e-140 and 1e140 (a shorter
            one counts as lost).

    Returns:
        q: (..., n, k), orthonormal columns that span the columns of `matrices`.
        log_r: (..., k), natural logarithm of the diagonal of R: how much longer each direction became, orthogonally to
            those before it. Both have the dtype of `matrices`. A matrix with NaN or infinite entries gives NaN for
            itself alone.

    Raises:
        ValueError: fewer than two axes, or more columns than rows.

    References:
        Björck, Å.: Numerics of Gram-Schmidt orthogonalization. Linear Algebra and its Applications 197, 297-316 (1994).
        Giraud, L., Langou, J., Rozložník, M., van den Eshof, J.: Rounding error analysis of the classical Gram-Schmidt
        orthogonalization process. Numerische Mathematik 101, 87-100 (2005).
        Fukaya, T., Nakatsukasa, Y., Yanagisawa, Y., Yamamoto, Y.: CholeskyQR2. ScalA (2014).
    """
    if matrices.ndim < 2 or matrices.shape[-1] > matrices.shape[-2]:
        raise ValueError(f"matrices: got shape {tuple(matrices.shape)}, expected (..., n, k) with k <= n")
    if matrices.numel() == 0:
        return matrices.clone(), matrices.new_zeros(*matrices.shape[:-2], matrices.shape[-1])
    stacked = matrices.reshape(-1, *matrices.shape[-2:])
    if matrices.device.type == "cpu":
        # Only here, so that whoever orthonormalises nothing does not wait for the compiled kernels.
        from lyapunov_pkg.linalg.cpu import orthonormalize_on_cpu

        q, log_r = orthonormalize_on_cpu(stacked)
    else:
        q, log_r = _orthonormalize_finite(stacked)
    shape = matrices.shape
    return q.to(matrices.dtype).view(shape), log_r.to(matrices.dtype).view(*shape[:-2], shape[-1])


def _orthonormalize_finite(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Leave out matrices that are not finite: libraries promise nothing for them, and one must not spoil its batch."""
    from lyapunov_pkg.linalg.cholesky import orthonormalize_by_cholesky
    from lyapunov_pkg.linalg.householder import orthonormalize_by_householder

    finite = torch.isfinite(matrices).all(dim=(-2, -1))
    columns = torch.where(finite[:, None, None], matrices, 0.0)
    method = orthonormalize_by_cholesky if matrices.device.type == "cuda" else orthonormalize_by_householder
    q, log_r = method(columns)
    return torch.where(finite[:, None, None], q, torch.nan), torch.where(finite[:, None], log_r, torch.nan)
