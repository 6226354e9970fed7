"""Orthonormalisation of a stack of matrices by the CPU kernels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.linalg.blocked import orthonormalize_matrix, orthonormalize_matrix_again
from lyapunov_pkg.linalg.care import LIMITS, care_room, needs_care, orthonormalization_room, take_care
from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.interleaved import (
    orthonormalize_group,
    orthonormalize_group_again,
)
from lyapunov_pkg.linalg.layout import aligned_zeros, choose_layout, on_threads
from lyapunov_pkg.linalg.vectors import lanes


def orthonormalize_on_cpu(matrices: Tensor, to_rounding: bool) -> tuple[Tensor, Tensor]:
    """See `lyapunov_pkg.linalg.orthonormalize`; matrices (N, n, k). `log_r` is returned in float64."""
    dtype = torch.float32 if matrices.dtype != torch.float64 and not to_rounding else torch.float64
    columns = matrices.detach().to(dtype).mT.contiguous().numpy()
    n_matrices, n_columns, n_rows = columns.shape
    layout = choose_layout(n_matrices, 1, n_rows, n_columns, columns.dtype)
    limits = LIMITS[columns.dtype]
    q, squares, careful = np.empty_like(columns), np.empty((n_matrices, n_columns)), np.zeros(n_matrices, np.bool_)
    firsts = range(0, n_matrices, layout.lanes)

    def work(tasks: range) -> None:
        room, frame = orthonormalization_room(layout, columns.dtype), aligned_zeros(layout.frame_size, columns.dtype)
        run = _run_group if layout.lanes > 1 else _run_one
        for task in tasks:
            part = slice(firsts[task], firsts[task] + layout.lanes)
            run(columns[part], layout.shape, frame, room, limits, to_rounding, q[part], squares[part], careful[part])

    def work_carefully(tasks: range) -> None:
        care = care_room(layout.shape)
        for task in tasks:
            if careful[task]:
                _run_carefully(columns[task], layout.shape, care, to_rounding, q[task], squares[task])

    on_threads(work, len(firsts))
    if careful.any():
        on_threads(work_carefully, n_matrices)
    return torch.from_numpy(q).mT, torch.from_numpy(squares).log_().mul_(0.5)


@compiled
def _run_group(columns, shape, frame, room, limits, twice, q, squares, careful):
    """Orthonormalise the matrices (matrix, column, row) of one group, and say which need care."""
    width, stride, n_rows = lanes(frame), shape.stride, shape.padded_block_rows
    frame[:] = 0
    for lane in range(len(columns)):
        for c in range(shape.n_columns):
            for r in range(shape.block_rows):
                frame[c * stride + r * width + lane] = columns[lane, c, r]
    orthonormalize_group(frame, shape.padded_columns, n_rows, stride, room.work, room.squares, room.ratios, limits.tiny)
    if twice:
        orthonormalize_group_again(
            frame, shape.padded_columns, n_rows, stride, room.work, room.squares, room.more, limits.tiny
        )
    for lane in range(len(columns)):
        careful[lane] = needs_care(room.squares, room.ratios, lane, width, shape.n_columns, limits)
        for c in range(shape.n_columns):
            squares[lane, c] = room.squares[c * width + lane]
            for r in range(shape.block_rows):
                q[lane, c, r] = frame[c * stride + r * width + lane]


@compiled
def _run_one(columns, shape, frame, room, limits, twice, q, squares, careful):
    """Orthonormalise a single matrix (1, column, row), and say whether it needs care."""
    stride, n_rows = shape.stride, shape.padded_block_rows
    frame[:] = 0
    for c in range(shape.n_columns):
        for r in range(shape.block_rows):
            frame[c * stride + r] = columns[0, c, r]
    orthonormalize_matrix(
        frame, shape.n_columns, n_rows, stride, 0.0, room.work, room.squares, room.ratios, limits.tiny
    )
    if twice:
        orthonormalize_matrix_again(
            frame, shape.n_columns, n_rows, stride, room.work, room.squares, room.more, limits.tiny
        )
    careful[0] = needs_care(room.squares, room.ratios, 0, 1, shape.n_columns, limits)
    for c in range(shape.n_columns):
        squares[0, c] = room.squares[c]
        for r in range(shape.block_rows):
            q[0, c, r] = frame[c * stride + r]


@compiled
def _run_carefully(columns, shape, care, to_rounding, q, squares):
    """Orthonormalise a single matrix (column, row) in float64, lost directions last."""
    for c in range(shape.n_columns):
        for r in range(shape.block_rows):
            care.matrix[c * care.stride + r] = columns[c, r]
    take_care(care, shape, to_rounding, squares)
    for c in range(shape.n_columns):
        for r in range(shape.block_rows):
            q[c, r] = care.matrix[c * care.stride + r]
