"""Covariant vectors of trajectories from their Q and R, backward in time."""

from __future__ import annotations

import torch
from torch import Tensor


def carry_back(q: Tensor, factors: Tensor, log_r: Tensor, defined: Tensor) -> tuple[Tensor, Tensor]:
    """Return V_t = Q_t C_t, where C_t = R_{t+1}^{-1} C_{t+1} with normalised columns is the identity at the end.

    C is computed in float64, on the CPU.

    Args:
        q: (..., n_times, rows, k), the bases after the first intervals. It may be overwritten.
        factors: (..., time, k, k), R of each interval. Only entries above the diagonal are read.
        log_r: (..., time, k), logarithm of its diagonal.
        defined: (..., k), which columns have coefficients. The others stay constant and do not influence these.

    Returns:
        V (..., n_times, rows, k) at the end of each interval, in the dtype of q, and the logarithmic growth of the
        columns in the interval (..., n_times, k), float64.
    """
    # Imported here, because loading the compiled kernels takes a while, and many programs never need them.
    from lyapunov_pkg.linalg.covariant_kernel import substitute_back
    from lyapunov_pkg.linalg.threads import on_threads

    *leading, n_all, k = log_r.shape
    n_times = q.shape[-3]
    arrays = factors.reshape(-1, n_all, k, k), log_r.exp().reshape(-1, n_all, k), defined.reshape(-1, k)
    triangles, diagonals, is_defined = (array.contiguous().cpu().numpy() for array in arrays)
    columns = q.mT.cpu().reshape(-1, *q.mT.shape[-3:])
    if len(columns) and not columns[0].is_contiguous():
        columns = columns.contiguous()
    growths = torch.empty(len(triangles), n_times, k, dtype=torch.float64)
    bases, outputs = columns.numpy(), growths.numpy()

    def work(tasks: range) -> None:
        for i in tasks:
            substitute_back(bases[i], triangles[i], diagonals[i], is_defined[i], outputs[i])

    on_threads(work, len(triangles))
    return columns.mT.to(q.device).view(q.shape), growths.to(q.device).view(*leading, n_times, k)
