"""Backward propagation of coefficients of vectors in the bases Q of a trajectory, by the inverses of R."""

from __future__ import annotations

import torch
from torch import Tensor


def carry_back(factors: Tensor, log_r: Tensor, defined: Tensor, n_times: int) -> tuple[Tensor, Tensor]:
    """Return coefficients C_t = R_{t+1}^{-1} C_{t+1} with normalised columns, starting from the identity at the end.

    The computation is in float64, on the CPU.

    Args:
        factors: (..., time, k, k), R of each interval. Only entries above the diagonal are read.
        log_r: (..., time, k), logarithm of its diagonal.
        defined: (..., k), which columns have coefficients. The others stay constant and do not influence these.
        n_times: number of first times for which results are returned.

    Returns:
        C (..., n_times, k, k) at the end of each interval, in the dtype of the factors, and the logarithmic growth of
        the columns in the interval (..., n_times, k), float64.
    """
    # Imported here, because loading the compiled kernels takes a while, and many programs never need them.
    from lyapunov_pkg.linalg.back_substitution import substitute_back
    from lyapunov_pkg.linalg.threads import on_threads

    *leading, n_all, k = log_r.shape
    arrays = factors.reshape(-1, n_all, k, k), log_r.exp().reshape(-1, n_all, k), defined.reshape(-1, k)
    triangles, diagonals, is_defined = (array.contiguous().cpu().numpy() for array in arrays)
    coefficients = torch.empty(len(triangles), n_times, k, k, dtype=factors.dtype)
    growths = torch.empty(len(triangles), n_times, k, dtype=torch.float64)
    outputs = coefficients.numpy(), growths.numpy()

    def work(tasks: range) -> None:
        for i in tasks:
            substitute_back(triangles[i], diagonals[i], is_defined[i], outputs[0][i], outputs[1][i])

    on_threads(work, len(triangles))
    return (
        coefficients.to(factors.device).view(*leading, n_times, k, k),
        growths.to(factors.device).view(*leading, n_times, k),
    )
