"""QR decomposition with a positive diagonal, for stacks of matrices of tangent vectors."""

from __future__ import annotations

from collections.abc import Callable

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
        from lyapunov_pkg.linalg.cholesky import orthonormalize_by_cholesky
        from lyapunov_pkg.linalg.householder import orthonormalize_by_householder

        is_cuda = matrices.device.type == "cuda"
        q, log_r = orthonormalize_finite(
            stacked, orthonormalize_by_cholesky if is_cuda else orthonormalize_by_householder
        )
    shape = matrices.shape
    return q.to(matrices.dtype).view(shape), log_r.to(matrices.dtype).view(*shape[:-2], shape[-1])


def orthonormalize_unasked(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Do what `orthonormalize` does on CUDA with matrices that need no fallback, without waiting for the device.

    Args:
        matrices: (..., n, k) with k <= n, any floating dtype, on any device.

    Returns:
        q: as of `orthonormalize`.
        log_r: likewise.
        good: a boolean on the device, (): whether both are what `orthonormalize` returns on CUDA, bit for bit. If not,
            they are of no use.
    """
    from lyapunov_pkg.linalg.cholesky import try_cholesky

    finite = torch.isfinite(matrices).all(dim=(-2, -1))
    q, log_r, good = try_cholesky(torch.where(finite[..., None, None], matrices, 0.0))
    q, log_r = _nan_where_not(finite, q, log_r)
    return q.to(matrices.dtype), log_r.to(matrices.dtype), (good | ~finite).all()


def orthonormalize_finite(matrices: Tensor, method: Callable[[Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return Q and log r (N, ...) by a method that takes finite matrices (N, n, k); NaN for those that are not.

    Libraries promise nothing for matrices that are not finite, and one must not spoil its batch.
    """
    finite = torch.isfinite(matrices).all(dim=(-2, -1))
    return _nan_where_not(finite, *method(torch.where(finite[:, None, None], matrices, 0.0)))


def _nan_where_not(finite: Tensor, q: Tensor, log_r: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(finite[..., None, None], q, torch.nan), torch.where(finite[..., None], log_r, torch.nan)
