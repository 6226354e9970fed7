"""Orthonormalisation of a stack of matrices by the CPU kernels."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from lyapunov_pkg.linalg.blocked import orthonormalize_matrix, orthonormalize_matrix_again
from lyapunov_pkg.linalg.care import LIMITS, care_room, needs_care, orthonormalization_room, take_care
from lyapunov_pkg.linalg.interleaved import (
    orthonormalize_group,
    orthonormalize_group_again,
)
from lyapunov_pkg.linalg.layout import aligned_zeros, choose_layout, on_threads
from lyapunov_pkg.linalg.vectors import lanes


def orthonormalize_on_cpu(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """See `lyapunov_pkg.linalg.orthonormalize`; matrices (N, n, k). `log_r` is returned in float64."""
    dtype = torch.float64 if matrices.dtype == torch.float64 else torch.float32
    columns = matrices.detach().to(dtype).mT.contiguous().numpy()
    n_matrices, n_columns, n_rows = columns.shape
    layout = choose_layout(n_matrices, 1, n_rows, n_columns, columns.dtype)
    q = np.empty_like(columns)
    squares = np.empty((n_matrices, n_columns))
    firsts = range(0, n_matrices, layout.lanes)

    careful = np.zeros(n_matrices, np.bool_)

    def work(tasks: range) -> None:
        room, frame = orthonormalization_room(layout, columns.dtype), aligned_zeros(layout.frame_size, columns.dtype)
        run = _run_group if layout.lanes > 1 else _run_one
        for task in tasks:
            part = slice(firsts[task], firsts[task] + layout.lanes)
            given = columns[part], layout.shape, frame, room, LIMITS[columns.dtype]
            run(*given, q[part], squares[part], careful[part])

    def work_carefully(tasks: range) -> None:
        care = care_room(layout.shape)
        for task in tasks:
            if careful[task]:
                _run_carefully(columns[task], layout.shape, care, q[task], squares[task])

    on_threads(work, len(firsts))
    if careful.any():
        on_threads(work_carefully, n_matrices)
    return torch.from_numpy(q).mT, torch.from_numpy(squares).log_().mul_(0.5)


@njit(nogil=True, cache=True)
def _run_group(columns, shape, frame, room, limits, q, squares, careful):
    """Orthonormalise the matrices (matrix, column, row) of one group, and say which need care."""
    width, stride, n_rows = lanes(frame), shape.stride, shape.padded_block_rows
    frame[:] = 0
    for lane in range(len(columns)):
        for c in range(shape.n_columns):
            for r in range(shape.block_rows):
                frame[c * stride + r * width + lane] = columns[lane, c, r]
    orthonormalize_group(frame, shape.padded_columns, n_rows, stride, room.work, room.squares, room.ratios, limits.tiny)
    orthonormalize_group_again(
        frame, shape.padded_columns, n_rows, stride, room.work, room.squares, room.more, limits.tiny
    )
    for lane in range(len(columns)):
        careful[lane] = needs_care(room.squares, room.ratios, lane, width, shape.n_columns, limits)
        for c in range(shape.n_columns):
            squares[lane, c] = room.squares[c * width + lane]
            for r in range(shape.block_rows):
                q[lane, c, r] = frame[c * stride + r * width + lane]


@njit(nogil=True, cache=True)
def _run_one(columns, shape, frame, room, limits, q, squares, careful):
    """Orthonormalise a single matrix (1, column, row), and say whether it needs care."""
    stride, n_rows = shape.stride, shape.padded_block_rows
    frame[:] = 0
    for c in range(shape.n_columns):
        for r in range(shape.block_rows):
            frame[c * stride + r] = columns[0, c, r]
    orthonormalize_matrix(
        frame, shape.n_columns, n_rows, stride, 0.0, room.work, room.squares, room.ratios, limits.tiny
    )
    orthonormalize_matrix_again(frame, shape.n_columns, n_rows, stride, room.work, room.squares, room.more, limits.tiny)
    careful[0] = needs_care(room.squares, room.ratios, 0, 1, shape.n_columns, limits)
    for c in range(shape.n_columns):
        squares[0, c] = room.squares[c]
        for r in range(shape.block_rows):
            q[0, c, r] = frame[c * stride + r]


@njit(nogil=True, cache=True)
def _run_carefully(columns, shape, care, q, squares):
    """Orthonormalise a single matrix (column, row) in two passes in float64, lost directions last."""
    for c in range(shape.n_columns):
        for r in range(shape.block_rows):
            care.matrix[c * care.stride + r] = columns[c, r]
    take_care(care, shape, squares)
    for c in range(shape.n_columns):
        for r in range(shape.block_rows):
            q[c, r] = care.matrix[c * care.stride + r]
