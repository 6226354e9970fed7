"""QR decomposition with a positive diagonal, for stacks of matrices of tangent vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def orthonormalize(matrices: Tensor, *, to_rounding: bool = True) -> tuple[Tensor, Tensor]:
    """Orthonormalise the columns of each matrix in turn (the QR step of the dissertation's Algorithms 1 and 2).

    A direction is lost where nothing is left of a column, orthogonally to those before it, that could be told from the
    rounding of float64; so is a zero column. The logarithm of a lost direction is -inf. Lost directions come last in
    `q` and `log_r`, where the arbitrary orthogonal directions that take their place take nothing from the others.
    Columns of very different lengths, and rows of very different sizes, lose nothing: what is left of an entry is
    compared with the numbers that it was computed from.

    By default Q is orthonormal to rounding and `log_r` right to rounding in the dtype of the matrices whatever their
    condition up to 1e12: the computation is in float64. On the CPU it is block Gram-Schmidt in two passes, in compiled
    kernels; on CUDA Cholesky QR in two passes, with Householder QR for the matrices that it cannot do; elsewhere
    Householder QR.

    What sums up log lengths over many steps needs less: with `to_rounding=False` the CPU makes one pass in the dtype of
    the matrices. Where no column comes closer to the span of those before it than a sine of 1e-5 (float32; 1e-8 in
    float64), `log_r` is then in error by about eps / sine, as with Householder QR in that dtype, and Q is orthonormal
    to about the same; the other matrices are recomputed in float64.

    Args:
        matrices: (..., n, k) with k <= n, any floating dtype.

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
        # Imported here: loading the compiled kernels takes a while, and many programs never need them.
        from lyapunov_pkg.linalg.cpu import orthonormalize_on_cpu

        q, log_r = orthonormalize_on_cpu(stacked, to_rounding)
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
