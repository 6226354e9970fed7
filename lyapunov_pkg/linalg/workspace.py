"""Workspaces of threads that orthonormalise matrices, and the operations that both layouts have.

The first argument of an operation is a workspace. Its type selects the layout's operation when a kernel is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import WITHOUT_WRAPPERS, compiled
from lyapunov_pkg.linalg.interleaved import (
    GroupScratch,
    group_scratch,
    orthonormalize_group,
    orthonormalize_group_again,
    pack_lane,
    project_group,
    unpack_group,
    unpack_lane,
    unpack_triangles,
)
from lyapunov_pkg.linalg.layout import Layout, Shape, aligned_zeros, round_up
from lyapunov_pkg.linalg.one_by_one import (
    MatrixScratch,
    matrix_scratch,
    orthonormalize_matrix,
    orthonormalize_matrix_again,
    pack_matrix,
    project_matrix,
    unpack_matrix,
)
from lyapunov_pkg.linalg.resolution import LIMITS, Limits
from lyapunov_pkg.linalg.team import meet
from lyapunov_pkg.linalg.vectors import lanes, lanes_of


class Diagonal(NamedTuple):
    """The diagonal of R from one pass of Gram-Schmidt, for a matrix or for each lane of a group."""

    squares: NDArray
    """Squared diagonal entries."""
    ratios: NDArray
    """Squared sine of the angle between each column and the span of those before it."""


class Workspace(NamedTuple):
    """The workspace of one thread for the orthonormalisation of a group or a matrix, in one or two passes.

    The threads of a team share the diagonals. The first thread writes the findings.
    """

    scratch: GroupScratch | MatrixScratch
    first: Diagonal
    second: Diagonal
    limits: Limits


class Findings(NamedTuple):
    """Results for the matrices of a frame, (matrix, ...)."""

    squares: NDArray
    """(matrix, column): squared diagonal of R, without the factor of `powers`."""
    powers: NDArray
    """(matrix, column), int16: the square is squares * 4**powers, which avoids overflow and underflow."""
    sines: NDArray
    """(matrix,): smallest sine of the angle between a column and the span of those before it."""
    untrusted: NDArray
    """(matrix,), bool: whether one pass is not accurate enough for the matrix."""


def make_workspace(layout: Layout, dtype: np.dtype) -> Workspace:
    """Return the workspace of one thread for groups or matrices of a layout."""
    return make_workspaces(layout, dtype, 1)[0]


def make_workspaces(layout: Layout, dtype: np.dtype, n_threads: int) -> list[Workspace]:
    """Return the workspaces of a team of threads for one matrix, or of one thread for groups or matrices."""
    n_numbers = round_up(layout.shape.padded_columns, lanes_of(dtype.itemsize)) * layout.lanes
    scratches = [group_scratch(layout, dtype)] if layout.lanes > 1 else matrix_scratch(layout, dtype, n_threads)
    first, second = (Diagonal(*(aligned_zeros(n_numbers, dtype) for _ in range(2))) for _ in range(2))
    return [Workspace(scratch, first, second, LIMITS[dtype]) for scratch in scratches]


def make_findings(squares: NDArray) -> Findings:
    """Return empty findings with the array `squares` (..., column) to write to."""
    of_matrices = squares.shape[:-1]
    return Findings(squares, np.zeros(squares.shape, np.int16), np.empty(of_matrices), np.zeros(of_matrices, np.bool_))


def log_diagonal(findings: Findings) -> NDArray:
    """Return the natural logarithm of the diagonal of R, which replaces the squares."""
    import torch

    # PyTorch's logarithm is several times faster than NumPy's.
    log_r = torch.from_numpy(findings.squares).log_().mul_(0.5).numpy()
    if findings.powers.any():
        log_r += np.log(2) * findings.powers
    return log_r


def by_layout(of_group: Callable[..., Any], of_matrix: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function for kernels that calls one of two functions, by the type of its first argument, a workspace."""

    def operation(workspace: Any, *arguments: Any) -> Any:
        raise NotImplementedError("this function can be called only from kernels")

    @overload(operation, jit_options=WITHOUT_WRAPPERS)
    def _(workspace, *arguments):  # Numba compares this signature with that of the result, including types.
        chosen = of_group if _is_of_groups(workspace) else of_matrix
        return lambda workspace, *arguments: chosen(workspace, *arguments)

    return operation


def _is_of_groups(workspace: types.Type) -> bool:
    """Return whether the Numba type of a named tuple is that of groups, or contains one."""
    if getattr(workspace, "instance_class", None) is GroupScratch:
        return True
    return any(
        _is_of_groups(member) for member in getattr(workspace, "types", ()) if isinstance(member, types.BaseNamedTuple)
    )


