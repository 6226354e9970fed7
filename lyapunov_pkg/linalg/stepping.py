"""Tangent vectors of systems with compiled steps: the loops over trajectories and steps.

The matrices are stored one by one (`one_by_one.py`). Each trajectory is computed separately, so that no result depends
on the number of threads or trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numba.extending import register_jitable
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.fallback import Fallback, make_fallback, recompute_in_float64
from lyapunov_pkg.linalg.layout import Shape, aligned_zeros, one_by_one
from lyapunov_pkg.linalg.program import Program, make_memory, program_step, states_along
from lyapunov_pkg.linalg.straight_line import machine_code_of
from lyapunov_pkg.linalg.tangent_flow import Advance, Kept
from lyapunov_pkg.linalg.threads import on_threads
from lyapunov_pkg.linalg.vectors import lanes_of
from lyapunov_pkg.linalg.workspace import (
    Findings,
    Workspace,
    factor_size,
    log_diagonal,
    make_findings,
    make_workspace,
    orthonormalize_frame,
    pack,
    record_findings,
    triangular_factors,
    unpack,
    unpack_all,
)


class SteppedWorkspace(NamedTuple):
    """The workspace of one thread."""

    orthonormalization: Workspace
    fallback: Fallback
    spare: NDArray
    """The tangent vectors before they are orthonormalised."""
    factor: NDArray
    memory: Any
    """`program.Memory` for a program; None for every other step."""


class SteppedSystems(NamedTuple):
    """Trajectories with their tangent vectors."""

    shape: Shape
    parameters: NDArray
    """(trajectory, P), or (1, P) for all trajectories. For a program the inputs, (trajectory, step * F)."""
    states: NDArray
    """(trajectory, S)"""
    frames: NDArray
    """(trajectory, column, row), padded."""


class SteppedSchedule(NamedTuple):
    """When to orthonormalise, and how."""

    orthonormalizes: NDArray
    """(step,)"""
    to_rounding: bool


class SteppedResults(NamedTuple):
    """Results of each orthonormalisation."""

    findings: Findings
    """(interval, trajectory, ...)"""
    finite: NDArray
    """(interval, trajectory), whether the state is finite."""
    kept: Kept
    """(variant, trajectory, ...), for one variant."""


NUMBERS_OF_A_THREAD = 10_000
"""Entries of tangent vectors, summed over steps, from which another thread saves more time than it takes to start."""

SMALL = 32
"""Largest size of a matrix, in numbers, for which plain loops are faster than vector instructions."""


@register_jitable
def _orthonormalize_small(a, n_rows, n_columns, stride, squares, ratios, tiny):
    """Orthonormalise a small matrix in place by modified Gram-Schmidt, as `orthonormalize_matrix` does."""
    for c in range(n_columns):
        own, explained, square = c * stride, 0.0, 0.0
        for before in range(0, own, stride):
            product = 0.0
            for r in range(n_rows):
                product += a[before + r] * a[own + r]
            for r in range(n_rows):
                a[own + r] -= product * a[before + r]
            explained += product * product
        for r in range(n_rows):
            square += a[own + r] * a[own + r]
        squares[c] = square
        ratios[c] = square / (square + explained + tiny)
        scale = 1 / np.sqrt(square + tiny)
        for r in range(n_rows):
            a[own + r] *= scale


@compiled
def _orthonormalize(workspace, frame, shape, to_rounding, results, interval, trajectory):
    """Orthonormalise the matrix of a trajectory, and write the findings and the requested results."""
    findings, kept, work = results.findings, results.kept, workspace.orthonormalization
    own = slice(trajectory, trajectory + 1)
    found = Findings(
        findings.squares[interval, own],
        findings.powers[interval, own],
        findings.sines[interval, own],
        findings.untrusted[interval, own],
    )
    workspace.spare[:] = frame
    if shape.block_rows * shape.n_columns > SMALL:
        orthonormalize_frame(work, frame, shape, to_rounding, found)
    else:
        n_rows, n_columns, stride = shape.block_rows, shape.n_columns, shape.stride
        first, second, tiny = work.first, work.second, work.limits.tiny
        _orthonormalize_small(frame, n_rows, n_columns, stride, first.squares, first.ratios, tiny)
        if to_rounding:
            _orthonormalize_small(frame, n_rows, n_columns, stride, second.squares, second.ratios, tiny)
            for c in range(n_columns):
                first.squares[c] *= second.squares[c]
        record_findings(first, 0, 1, n_columns, work.limits, found, 0)
    if found.untrusted[0]:
        fallback = workspace.fallback
        unpack(work, workspace.spare, 0, shape, fallback.matrix, fallback.shape.stride)
        recompute_in_float64(fallback, to_rounding, found, 0)
        pack(work, frame, 0, shape, fallback.matrix, fallback.shape.stride)
    if kept.q.shape[1]:
        unpack_all(work, frame, shape, kept.q[0, own, interval])
    if kept.r.shape[1]:
        triangular_factors(work, frame, workspace.spare, shape, workspace.factor, kept.r[0, own, interval])


@cache
def compiled_run(step: Callable[..., None]) -> Callable[..., None]:
    """Return the kernel that moves trajectories through steps.

    Args:
        step: a step as in `systems.kernels`, or `program.program_step`.
    """
    name, inlined = step.__name__, register_jitable(step)
    if step is not program_step:
        of_state = inlined

        @register_jitable
        def inlined(state, parameters, tangents, memory, at):
            of_state(state, parameters, tangents)

    def run(workspace, systems, schedule, results, first, stop):
        shape, orthonormalizes, finite = systems.shape, schedule.orthonormalizes, results.finite
        # The loop has no named tuples, because they cost more than all arithmetic of a small matrix.
        n_rows, n_columns, stride = shape.block_rows, shape.n_columns, shape.stride
        all_squares, all_sines, spare = results.findings.squares, results.findings.sines, workspace.spare
        squares, ratios = workspace.orthonormalization.first.squares, workspace.orthonormalization.first.ratios
        limits = workspace.orthonormalization.limits
        smallest_ratio, smallest_square, tiny = limits.smallest_ratio, limits.smallest_square, limits.tiny
        memory = workspace.memory
        is_plain = n_rows * n_columns <= SMALL and not schedule.to_rounding
        for trajectory in range(first, stop):
            state, tangents = systems.states[trajectory], systems.frames[trajectory, : shape.n_columns]
            parameters = systems.parameters[min(trajectory, len(systems.parameters) - 1)]
            frame, interval = systems.frames[trajectory].ravel(), 0
            for at in range(len(orthonormalizes)):
                inlined(state, parameters, tangents, memory, at)
                if not orthonormalizes[at]:
                    continue
                is_done = False
                if is_plain:
                    for x in range(n_columns * stride):
                        spare[x] = frame[x]
                    _orthonormalize_small(frame, n_rows, n_columns, stride, squares, ratios, tiny)
                    is_done, smallest = True, ratios[0]
                    for c in range(n_columns):
                        is_done &= ratios[c] >= smallest_ratio and squares[c] >= smallest_square
                        smallest = min(smallest, ratios[c])
                        all_squares[interval, trajectory, c] = squares[c]
                    all_sines[interval, trajectory] = np.sqrt(smallest)
                    if not is_done:
                        for x in range(n_columns * stride):
                            frame[x] = spare[x]
                if not is_done:
                    _orthonormalize(workspace, frame, shape, schedule.to_rounding, results, interval, trajectory)
                is_finite = True
                for i in range(n_rows):
                    is_finite &= np.isfinite(state[i])
                finite[interval, trajectory] = is_finite
                interval += 1

    run.__qualname__ = f"run_{name}"
    return compiled(run, sources=[Path(step.__code__.co_filename)], error_model="numpy")


class SteppedFlow:
    """Trajectories of a compiled step with their tangent vectors, moved by `advance`."""

    def __init__(
        self, step: Callable[..., None] | Program, parameters: Tensor, states: Tensor, tangents: Tensor
    ) -> None:
        """Store states and tangent vectors in the layout of the kernels.

        Args:
            step: a step as in `systems.kernels`, or a program.
            parameters: (trajectory, P), or (1, P) for all trajectories. A program has none; see `drive`.
            states: (trajectory, S), on the CPU, float32 or float64.
            tangents: (trajectory, S, k).
        """
        self.program = step if isinstance(step, Program) else None
        self._run = compiled_run(program_step if isinstance(step, Program) else step)
        self.machine_code = None if self.program is None else machine_code_of(self.program, tangents.shape[-1])
        self.states = states.clone(memory_format=torch.contiguous_format)
        self.dtype = np.dtype(str(states.dtype).removeprefix("torch."))
        n, n_rows, n_columns = tangents.shape
        self.layout = one_by_one(1, n_rows, n_columns, self.dtype)
        shape = self.layout.shape
        frames = aligned_zeros(n * self.layout.frame_size, self.dtype).reshape(n, shape.padded_columns, shape.stride)
        frames[:, :n_columns, :n_rows] = tangents.mT.numpy()
        in_dtype = np.ascontiguousarray(parameters.numpy(), self.dtype)
        self._systems = SteppedSystems(shape, in_dtype, self.states.numpy(), frames)

    def drive(self, inputs: Tensor) -> None:
        """Set the inputs (trajectory, step, F) of the next steps of a program."""
        self._systems = self._systems._replace(parameters=np.ascontiguousarray(inputs.flatten(1).numpy(), self.dtype))

    def states_along(self, inputs: Tensor) -> Tensor:
        """Return the next states (trajectory, step + 1, S) of a program, without a change of its present state."""
        n, n_steps = inputs.shape[:2]
        states = np.empty((n, n_steps + 1, self.states.shape[-1]), self.dtype)
        states[:, 0] = self.states.numpy()
        driving = np.ascontiguousarray(inputs.flatten(1).numpy(), self.dtype)

        program, code = self.program, self.machine_code
        if program is None:
            raise TypeError("system: got a compiled step, expected a program")

        def work(trajectories: range) -> None:
            memory = make_memory(program, 0, 0 if code is None else code.states)
            states_along(states, driving, memory, trajectories.start, trajectories.stop, trajectories.step)

        on_threads(work, n)
        return torch.from_numpy(states)

    def advance(
        self,
        orthonormalizes: Sequence[bool],
        *,
        to_rounding: bool = False,
        keeps_q: bool = False,
        keeps_r: bool = False,
    ) -> tuple[Advance, Tensor]:
        """Move states and tangent vectors. Arguments and first result are as in `TangentFlow.advance` for one variant.

        Returns:
            The findings, and whether the states are finite at each orthonormalisation (interval, trajectory).
        """
        schedule = SteppedSchedule(np.asarray(orthonormalizes, dtype=np.bool_), to_rounding)
        n_intervals, n, k = int(schedule.orthonormalizes.sum()), len(self.states), self.layout.shape.n_columns
        n_rows = self.layout.shape.block_rows
        kept = Kept(
            np.empty((1, n * keeps_q, n_intervals, k * n_rows), self.dtype),
            np.zeros((1, n * keeps_r, n_intervals, k * k), self.dtype),
        )
        findings = make_findings(np.empty((n_intervals, n, k)))
        results = SteppedResults(findings, np.empty((n_intervals, n), np.bool_), kept)
        n_numbers = len(schedule.orthonormalizes) * n * self.layout.frame_size
        n_parts = min(torch.get_num_threads(), n, 1 + n_numbers // NUMBERS_OF_A_THREAD)

        def work(parts: range) -> None:
            workspace = self._workspace()
            for part in parts:
                span = n * part // n_parts, n * (part + 1) // n_parts
                self._run(workspace, self._systems, schedule, results, *span)

        on_threads(work, n_parts)
        log_r, sines = torch.from_numpy(log_diagonal(findings)), torch.from_numpy(findings.sines)
        q = torch.from_numpy(kept.q[0]).unflatten(-1, (k, n_rows)).mT if keeps_q else None
        r = torch.from_numpy(kept.r[0]).unflatten(-1, (k, k)) if keeps_r else None
        return Advance(log_r, sines, q, r), torch.from_numpy(results.finite)

    def _workspace(self) -> SteppedWorkspace:
        shape, width = self.layout.shape, lanes_of(self.dtype.itemsize)
        spare, factor = (aligned_zeros(n, self.dtype) for n in (self.layout.frame_size, factor_size(shape, width)))
        memory = None
        if self.program is not None:
            code = self.machine_code
            memory = make_memory(self.program, shape.n_columns, 0 if code is None else code.tangents)
        return SteppedWorkspace(make_workspace(self.layout, self.dtype), make_fallback(shape), spare, factor, memory)

    def tangents(self) -> Tensor:
        """Return the tangent vectors, (trajectory, S, k)."""
        shape = self.layout.shape
        columns = self._systems.frames[:, : shape.n_columns, : shape.block_rows]
        return torch.from_numpy(columns.copy()).mT

    def snapshot(self) -> Any:
        """Return a copy of states and tangent vectors for `restore`."""
        return self.states.clone(), self._systems.frames.copy()

    def restore(self, snapshot: Any) -> None:
        """Restore states and tangent vectors from a snapshot."""
        states, frames = snapshot
        self.states.copy_(states)
        self._systems.frames[:] = frames
