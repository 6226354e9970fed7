"""Propagation of the tangent vectors of many trajectories on the CPU: products with Jacobians, and QR.

A Jacobian is given by its terms (`plan.py`), and is not stored for longer than a step. A thread moves some trajectories
through all steps, so that their matrices stay in the cache. These are a group of as many trajectories as a vector has
lanes, or, for large matrices, as many as fit. If there are more threads than trajectories of large matrices, a team of
threads (`team.py`) works on each trajectory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.fallback import make_fallback, recompute_in_float64
from lyapunov_pkg.linalg.grouped import apply_to_group
from lyapunov_pkg.linalg.interleaved import view_group
from lyapunov_pkg.linalg.layout import PANEL, aligned_zeros, choose_layout
from lyapunov_pkg.linalg.one_by_one import MatrixScratch, view_matrices
from lyapunov_pkg.linalg.plan import Block, Plan, make_plan
from lyapunov_pkg.linalg.sharing import Sharing
from lyapunov_pkg.linalg.single import apply_to_each
from lyapunov_pkg.linalg.team import CAN_WAIT, Team, gave_up, give_up, make_team, meet
from lyapunov_pkg.linalg.threads import on_threads
from lyapunov_pkg.linalg.tiles import WIDE
from lyapunov_pkg.linalg.vectors import lanes_of
from lyapunov_pkg.linalg.workspace import (
    Findings,
    Workspace,
    by_layout,
    factor_size,
    log_diagonal,
    make_findings,
    make_workspaces,
    orthonormalize_frame,
    pack,
    triangular_factors,
    unpack,
    unpack_all,
)

FRAMES_BYTES = 400_000
"""Size of the tangent vectors of large matrices that a thread takes through a step together. With weights and slopes of
a few rows they fit into a core's cache."""

PANELS_OF_THREAD = 4
"""A thread of a team has so many panels of a matrix at least. Narrower matrices keep the threads waiting."""
LEAST_SHARED = 30_000
"""Numbers in the smallest matrix that is shared: about 170 x 170."""

apply_jacobians = by_layout(apply_to_group, apply_to_each)


class FlowWorkspace(NamedTuple):
    """The workspace of one thread that moves trajectories through steps. A team of threads shares the spare frame."""

    team: Team
    orthonormalization: Workspace
    slopes: NDArray
    """Slopes of each trajectory, in the order in which blocks read them."""
    rows: NDArray
    """Some rows of a block of the Jacobians."""
    spare: NDArray
    """A frame: the tangent vectors before orthonormalisation, for R and for the fallback in float64."""
    factor: NDArray
    """R of the trajectories of a group, or of one."""


class Steps(NamedTuple):
    """Steps of tangent vectors."""

    slopes: NDArray
    """(variant, step, sequence, slot, row)"""
    orthonormalizes: NDArray
    """(step,): whether the vectors are orthonormalised after the step."""
    to_rounding: bool
    """Whether the vectors must then be orthonormal to rounding."""


class Kept(NamedTuple):
    """Stored results of each orthonormalisation. An array without sequences means that nothing is stored."""

    q: NDArray
    """(variant, sequence, interval, column * row)"""
    r: NDArray
    """(variant, sequence, interval, row * column): Q^T A, of which the diagonal is that of R but for rounding."""


class Advance(NamedTuple):
    """The result of `TangentFlow.advance`.

    Attributes:
        log_r: (interval, variant, sequence, k), float64: natural log of the diagonal of R at each orthonormalisation;
            -inf for lost directions, which come last, NaN for matrices that are not finite.
        sines: (interval, variant, sequence), float64: smallest sine of the angle between a vector and the span of those
            before it, which gives the error of log_r (eps / sine).
        q: (variant, sequence, interval, rows, k), if requested.
        r: (variant, sequence, interval, k, k), if requested: the upper triangle of Q^T A.
    """

    log_r: Tensor
    sines: Tensor
    q: Tensor | None
    r: Tensor | None


class Place(NamedTuple):
    """Trajectories that are processed together: `n_sequences` sequences of one variant, from `first` on."""

    variant: int
    first: int
    n_sequences: int


@compiled
def _findings_at(findings, place, interval):
    """Return the part of `findings` for the trajectories at a place after an interval."""
    sequences = slice(place.first, place.first + place.n_sequences)
    return Findings(
        findings.squares[interval, place.variant, sequences],
        findings.powers[interval, place.variant, sequences],
        findings.sines[interval, place.variant, sequences],
        findings.untrusted[interval, place.variant, sequences],
    )


