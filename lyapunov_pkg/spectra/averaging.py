"""Average log expansion rates along trajectories: algorithms 1 and 2 of the dissertation (chapter 2).

Tensors in and tensors out, for any stack of systems; `spectra.exponents` has the checked and labelled form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lyapunov_pkg.linalg import SMALLEST_SINE
from lyapunov_pkg.spectra.driven import DrivenSystem, TangentMap, check_schedule
from lyapunov_pkg.spectra.propagators import Propagator, make_propagator
from lyapunov_pkg.spectra.tangents import of_each_trajectory

AUTO_TOLERANCE = 1e-4
"""What `orthonormalize_every="auto"` keeps the error of exponents below, nats per step."""

PROBED_STEPS = 4
"""Steps after which "auto" first looks how fast tangent vectors align."""


class Average(NamedTuple):
    """Exponents with how they came about.

    Attributes:
        exponents: (..., k), nats per step, decreasing.
        longest_interval: most steps between two orthonormalisations.
        n_orthonormalizations: how many there were, the warm-up's included.
        n_lost: (...), int64, how many directions were lost, and so how many exponents are -inf.
        n_lossy_intervals: (...), int64, at how many of the measured orthonormalisations a direction was lost.
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
    """Average log expansion rates of tangent vectors along driven trajectories (Algorithm 2, eq. 2.7).

    State and tangents evolve through the first `warmup` steps without being measured. Every `orthonormalize_every`
    steps (T_ON) the tangents are orthonormalised and their log lengths added up; a shorter last interval counts too.
    Between two orthonormalisations whatever is smaller than the rounding error of the fastest direction is lost, so
    that a long interval spoils the trailing exponents: in float32 they come out too large (dissertation, figure 2.5),
    in float64 as -inf where `orthonormalize` finds them lost. A direction that is lost in one interval has the exponent
    -inf, because what follows cannot bring it back; the result says how many were lost, and how often. Sums are taken
    in float64.

    J_T ... J_1 Q_0 = Q_T R_T ... R_1 telescopes for any Q_t: averages need the factorisation at each interval to be
    accurate, and its basis to be well conditioned, but not orthogonal to rounding. Networks on the CPU take one pass of
    Gram-Schmidt where that suffices, see `lyapunov_pkg.linalg.fallback`.

    With "auto" intervals grow as long as the sine of the smallest angle between a tangent vector and the span of those
    before it stays above eps / `AUTO_TOLERANCE`, so that rounding errors move no exponent by more than that. An
    interval after which it turns out smaller is taken again, in shorter ones.

    Args:
        system: a `Network`, or anything with `push_forward(state, x, tangents)`.
        inputs: (V, B, T, F), (B, T, F) for all variants alike, or whatever else precedes (T, F) that the system takes.
        initial_state: (V, B, S), or (B, S) for a system without variants.
        initial_tangents: (rows, k) for all alike, or (V, B, rows, k): orthonormal columns, which need not be complete.
        warmup: steps of `inputs` that are not measured.
        orthonormalize_every: T_ON, in steps, or "auto".

    Returns:
        Exponents (V, B, k) or (B, k): natural log per time step, decreasing along the last axis, in the dtype of the
        tangents. -inf for directions that are lost beyond what float64 resolves, which includes singular Jacobians; NaN
        for a trajectory that does not stay finite. See `Average` for what comes with them.

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
    # A map that saturates can have a finite Jacobian at an infinite state.
    stays_finite = torch.isfinite(propagator.state).all(dim=-1, keepdim=True)
    exponents = torch.where(stays_finite, exponents, torch.nan).to(tangents.dtype)
    return Average(exponents, longest, count, n_lost, n_lossy_intervals)


def average_of(driven: DrivenSystem, *, warmup: int = 0, orthonormalize_every: int | Literal["auto"] = 1) -> Average:
    """Return `average_exponents` of a checked system, from the state and the tangent vectors that it has."""
    start = driven.initial_state, driven.initial_tangents
    return average_exponents(
        driven.system, driven.inputs, *start, warmup=warmup, orthonormalize_every=orthonormalize_every
    )


def _equal_intervals(
    propagator: Propagator, inputs: Tensor, warmup: int, length: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield the last step, the length and log r (interval, ..., k) of a few intervals at a time.

    Intervals are counted from the end of the warm-up, so that one ends there and none straddles it.
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
    """As `_equal_intervals`, with intervals as long as `AUTO_TOLERANCE` allows; see `average_exponents`."""
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
                # A trajectory that diverged has no angles, and is NaN whatever the interval.
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
