"""Recording of log R, and optionally of Q and R, at each orthonormalisation along trajectories."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lyapunov_pkg.devices import without_autocast
from lyapunov_pkg.progress import steps_bar
from lyapunov_pkg.spectra.driven import DrivenSystem, check_schedule
from lyapunov_pkg.spectra.estimation import padded, steps_of_a_moment
from lyapunov_pkg.spectra.propagator_choice import make_propagator
from lyapunov_pkg.spectra.tangents import of_each_trajectory


@dataclass(frozen=True)
class Recording:
    """The intervals after the warm-up, and the end of the run.

    Attributes:
        times: number of steps taken at the end of each interval.
        lengths: number of steps of each interval.
        log_r: (..., time, k), float64, nats over the whole interval; NaN once the state is not finite.
        q: (..., time, rows, k), at the times up to `q_until`; None if there are none.
        r: (..., time, k, k), the upper triangle of Q^T A, including its diagonal; None if not requested.
        state: (..., S), after the last step.
        tangents: (..., rows, k), after the last step.
    """

    times: list[int]
    lengths: list[int]
    log_r: Tensor
    q: Tensor | None
    r: Tensor | None
    state: Tensor
    tangents: Tensor


def record(
    driven: DrivenSystem,
    description: str,
    *,
    warmup: int,
    orthonormalize_every: int,
    q_until: int = 0,
    keeps_r: bool = False,
    progress: bool | None = None,
) -> Recording:
    """Run a system through all inputs, with tangent vectors that are orthonormal to rounding after each interval.

    Intervals are counted from the end of the warm-up, so that no interval extends across it. The last one ends with the
    inputs and may be shorter.

    Args:
        driven: the system.
        description: text of the progress bar.
        warmup: number of initial steps, for which nothing is returned.
        orthonormalize_every: number of steps of an interval.
        q_until: Q is returned for the intervals that end at or before this step.
        keeps_r: whether R is returned.
        progress: whether a bar is shown; None: after a few seconds, on a terminal.

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is not positive.
    """
    n_steps = driven.inputs.shape[-2]
    check_schedule(n_steps, warmup, orthonormalize_every)
    state = driven.initial_state
    tangents = of_each_trajectory(driven.initial_tangents, state)
    propagator = make_propagator(driven.system, state, tangents, driven.inputs, records=True)
    at_once = steps_of_a_moment(propagator, state, tangents)
    times: list[int] = []
    log_rs, qs, rs = [], [], []
    with without_autocast(), steps_bar(n_steps, description, progress) as advanced:
        for begin in range(0, n_steps, at_once):
            end = min(begin + at_once, n_steps)
            # Only the last path is padded. The state after it is not the state after the last step.
            path = propagator.path(padded(driven.inputs[..., begin:end, :], propagator.aligned_steps))
            for first, last, measured in ((begin, min(end, warmup), False), (max(begin, warmup), end, True)):
                if first >= last:
                    continue
                keeps_q = measured and first < q_until
                is_end = [(t - warmup) % orthonormalize_every == 0 or t == n_steps for t in range(first + 1, last + 1)]
                found = propagator.record(
                    path, slice(first - begin, last - begin), is_end, keeps_q=keeps_q, keeps_r=keeps_r and measured
                )
                if measured and any(is_end):
                    ends = [t for t, ends in zip(range(first + 1, last + 1), is_end, strict=True) if ends]
                    log_rs.append(torch.where(found.finite[..., None], found.log_r, torch.nan))
                    rs += [] if found.r is None else [found.r]
                    qs += [] if found.q is None else [found.q[..., : sum(t <= q_until for t in ends), :, :]]
                    times += ends
            advanced(end - begin)
    lengths = [time - before for before, time in zip([warmup, *times], times, strict=False)]
    state = propagator.state_after(path, end - begin)
    q, r = _joined(qs), _joined(rs)
    return Recording(times, lengths, torch.cat(log_rs, dim=-2), q, r, state, propagator.current_tangents())


def _joined(parts: list[Tensor]) -> Tensor | None:
    """Return the parts of a recording as one, along time. A single part, which may be large, is not copied."""
    return torch.cat(parts, dim=-3) if len(parts) > 1 else parts[0] if parts else None