@compiled
def _keep(workspace, plan, place, frame, interval, kept):
    """Copy the requested results of the orthonormalised matrices of a frame. `workspace.spare` is not changed."""
    if workspace.team.rank != 0:
        return
    work, shape, sequences = (
        workspace.orthonormalization,
        plan.shape,
        slice(place.first, place.first + place.n_sequences),
    )
    if kept.q.shape[1]:
        unpack_all(work, frame, shape, kept.q[place.variant, sequences, interval])
    if kept.r.shape[1]:
        r = kept.r[place.variant, sequences, interval]
        triangular_factors(work, frame, workspace.spare, shape, workspace.factor, r)


@compiled
def _run(workspace, plan, steps, place, frames, begin, end, findings, kept):
    """Move the trajectories at a place through steps, to `end` or until a matrix needs the float64 fallback.

    Args:
        workspace: `FlowWorkspace`.
        plan: `Plan`.
        steps: `Steps`.
        place: `Place`.
        frames: two frames; the tangent vectors are in frames[step % 2] before a step.
        begin: numbers of steps and intervals that are already finished.
        end: number of steps after which it stops.
        findings: `Findings` (interval, variant, sequence), output.
        kept: `Kept`, output.

    Returns:
        The numbers of finished steps and intervals, and whether a matrix has to be recomputed. All threads of a team
        return the same numbers. If one of them failed, the others return early.
    """
    step, interval = begin
    while step < end:
        q, new = frames[step % 2], frames[(step + 1) % 2]
        slopes = steps.slopes[place.variant, step, place.first : place.first + place.n_sequences]
        apply_jacobians(workspace, plan, slopes, place.variant, q, new)
        step += 1
        if steps.orthonormalizes[step - 1]:
            found = _findings_at(findings, place, interval)
            if kept.r.shape[1]:
                _keep_spare(workspace, new)
            orthonormalize_frame(workspace.orthonormalization, new, plan.shape, steps.to_rounding, found)
            interval += 1
            if found.untrusted.any():
                return step, interval, True
            _keep(workspace, plan, place, new, interval - 1, kept)
            if not meet(workspace.team):
                break
    return step, interval, False


@compiled
def _keep_spare(workspace, frame):
    """Copy a frame to the spare one, once all threads of the team have finished their columns."""
    meet(workspace.team)
    if workspace.team.rank == 0:
        workspace.spare[:] = frame
    meet(workspace.team)


@compiled
def _recompute(workspace, plan, steps, place, frames, end, findings, kept, fallback):
    """Recompute in float64 those matrices after a step for which one pass is not accurate enough.

    Arguments as in `_run`. The matrices are multiplied again, because the pass was in place.
    """
    step, interval = end[0] - 1, end[1] - 1
    q, new = frames[step % 2], frames[(step + 1) % 2]
    slopes = steps.slopes[place.variant, step, place.first : place.first + place.n_sequences]
    apply_jacobians(workspace, plan, slopes, place.variant, q, workspace.spare)
    meet(workspace.team)
    found = _findings_at(findings, place, interval)
    for index in range(place.n_sequences if workspace.team.rank == 0 else 0):
        if found.untrusted[index]:
            unpack(
                workspace.orthonormalization, workspace.spare, index, plan.shape, fallback.matrix, fallback.shape.stride
            )
            recompute_in_float64(fallback, steps.to_rounding, found, index)
            pack(workspace.orthonormalization, new, index, plan.shape, fallback.matrix, fallback.shape.stride)
    _keep(workspace, plan, place, new, interval, kept)
    meet(workspace.team)


