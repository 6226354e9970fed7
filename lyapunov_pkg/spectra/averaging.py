"""Average log expansion rates along trajectories: algorithms 1 and 2 of the dissertation (chapter 2).

The functions take and return tensors, for any stack of systems. `spectra.exponents` has the form with checked arguments
and labelled results.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lyapunov_pkg.linalg import SMALLEST_SINE
from lyapunov_pkg.spectra.driven import DrivenSystem, TangentMap, check_schedule
from lyapunov_pkg.spectra.propagator_choice import make_propagator
from lyapunov_pkg.spectra.propagators import Propagator
from lyapunov_pkg.spectra.tangents import of_each_trajectory

AUTO_TOLERANCE = 1e-4
"""Bound on the error of exponents with `orthonormalize_every="auto"`, nats per step."""

PROBED_STEPS = 4
"""Length of the first interval of "auto", after which it measures how fast tangent vectors align, in steps."""


class Average(NamedTuple):
    """Exponents, with the intervals and lost directions of the computation.

    Attributes:
        exponents: (..., k), nats per step, decreasing.
        longest_interval: largest number of steps between two orthonormalisations.
        n_orthonormalizations: number of orthonormalisations, including the warm-up.
        n_lost: (...), int64, number of lost directions, whose exponents are -inf.
        n_lossy_intervals: (...), int64, number of measured intervals in which a direction was lost.
    """

    exponents: Tensor
    longest_interval: int
    n_orthonormalizations: int
    n_lost: Tensor
    n_lossy_intervals: Tensor


@torch.no_grad()
def average_exponents(
    system: TangentMap,
    inputs: Tensor,
    initial_state: Tensor,
    initial_tangents: Tensor,
    *,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
) -> Average:
    """Return the average log expansion rates of tangent vectors along driven trajectories (Algorithm 2, eq. 2.7).

    The first `warmup` steps are not measured. Every `orthonormalize_every` steps (T_ON) the tangent vectors are
    orthonormalised and their log lengths are summed. A shorter last interval is included. Between two
    orthonormalisations, components smaller than the rounding error of the fastest direction are lost. Long intervals
    therefore make trailing exponents wrong. In float32 they are too large (dissertation, figure 2.5). In float64 they
    are -inf if `orthonormalize` finds the directions lost. A direction that is lost in one interval has the exponent
    -inf, because later steps cannot restore it. The result counts the lost directions and the intervals in which they
    were lost. Sums are in float64.

    J_T ... J_1 Q_0 = Q_T R_T ... R_1 holds for any Q_t. Averages therefore need an accurate factorisation at each
    interval and a well-conditioned basis, but no basis that is orthogonal to rounding. Networks on the CPU use one pass
    of Gram-Schmidt where it suffices; see `lyapunov_pkg.linalg.fallback`.

    "auto" considers the smallest angle between a tangent vector and the span of the vectors before it. Intervals grow
    while the sine of this angle stays above eps / `AUTO_TOLERANCE`. Rounding errors then change no exponent by more
    than `AUTO_TOLERANCE`. If the sine is smaller after an interval, the interval is repeated in shorter parts.

    Args:
        system: a `Network`, or anything with `push_forward(state, x, tangents)`.
        inputs: (V, B, T, F), or (B, T, F) for all variants, or (..., T, F) with other leading axes that the system
            takes.
        initial_state: (V, B, S), or (B, S) for a system without variants.
        initial_tangents: (rows, k) for all trajectories, or (V, B, rows, k): k orthonormal columns, k <= rows.
        warmup: steps of `inputs` that are not measured.
        orthonormalize_every: T_ON, in steps, or "auto".

    Returns:
        Exponents (V, B, k) or (B, k): nats per time step, decreasing along the last axis, in the dtype of the tangents.
        They are -inf for directions that float64 cannot resolve, including those of singular Jacobians. They are NaN
        for a trajectory that does not stay finite. `Average` describes the other fields.

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is neither positive nor "auto".
    """
    n_steps = inputs.shape[-2]
    check_schedule(n_steps, warmup, orthonormalize_every, or_auto=True)
    tangents = of_each_trajectory(initial_tangents, initial_state)
    propagator = make_propagator(system, initial_state, tangents, inputs)
    intervals = (
        _adaptive_intervals(propagator, inputs, warmup)
        if orthonormalize_every == "auto"
        else _equal_intervals(propagator, inputs, warmup, orthonormalize_every)
    )
    totals, count, longest = torch.zeros((), dtype=torch.float64, device=tangents.device), 0, 1
    n_lossy_intervals = torch.zeros(tangents.shape[:-2], dtype=torch.int64, device=tangents.device)
    for last, length, log_r in intervals:
        count, longest = count + len(log_r), max(longest, length)
        if last > warmup:
            totals = totals + log_r.sum(dim=0)
            n_lossy_intervals += torch.isneginf(log_r).any(dim=-1).sum(dim=0)
    n_lost = torch.isneginf(totals).sum(dim=-1)
    exponents = (totals / (n_steps - warmup)).sort(dim=-1, descending=True).values
    # A saturating map can have a finite Jacobian at an infinite state.
    stays_finite = torch.isfinite(propagator.state).all(dim=-1, keepdim=True)
    exponents = torch.where(stays_finite, exponents, torch.nan).to(tangents.dtype)
    return Average(exponents, longest, count, n_lost, n_lossy_intervals)


def average_of(driven: DrivenSystem, *, warmup: int = 0, orthonormalize_every: int | Literal["auto"] = 1) -> Average:
    """Return `average_exponents` of a checked system, with its own initial state and tangent vectors."""
    start = driven.initial_state, driven.initial_tangents
    return average_exponents(
        driven.system, driven.inputs, *start, warmup=warmup, orthonormalize_every=orthonormalize_every
    )


def _equal_intervals(
    propagator: Propagator, inputs: Tensor, warmup: int, length: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield the last step, the length and log r (interval, ..., k) of a few intervals at a time.

    Intervals are counted from the end of the warm-up, so that no interval extends across it.
    """
    at_once = propagator.steps_at_once
    for first, stop in ((0, warmup), (warmup, inputs.shape[-2])):
        ends = [(step - warmup) % length == 0 or step == stop for step in range(first + 1, stop + 1)]
        for at in range(first, stop, at_once):
            steps = slice(at, min(at + at_once, stop))
            path = propagator.path(inputs[..., steps, :])
            log_r, _ = propagator.follow(path, slice(None), ends[at - first : steps.stop - first])
            yield steps.stop, min(length, stop - first), log_r


