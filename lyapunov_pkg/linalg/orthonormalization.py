"""QR decomposition with a positive diagonal, for stacks of matrices of tangent vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def orthonormalize(matrices: Tensor, *, to_rounding: bool = True) -> tuple[Tensor, Tensor]:
    """Return Q and the log diagonal of R for each matrix (the QR step of the dissertation's Algorithms 1 and 2).

    A direction is lost if the part of a column orthogonal to the columns before it is only rounding error of float64. A
    zero column is also lost. The logarithm of a lost direction is -inf. Lost directions are last in `q` and `log_r`.
    Arbitrary orthogonal directions replace them and do not change the others. Columns of very different lengths and
    rows of very different sizes lose no direction, because the remainder of an entry is compared with the sizes of its
    own operands.

    By default the computation is in float64. Up to a condition number of 1e12, Q is orthonormal and `log_r` accurate to
    rounding in the dtype of the matrices. The method depends on the device:

    * CPU: block Gram-Schmidt in two passes, in compiled kernels.
    * CUDA: Cholesky QR in two passes, and Householder QR for the matrices for which it fails.
    * other devices: Householder QR.

    Sums of log lengths over many steps need less accuracy. With `to_rounding=False` the CPU makes one pass in the dtype
    of the matrices. Consider the smallest sine of the angle between a column and the span of the columns before it. If
    it is at least 1e-5 (float32) or 1e-8 (float64), the error of `log_r` is about eps / sine, as in Householder QR in
    that dtype. The orthonormality of Q has about the same error. All other matrices are recomputed in float64.

    Args:
        matrices: (..., n, k) with k <= n, any floating dtype.

    Returns:
        q: (..., n, k), orthonormal columns that span the columns of `matrices`. log_r: (..., k), natural logarithm of
        the diagonal of R, which is the growth of each direction orthogonal to those before it. Both results have the
        dtype of `matrices`. A matrix with NaN or infinite entries gives NaN, without an effect on other matrices.

    Raises:
        ValueError: `matrices` has fewer than two axes, or more columns than rows.

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
        # Imported here, because loading the compiled kernels takes a while, and many programs never need them.
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
    """Do as `orthonormalize` on CUDA for matrices that need no fallback, without waiting for the device.

    Args:
        matrices: (..., n, k) with k <= n, any floating dtype, on any device.

    Returns:
        q: as in `orthonormalize`. log_r: as in `orthonormalize`. good: a boolean (), on the device: whether both equal
        the result of `orthonormalize` on CUDA bit for bit. If not, they must not be used.
    """
    from lyapunov_pkg.linalg.cholesky import try_cholesky

    finite = torch.isfinite(matrices).all(dim=(-2, -1))
    q, log_r, good = try_cholesky(torch.where(finite[..., None, None], matrices, 0.0))
    q, log_r = _nan_where_not(finite, q, log_r)
    return q.to(matrices.dtype), log_r.to(matrices.dtype), (good | ~finite).all()


def orthonormalize_finite(matrices: Tensor, method: Callable[[Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return Q and log r (N, ...) by a method for finite matrices (N, n, k); NaN for matrices that are not finite.

    Libraries guarantee nothing for matrices that are not finite, and such a matrix must not affect its batch.
    """
    finite = torch.isfinite(matrices).all(dim=(-2, -1))
    return _nan_where_not(finite, *method(torch.where(finite[:, None, None], matrices, 0.0)))


def _nan_where_not(finite: Tensor, q: Tensor, log_r: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(finite[..., None, None], q, torch.nan), torch.where(finite[..., None], log_r, torch.nan)