class TangentFlow:
    """Tangent vectors of many trajectories, moved by `advance`.

    There is one trajectory for each of n_sequences sequences and each of n_variants networks, which differ in their
    weights.
    """

    def __init__(self, blocks: Sequence[Block], n_blocks: int, tangents: Tensor) -> None:
        """Store weights and tangent vectors in the layout of the kernels.

        Args:
            blocks: the blocks of the Jacobians, in the order of their application.
            n_blocks: number of blocks of rows of the tangent vectors, all of one size. A target of `blocks` beyond them
                exists only within a step, as the source of a later block.
            tangents: (variant, sequence, n_blocks * size, k), on the CPU, float32 or float64, k <= n_blocks * size.
        """
        self.n_variants, self.n_sequences, n_rows, n_columns = tangents.shape
        self.dtype = np.dtype(str(tangents.dtype).removeprefix("torch."))
        n_more = max([0, *(block.target + 1 - n_blocks for block in blocks)])
        self.layout = choose_layout(self.n_sequences, n_blocks, n_rows // n_blocks, n_columns, self.dtype, n_more)
        self.together = self.layout.lanes if self.layout.lanes > 1 else self._number_in_step()
        self.plan = make_plan(blocks, self.layout, self.n_variants, self.dtype)
        self.places = [
            Place(variant, first, min(self.together, self.n_sequences - first))
            for variant in range(self.n_variants)
            for first in range(0, self.n_sequences, self.together)
        ]
        self.frames = [tuple(aligned_zeros(self.frame_size, self.dtype) for _ in range(2)) for _ in self.places]
        self._last_sharing = Sharing(1)
        self._write_tangents(tangents)

    def advance(
        self,
        slopes: Tensor,
        orthonormalizes: Sequence[bool],
        *,
        to_rounding: bool = False,
        keeps_q: bool = False,
        keeps_r: bool = False,
    ) -> Advance:
        """Move the tangent vectors through steps with the given slopes.

        Args:
            slopes: (variant, step, sequence, slot, size), in the dtype of the tangent vectors.
            orthonormalizes: for each step, whether the vectors are orthonormalised after it.
            to_rounding: whether the vectors must then be orthonormal to rounding, which needs two passes.
            keeps_q: whether to return Q.
            keeps_r: whether to return R.
        """
        steps = Steps(slopes.contiguous().numpy(), np.asarray(orthonormalizes, dtype=np.bool_), to_rounding)
        n_intervals, k = int(steps.orthonormalizes.sum()), self.layout.shape.n_columns
        n_rows = self.layout.shape.n_blocks * self.layout.shape.block_rows
        findings = make_findings(np.empty((n_intervals, self.n_variants, self.n_sequences, k)))
        kept = Kept(
            np.empty((self.n_variants, self.n_sequences * keeps_q, n_intervals, k * n_rows), self.dtype),
            np.zeros((self.n_variants, self.n_sequences * keeps_r, n_intervals, k * k), self.dtype),
        )

        begin = 0
        for end, n_threads in self._sharing().pieces(len(steps.orthonormalizes)):
            self._take(n_threads, steps, range(begin, end), findings, kept)
            begin = end
        if len(steps.orthonormalizes) % 2:
            self.frames = [frames[::-1] for frames in self.frames]
        log_r, sines = torch.from_numpy(log_diagonal(findings)), torch.from_numpy(findings.sines)
        q = torch.from_numpy(kept.q).unflatten(-1, (k, n_rows)).mT if keeps_q else None
        return Advance(log_r, sines, q, torch.from_numpy(kept.r).unflatten(-1, (k, k)) if keeps_r else None)

    @property
    def frame_size(self) -> int:
        """Return how many numbers a frame has. It contains the tangent vectors of trajectories processed together."""
        return self.layout.frame_size // self.layout.lanes * self.together

    def _number_in_step(self) -> int:
        """Return how many trajectories of large matrices go together: as many as fit, with some for every thread."""
        fit = FRAMES_BYTES // (2 * self.layout.frame_size * self.dtype.itemsize)
        of_thread = -(-self.n_variants * self.n_sequences // torch.get_num_threads())
        return max(1, min(fit, of_thread, self.n_sequences))

    def tangents(self) -> Tensor:
        """Return the tangent vectors, (variant, sequence, rows, k)."""
        shape = self.layout.shape
        size = self.n_variants, self.n_sequences, shape.n_columns, shape.n_blocks, shape.block_rows
        result = np.empty(size, self.dtype)
        for (variant, first, count), (frame, _) in zip(self.places, self.frames, strict=True):
            result[variant, first : first + count] = np.moveaxis(self._view(frame), -1, 0)[:count]
        return torch.from_numpy(result).flatten(-2).mT

    def snapshot(self) -> list[NDArray]:
        """Return a copy of the tangent vectors for `restore`."""
        return [frame.copy() for frame, _ in self.frames]

    def restore(self, snapshot: list[NDArray]) -> None:
        """Restore the tangent vectors from a snapshot."""
        for (frame, _), saved in zip(self.frames, snapshot, strict=True):
            frame[:] = saved

    def _take(self, team_size: int, steps: Steps, piece: range, findings: Findings, kept: Kept) -> None:
        """Move all trajectories through some of the steps, with a team of `team_size` threads for each place."""
        shared = [member for _ in self.places for member in self.workspaces(team_size)] if team_size > 1 else []

        def work(tasks: range) -> None:
            # A thread of a team has one task. Other threads process their trajectories one after the other.
            workspace = shared[tasks[0]] if shared else self.workspaces()[0]
            worker = _Worker(self.plan, workspace, steps, findings, kept)
            for task in tasks:
                worker.run(self.places[task // team_size], self.frames[task // team_size], piece)

        def stop() -> None:
            for workspace in shared:
                give_up(workspace.team)

        # The threads of a team wait for one another, so each task needs a thread of its own.
        n_tasks = len(self.places) * team_size
        on_threads(work, n_tasks, n_tasks if shared else None, stop)

    def _sharing(self) -> Sharing:
        """Return the measured speed of teams, for the present number of threads."""
        size = self._team_size()
        if size != self._last_sharing.team_size:
            self._last_sharing = Sharing(size)
        return self._last_sharing

    def _team_size(self) -> int:
        """Return how many threads work on each matrix: several if some threads would otherwise have no work."""
        n_columns = self.layout.shape.n_columns
        if self.layout.lanes > 1 or not CAN_WAIT or self.layout.padded_rows * n_columns < LEAST_SHARED:
            return 1
        n_panels = -(-n_columns // lanes_of(self.dtype.itemsize))
        return max(1, min(torch.get_num_threads() // len(self.places), n_panels // PANELS_OF_THREAD))

    def workspaces(self, n_threads: int = 1) -> list[FlowWorkspace]:
        """Return the workspace of each thread of a team."""
        size, width = self.layout.shape.padded_block_rows, lanes_of(self.dtype.itemsize)
        n_slopes = max(1, len(self.plan.slots) * size * self.together)
        n_formed = PANEL * self.plan.row_stride if self.layout.lanes > 1 else WIDE * size * width
        n_factor = self.layout.lanes * factor_size(self.layout.shape, width)
        common = [aligned_zeros(count, self.dtype) for count in (self.frame_size, n_factor)]
        found = []
        for workspace in make_workspaces(self.layout, self.dtype, n_threads):
            scratch = workspace.scratch
            team = scratch.team if isinstance(scratch, MatrixScratch) else make_team()[0]
            own = (aligned_zeros(count, self.dtype) for count in (n_slopes, n_formed))
            found.append(FlowWorkspace(team, workspace, *own, *common))
        return found

    def _view(self, frame: NDArray) -> NDArray:
        """Return the matrices of a frame without padding, (column, block, row, trajectory)."""
        view = view_group if self.layout.lanes > 1 else view_matrices
        return view(frame, self.layout.shape)

    def _write_tangents(self, tangents: Tensor) -> None:
        shape = self.layout.shape
        columns = tangents.mT.reshape(*tangents.shape[:2], shape.n_columns, shape.n_blocks, shape.block_rows).numpy()
        for (variant, first, count), (frame, _) in zip(self.places, self.frames, strict=True):
            self._view(frame)[..., :count] = np.moveaxis(columns[variant, first : first + count], 0, -1)


class _Worker:
    """One thread's part of `TangentFlow.advance`."""

    def __init__(self, plan: Plan, workspace: FlowWorkspace, steps: Steps, findings: Findings, kept: Kept) -> None:
        self.plan, self.workspace, self.steps, self.findings, self.kept = plan, workspace, steps, findings, kept
        self.fallback = make_fallback(plan.shape)

    def run(self, place: Place, frames: tuple[NDArray, ...], piece: range) -> None:
        """Move the trajectories at a place through some of the steps."""
        arguments = self.workspace, self.plan, self.steps, place, frames
        done = piece.start, int(self.steps.orthonormalizes[: piece.start].sum())
        while done[0] < piece.stop and not gave_up(self.workspace.team):
            *finished, has_untrusted = _run(*arguments, done, piece.stop, self.findings, self.kept)
            done = finished[0], finished[1]
            if has_untrusted:
                _recompute(*arguments, done, self.findings, self.kept, self.fallback)