@compiled
def untrusted(found, first, step, n_columns, limits):
    """Return whether a matrix has a column for which one pass is not accurate enough, including NaN.

    The results of its columns are at first, first + step, and so on.
    """
    for x in range(first, first + n_columns * step, step):
        if not (found.ratios[x] >= limits.smallest_ratio and found.squares[x] >= limits.smallest_square):
            return True
    return False


@compiled
def record_findings(found, first, step, n_columns, limits, findings, index):
    """Write the results of a pass for one matrix."""
    smallest = found.ratios[first]
    for c in range(n_columns):
        findings.squares[index, c] = found.squares[first + c * step]
        smallest = min(smallest, found.ratios[first + c * step])
    findings.sines[index] = np.sqrt(smallest)
    findings.untrusted[index] = untrusted(found, first, step, n_columns, limits)


@compiled
def _orthonormalize_lanes(workspace, frame, shape, twice, findings):
    scratch, found, tiny = workspace.scratch, workspace.first, workspace.limits.tiny
    orthonormalize_group(frame, shape, scratch, found, tiny)
    if twice:
        orthonormalize_group_again(frame, shape, scratch, found, workspace.second, tiny)
    for lane in range(len(findings.sines)):
        record_findings(found, lane, lanes(frame), shape.n_columns, workspace.limits, findings, lane)


@compiled
def _orthonormalize_each(workspace, frame, shape, twice, findings):
    scratch, found, tiny = workspace.scratch, workspace.first, workspace.limits.tiny
    size = shape.padded_columns * shape.stride
    for index in range(len(findings.sines)):
        matrix = frame[index * size : (index + 1) * size]
        orthonormalize_matrix(matrix, shape, scratch, found, 0.0, tiny)
        if twice:
            orthonormalize_matrix_again(matrix, shape, scratch, found, workspace.second, tiny)
        if scratch.team.rank == 0:
            record_findings(found, 0, 1, shape.n_columns, workspace.limits, findings, index)
        meet(scratch.team)


@compiled
def _pack_lane(workspace, frame, index, shape, matrix, matrix_stride):
    pack_lane(frame, index, shape, matrix, matrix_stride)


@compiled
def _pack_matrix(workspace, frame, index, shape, matrix, matrix_stride):
    pack_matrix(frame, index, shape, matrix, matrix_stride)


@compiled
def _unpack_lane(workspace, frame, index, shape, matrix, matrix_stride):
    unpack_lane(frame, index, shape, matrix, matrix_stride)


@compiled
def _unpack_matrix(workspace, frame, index, shape, matrix, matrix_stride):
    unpack_matrix(frame, index, shape, matrix, matrix_stride)


def factor_size(shape: Shape, width: int) -> int:
    """Return the size of the memory of `triangular_factors` for one matrix; `width` is that of a vector."""
    return shape.padded_columns * round_up(shape.padded_columns, width)


@compiled
def _factors_of_lanes(workspace, q, a, shape, factor, matrices):
    project_group(q, a, shape, factor)
    unpack_triangles(factor, shape, matrices)


@compiled
def _factors_of_each(workspace, q, a, shape, factor, matrices):
    size, width, k = shape.padded_columns * shape.stride, lanes(q), shape.n_columns
    stride = -(-shape.padded_columns // width) * width
    for index in range(len(matrices)):
        own = slice(index * size, (index + 1) * size)
        project_matrix(q[own], a[own], shape, workspace.scratch, factor)
        for i in range(k):
            for j in range(i, k):
                matrices[index, i * k + j] = factor[j * stride + i]


@compiled
def _unpack_lanes(workspace, frame, shape, matrices):
    unpack_group(frame, shape, matrices)


@compiled
def _unpack_each(workspace, frame, shape, matrices):
    n_rows = shape.n_blocks * shape.block_rows
    for index in range(len(matrices)):
        unpack_matrix(frame, index, shape, matrices[index], n_rows)


triangular_factors = by_layout(_factors_of_lanes, _factors_of_each)
"""(workspace, q, a, shape, factor, matrices): write the upper triangles of Q^T A to the rows (row * column) of
`matrices`, which are contiguous."""
orthonormalize_frame = by_layout(_orthonormalize_lanes, _orthonormalize_each)
"""(workspace, frame, shape, twice, findings): orthonormalise the matrices of a frame in one pass or two."""
pack = by_layout(_pack_lane, _pack_matrix)
"""(workspace, frame, index, shape, matrix, matrix_stride): copy a matrix without padding to its place in a frame."""
unpack = by_layout(_unpack_lane, _unpack_matrix)
"""(workspace, frame, index, shape, matrix, matrix_stride): the reverse of `pack`."""
unpack_all = by_layout(_unpack_lanes, _unpack_each)
"""(workspace, frame, shape, matrices): copy all matrices of a frame to the rows (column * row) of `matrices`, which are
contiguous."""
