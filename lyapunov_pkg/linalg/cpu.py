"""Orthonormalisation of a stack of matrices by the CPU kernels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.fallback import make_fallback, recompute_in_float64
from lyapunov_pkg.linalg.layout import aligned_zeros, choose_layout
from lyapunov_pkg.linalg.threads import on_threads
from lyapunov_pkg.linalg.workspace import (
    Findings,
    log_diagonal,
    make_findings,
    make_workspace,
    orthonormalize_frame,
    pack,
    unpack_all,
)


def orthonormalize_on_cpu(matrices: Tensor, to_rounding: bool) -> tuple[Tensor, Tensor]:
    """Do as `lyapunov_pkg.linalg.orthonormalize` for matrices (N, n, k), with `log_r` in float64."""
    dtype = torch.float32 if matrices.dtype != torch.float64 and not to_rounding else torch.float64
    columns = matrices.detach().to(dtype).mT.contiguous().numpy()
    n_matrices, n_columns, n_rows = columns.shape
    layout = choose_layout(n_matrices, 1, n_rows, n_columns, columns.dtype)
    q, findings = np.empty_like(columns), make_findings(np.empty((n_matrices, n_columns)))
    firsts = range(0, n_matrices, layout.lanes)
    numbers, q_numbers = (array.reshape(n_matrices, -1) for array in (columns, q))

    def work(tasks: range) -> None:
        workspace = make_workspace(layout, columns.dtype)
        frame = aligned_zeros(layout.frame_size, columns.dtype)
        for task in tasks:
            part = slice(firsts[task], firsts[task] + layout.lanes)
            found = Findings(*(array[part] for array in findings))
            _orthonormalize(workspace, layout.shape, frame, numbers[part], to_rounding, q_numbers[part], found)

    def recompute(tasks: range) -> None:
        fallback = make_fallback(layout.shape)
        for task in tasks:
            if findings.untrusted[task]:
                _recompute(fallback, numbers[task], to_rounding, q_numbers[task], findings, task)

    on_threads(work, len(firsts))
    if findings.untrusted.any():
        on_threads(recompute, n_matrices)
    return torch.from_numpy(q).mT, torch.from_numpy(log_diagonal(findings))


@compiled
def _orthonormalize(workspace, shape, frame, columns, twice, q, findings):
    """Orthonormalise the matrices (matrix, column * row) of one frame, and record which ones to recompute."""
    frame[:] = 0
    for index in range(len(columns)):
        pack(workspace, frame, index, shape, columns[index], shape.block_rows)
    orthonormalize_frame(workspace, frame, shape, twice, findings)
    unpack_all(workspace, frame, shape, q)


@compiled
def _recompute(fallback, columns, to_rounding, q, findings, index):
    """Orthonormalise a single matrix (column * row) in float64, with lost directions last."""
    n_rows, stride = fallback.shape.block_rows, fallback.shape.stride
    for c in range(fallback.shape.n_columns):
        for r in range(n_rows):
            fallback.matrix[c * stride + r] = columns[c * n_rows + r]
    recompute_in_float64(fallback, to_rounding, findings, index)
    for c in range(fallback.shape.n_columns):
        for r in range(n_rows):
            q[c * n_rows + r] = fallback.matrix[c * stride + r]
