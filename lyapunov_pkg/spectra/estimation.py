"""Estimation of Lyapunov exponents in pieces, so that a run can show progress, be interrupted, and be resumed.

`average_exponents` of `spectra.averaging` is the plain form of the same algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.spectra.averaging import _adaptive_intervals
from lyapunov_pkg.spectra.batches import Batches
from lyapunov_pkg.spectra.driven import DrivenSystem, check_schedule
from lyapunov_pkg.spectra.propagator_choice import make_propagator
from lyapunov_pkg.spectra.propagators import Propagator
from lyapunov_pkg.spectra.tangents import of_each_trajectory

WORK_AT_ONCE = 1_500_000_000
"""Multiplications between two checks for Ctrl-C, about a quarter of a second on one core."""

WORK_OF_A_STEP = 10_000
"""Overhead of a step, expressed in multiplications."""


@dataclass
class Checkpoint:
    """The state of a run, from which it can continue bit for bit like an uninterrupted run.

    The last bits of matrix products depend on the memory addresses of the operands. Compiled networks therefore resume
    at the last multiple of `Propagator.aligned_steps`, and repeat the steps after it.

    Attributes:
        n_steps: number of steps taken, including the warm-up.
        warmup: number of steps of the warm-up.
        state: (..., S), after all steps.
        tangents: (..., rows, k), after all steps, orthonormalised.
        aligned_state: (..., S), after the last step that is a multiple of `Propagator.aligned_steps`.
        pending_inputs: (sequence, step, feature), the inputs after that step.
        batches: sums of log r.
        lossy_intervals: (...), number of intervals in which a direction was lost.
        longest_interval: largest number of steps between two orthonormalisations.
        n_orthonormalizations: number of orthonormalisations, including the warm-up.
    """

    n_steps: int
    warmup: int
    state: Tensor
    tangents: Tensor
    aligned_state: Tensor
    pending_inputs: Tensor
    batches: Batches = field(default_factory=Batches)
    lossy_intervals: NDArray[np.int64] | None = None
    longest_interval: int = 1
    n_orthonormalizations: int = 0


class Intervals(NamedTuple):
    """Consecutive intervals between orthonormalisations.

    Attributes:
        last: number of input steps taken so far, possibly within an unfinished interval.
        ends: number of input steps taken at the end of each interval.
        log_r: (interval, ..., k), float64.
    """

    last: int
    ends: NDArray[np.int64]
    log_r: Tensor


@torch.no_grad()
def run(
    driven: DrivenSystem,
    *,
    warmup: int,
    orthonormalize_every: int | Literal["auto"],
    earlier: Checkpoint | None = None,
    advanced: Callable[[int], object] = lambda n_steps: None,
) -> Checkpoint:
    """Run a system and its tangent vectors through all inputs, and return the state of the run.

    Args:
        driven: the system, with the initial state and tangent vectors, or the final ones of an earlier run.
        warmup: steps that are not measured.
        orthonormalize_every: T_ON in steps, or "auto"; see `average_exponents`.
        earlier: the final state of an earlier run, to whose sums this run adds.
        advanced: called with the number of steps done since the last call.

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is neither positive nor "auto".
    """
    n_steps = driven.inputs.shape[-2]
    check_schedule(n_steps, warmup, orthonormalize_every, or_auto=True)
    now = _start(driven, earlier, warmup)
    inputs = torch.cat((now.pending_inputs, driven.inputs), dim=-2) if len(now.pending_inputs[0]) else driven.inputs
    propagator = make_propagator(driven.system, now.aligned_state, now.tangents, inputs)
    if orthonormalize_every == "auto":
        pieces = _of_their_own_length(propagator, inputs, warmup, now)
    else:
        pieces = _of_one_length(propagator, inputs, warmup, orthonormalize_every, now)
    done = last_end = 0
    for piece in pieces:
        lengths = np.diff(piece.ends, prepend=last_end)
        measured = piece.ends > warmup
        if measured.any():
            _add(now, piece.log_r.cpu().numpy()[measured], lengths[measured])
        now.n_orthonormalizations += len(lengths)
        now.longest_interval = int(lengths.max(initial=now.longest_interval))
        advanced(piece.last - done)
        done, last_end = piece.last, int(piece.ends[-1]) if len(lengths) else last_end
    now.n_steps += n_steps
    now.tangents = propagator.current_tangents()
    return now


def _start(driven: DrivenSystem, earlier: Checkpoint | None, warmup: int) -> Checkpoint:
    if earlier is not None:
        return earlier
    state = driven.initial_state
    tangents = of_each_trajectory(driven.initial_tangents, state)
    return Checkpoint(0, warmup, state, tangents, state, driven.inputs[:, :0])


def _add(now: Checkpoint, log_r: NDArray[np.float64], lengths: NDArray[np.int64]) -> None:
    now.batches.add(log_r, lengths)
    lossy = np.isneginf(log_r).any(axis=-1).sum(axis=0)
    now.lossy_intervals = lossy if now.lossy_intervals is None else now.lossy_intervals + lossy


def _of_one_length(
    propagator: Propagator, inputs: Tensor, warmup: int, length: int, now: Checkpoint
) -> Iterator[Intervals]:
    """Yield a few intervals of equal length at a time, counted from the end of the warm-up.

    `inputs` include the pending ones. At the end, `state`, `aligned_state` and `pending_inputs` of `now` are set.
    """
    aligned, pending = propagator.aligned_steps, now.pending_inputs.shape[-2]
    total = inputs.shape[-2]
    moment = steps_of_a_moment(propagator, now.state, now.tangents)
    last_aligned = total // aligned * aligned
    stops = [*range(moment, last_aligned, moment), *[last_aligned] * (last_aligned > 0)]
    begin = 0
    for stop in [*stops, *[total] * (total > last_aligned)]:
        if begin == last_aligned:
            now.aligned_state = propagator.state
        steps = np.arange(max(begin, pending) - pending + 1, stop - pending + 1)
        is_end = ((steps - warmup) % length == 0) | (steps == total - pending)
        path = propagator.path(padded(inputs[..., begin:stop, :], aligned))
        log_r, _ = propagator.follow(path, slice(max(pending - begin, 0), stop - begin), is_end.tolist())
        yield Intervals(stop - pending, steps[is_end], log_r)
        begin = stop
    _finish(propagator, inputs, last_aligned, now)


def _finish(propagator: Propagator, inputs: Tensor, last_aligned: int, now: Checkpoint) -> None:
    """Set the final states of `now`. A padded path extends beyond them."""
    now.pending_inputs = inputs[:, last_aligned:]
    if propagator.aligned_steps == 1 or not now.pending_inputs.shape[-2]:
        now.state = now.aligned_state = propagator.state
        return
    propagator.state = now.aligned_state
    propagator.path(now.pending_inputs)
    now.state = propagator.state


def _of_their_own_length(propagator: Propagator, inputs: Tensor, warmup: int, now: Checkpoint) -> Iterator[Intervals]:
    """Yield as `_of_one_length` does, with intervals as long as rounding allows. Resuming may change last bits."""
    pending = now.pending_inputs.shape[-2]
    if pending:
        propagator.state = now.state
    propagator.steps_at_once = min(propagator.steps_at_once, steps_of_a_moment(propagator, now.state, now.tangents))
    before = 0
    for last, length, log_r in _adaptive_intervals(propagator, inputs[..., pending:, :], warmup):
        yield Intervals(last, np.array([*range(before + length, last, length), last]), log_r)
        before = last
    now.state = now.aligned_state = propagator.state
    now.pending_inputs = inputs[:, :0]


def steps_of_a_moment(propagator: Propagator, state: Tensor, tangents: Tensor) -> int:
    """Return the steps between two checks for Ctrl-C. The number does not depend on the clock and changes no result."""
    n_rows, k = tangents.shape[-2:]
    of_step = state[..., 0].numel() * (n_rows * (n_rows + k) * k + WORK_OF_A_STEP)
    steps = min(propagator.steps_at_once, max(1, WORK_AT_ONCE // of_step))
    return -(-steps // propagator.aligned_steps) * propagator.aligned_steps


def padded(inputs: Tensor, multiple: int) -> Tensor:
    """Return inputs (..., step, feature) with the last step repeated until their number is a multiple of `multiple`."""
    n_more = -inputs.shape[-2] % multiple
    if not n_more:
        return inputs
    return torch.cat((inputs, inputs[..., -1:, :].expand(*inputs.shape[:-2], n_more, -1)), dim=-2)
