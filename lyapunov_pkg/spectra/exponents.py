"""Lyapunov exponents of driven systems: Algorithms 1 and 2 of the dissertation (chapter 2).

`average_exponents` is the algorithm, tensors in and tensors out, for any stack of systems; `lyapunov_spectrum` is its
checked and labelled form for one network, or one stack of them, and its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, overload

import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.linalg import SMALLEST_SINE
from lyapunov_pkg.spectra.differentiable import differentiable_exponents
from lyapunov_pkg.spectra.driven import Analysable, TangentMap, check_schedule, driven_system
from lyapunov_pkg.spectra.propagators import Carrier, carrier

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
    """

    exponents: Tensor
    longest_interval: int
    n_orthonormalizations: int


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
    in float64 as -inf where `orthonormalize` finds them lost. Sums are taken in float64.

    J_T ... J_1 Q_0 = Q_T R_T ... R_1 telescopes for any Q_t: averages need the factorisation at each interval to be
    accurate, and its basis to be well conditioned, but not orthogonal to rounding. Networks on the CPU take one pass of
    Gram-Schmidt where that suffices, see `lyapunov_pkg.linalg.care`.

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
        tangents. -inf where the Jacobians are singular; NaN for a trajectory that does not stay finite.

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is neither positive nor "auto".
    """
    n_steps = inputs.shape[-2]
    check_schedule(n_steps, warmup, orthonormalize_every, or_auto=True)
    tangents = initial_tangents.expand(*initial_state.shape[:-1], *initial_tangents.shape[-2:])
    carried = carrier(system, initial_state, tangents)
    intervals = (
        _adaptive_intervals(carried, inputs, warmup)
        if orthonormalize_every == "auto"
        else _equal_intervals(carried, inputs, warmup, orthonormalize_every)
    )
    totals, count, longest = torch.zeros((), dtype=torch.float64, device=tangents.device), 0, 1
    for last, length, log_r in intervals:
        count, longest = count + len(log_r), max(longest, length)
        if last > warmup:
            totals = totals + log_r.sum(dim=0)
    exponents = (totals / (n_steps - warmup)).sort(dim=-1, descending=True).values
    # A map that saturates can have a finite Jacobian at an infinite state.
    stays_finite = torch.isfinite(carried.state).all(dim=-1, keepdim=True)
    return Average(torch.where(stays_finite, exponents, torch.nan).to(tangents.dtype), longest, count)


def _equal_intervals(carried: Carrier, inputs: Tensor, warmup: int, length: int) -> Iterator[tuple[int, int, Tensor]]:
    """Yield the last step, the length and log r (interval, ..., k) of a few intervals at a time.

    Intervals are counted from the end of the warm-up, so that one ends there and none straddles it.
    """
    for first, stop in ((0, warmup), (warmup, inputs.shape[-2])):
        ends = [(step - warmup) % length == 0 or step == stop for step in range(first + 1, stop + 1)]
        for at in range(first, stop, carried.steps_at_once):
            steps = slice(at, min(at + carried.steps_at_once, stop))
            path = carried.path(inputs[..., steps, :])
            log_r, _ = carried.follow(path, slice(None), ends[at - first : steps.stop - first])
            yield steps.stop, min(length, stop - first), log_r


def _adaptive_intervals(carried: Carrier, inputs: Tensor, warmup: int) -> Iterator[tuple[int, int, Tensor]]:
    """As `_equal_intervals`, with intervals as long as `AUTO_TOLERANCE` allows; see `average_exponents`."""
    needed = max(torch.finfo(inputs.dtype).eps / AUTO_TOLERANCE, 10 * SMALLEST_SINE[inputs.dtype])
    length, longest, settled = 1, inputs.shape[-2], False
    for first, stop in ((0, warmup), (warmup, inputs.shape[-2])):
        for begin in range(first, stop, carried.steps_at_once):
            end = min(begin + carried.steps_at_once, stop)
            path, at = carried.path(inputs[..., begin:end, :]), begin
            while at < end:
                last = min(at + (length * max(1, (end - at) // length) if settled else max(length, PROBED_STEPS)), end)
                ends = [(step - at) % length == 0 or step == last for step in range(at + 1, last + 1)]
                before = carried.snapshot()
                log_r, sines = carried.follow(path, slice(at - begin, last - begin), ends)
                # A trajectory that diverged has no angles, and is NaN whatever the interval.
                smallest = sines.nan_to_num(nan=1.0).min().item()
                if smallest < needed and length > 1:
                    carried.restore(before)
                    length = longest = length // 2
                    settled = False
                    continue
                yield last, min(length, last - at), log_r
                at = last
                alignment = -math.log(max(smallest, 1e-300)) / length  # of tangent vectors, per step
                allowed = int(-math.log(needed) / alignment) if alignment > 0 else longest
                settled = allowed <= length or length == longest
                length = min(max(allowed, length), 2 * length, longest)


@overload
def lyapunov_spectrum(
    network: Analysable,
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: Literal[False] = False,
) -> xr.Dataset: ...


@overload
def lyapunov_spectrum(
    network: Analysable,
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: Literal[True],
) -> Tensor: ...


def lyapunov_spectrum(
    network: Analysable,
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: bool = False,
) -> xr.Dataset | Tensor:
    """Lyapunov spectrum of a recurrent network driven by each of several input sequences.

    Tangent vectors start as the first columns of the identity and are multiplied by the analytic Jacobian of each step;
    see `average_exponents` for the algorithm (dissertation, Algorithm 2). Spectra are not averaged over sequences.

    Args:
        network: torch.nn.RNN, LSTM or GRU of any depth (dropout is not applied); a `Network` of this package, which
            may hold many variants; an object with `push_forward(state, x, tangents)`, such as those of
            `lyapunov_pkg.systems.maps`; or a function `step(state, x) -> state` on states (sequence, S) and inputs
            (sequence, feature), which is differentiated automatically and needs `initial_state`.
        inputs: (sequence, time, feature) in this order whatever the module's `batch_first`, tensor or array.
        n_exponents: how many leading exponents to compute; default all, one per row of the Jacobian.
        jacobian: "full" takes the Jacobian of the whole state (LSTM: h and c), "reduced" the dissertation's,
            dh_t/dh_{t-1} with the cell state held.
        initial_state: (S,), (sequence, S), or (variant, sequence, S), layer after layer, and in each the hidden units
            first (LSTM: h, c); default zeros, or what a system itself starts from.
        warmup: number of first time steps that move state and tangent vectors but are not measured.
        orthonormalize_every: steps from one QR decomposition to the next (T_ON of Algorithm 2). Larger is faster;
            trailing exponents lose accuracy first. "auto" makes intervals as long as rounding errors move no exponent
            by more than 1e-4 nats per step, which pays where the spectrum is narrow; the attributes
            `longest_interval` and `n_orthonormalizations` of the result say what it chose.
        dtype: torch.float32 or torch.float64; default that of the network, else of the inputs.
        device: default that of the network, else of the inputs.
        differentiable: return a tensor through which a loss can be back-propagated; see below.

    Returns:
        Dataset with `lyapunov_exponent(sequence, exponent)`, or `(variant, sequence, exponent)` for a `Network`, in
        natural log per time step, decreasing along `exponent`. -inf: singular Jacobians; NaN: the trajectory diverged.
        With `differentiable` a tensor of the same shape and values.

    Raises:
        TypeError: `network` is none of these, or `inputs` are no numbers.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included; a step function
            cannot be differentiated, returns something else than a state, or mixes sequences.

    Differentiable exponents:
        Gradients flow to the weights of a torch.nn module, to the `params` of a `Network`, to what a step function
        refers to, to `inputs` and to `initial_state`, wherever these require them. They are the exact derivatives of
        what is returned, through states and tangent vectors of all steps, the warm-up included; only of first order.
        All steps are kept until the backward pass: 3 to 10 numbers (fewest for RNN, most for GRU with few exponents)
        for each entry of the tangent vectors, which are state size times `n_exponents` per step, sequence and variant.
        To keep less, run a warm-up of the state beforehand and give its last state, detached, as `initial_state`.
        A gradient is NaN, for the weights of that variant, if a direction is lost (-inf) or a trajectory diverged
        (NaN): with singular Jacobians take `n_exponents` small enough. Degenerate exponents are no obstacle.

    Example:
        >>> lstm, inputs = torch.nn.LSTM(3, 64), torch.randn(10, 500, 3)
        >>> lyapunov_spectrum(lstm, inputs, warmup=100)["lyapunov_exponent"].mean("sequence")
        >>> leading = lyapunov_spectrum(lstm, inputs, n_exponents=8, differentiable=True)
        >>> leading.square().mean().backward()  # now lstm.weight_hh_l0.grad points to exponents further from zero

    References:
        Benettin, G., Galgani, L., Giorgilli, A., Strelcyn, J.-M.: Lyapunov characteristic exponents for smooth
        dynamical systems. Meccanica 15, 9-20 (1980).
        Engelken, R., Wolf, F., Abbott, L. F.: Lyapunov spectra of chaotic recurrent neural networks. Physical Review
        Research 5, 043044 (2023).
        Engelken, R.: Gradient flossing. Advances in Neural Information Processing Systems 36 (2023).
    """
    driven = driven_system(
        network,
        inputs,
        n_exponents=n_exponents,
        jacobian=jacobian,
        initial_state=initial_state,
        dtype=dtype,
        device=device,
        differentiable=differentiable,
    )
    if differentiable:
        return differentiable_exponents(driven, warmup=warmup, orthonormalize_every=orthonormalize_every)
    average = average_exponents(
        driven.system,
        driven.inputs,
        driven.initial_state,
        driven.initial_tangents,
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
    )
    return driven.dataset(
        {"lyapunov_exponent": (("exponent",), average.exponents)},
        {},
        {"lyapunov_exponent": ("nat/step", "Lyapunov exponent (natural log per time step)")},
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
        longest_interval=average.longest_interval,
        n_orthonormalizations=average.n_orthonormalizations,
    )