def _adaptive_intervals(propagator: Propagator, inputs: Tensor, warmup: int) -> Iterator[tuple[int, int, Tensor]]:
    """Yield as `_equal_intervals` does, with intervals as long as `AUTO_TOLERANCE` allows; see `average_exponents`."""
    needed = max(torch.finfo(inputs.dtype).eps / AUTO_TOLERANCE, 10 * SMALLEST_SINE[inputs.dtype])
    length, longest, settled = 1, inputs.shape[-2], False
    at_once = propagator.steps_at_once
    for first, stop in ((0, warmup), (warmup, inputs.shape[-2])):
        for begin in range(first, stop, at_once):
            end = min(begin + at_once, stop)
            path, at = propagator.path(inputs[..., begin:end, :]), begin
            while at < end:
                last = min(at + (length * max(1, (end - at) // length) if settled else max(length, PROBED_STEPS)), end)
                ends = [(step - at) % length == 0 or step == last for step in range(at + 1, last + 1)]
                before = propagator.snapshot()
                log_r, sines = propagator.follow(path, slice(at - begin, last - begin), ends)
                # A diverged trajectory has no angles. Its exponents are NaN for every interval.
                smallest = sines.nan_to_num(nan=1.0).min().item()
                if smallest < needed and length > 1:
                    propagator.restore(before)
                    length = longest = length // 2
                    settled = False
                    continue
                yield last, min(length, last - at), log_r
                at = last
                alignment = -math.log(max(smallest, 1e-300)) / length  # of tangent vectors, per step
                allowed = int(-math.log(needed) / alignment) if alignment > 0 else longest
                settled = allowed <= length or length == longest
                length = min(max(allowed, length), 2 * length, longest)
