"""Finite-time Lyapunov exponents: what each step, or each interval, adds to the exponents (dissertation, chapter 4)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.labels import describe
from lyapunov_pkg.spectra.driven import Analysable, driven_system, orthonormalizations


@torch.no_grad()
def finite_time_exponents(
    network: Analysable,
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int = 1,
    return_q: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> xr.Dataset:
    """Finite-time Lyapunov exponents along driven trajectories: log R of each QR decomposition.

    The terms of the sum that `lyapunov_spectrum` takes, log r_t^k of eq. 4.3, each divided by the steps of its
    interval.
    Their mean over time, weighted by `interval`, is the spectrum; up to each time it is eq. 4.4: `running_exponents`.

    Directions keep the order of the QR decomposition (the k-th is the k-th column of Q). At a single step it need not
    be the order of size, and without warm-up the first steps also measure how Q turns from the identity towards the
    directions of the system.

    Args:
        network: as `lyapunov_spectrum` takes it, and so are all arguments but `return_q`.
        inputs: (sequence, time, feature).
        n_exponents: how many leading directions to follow; default all.
        jacobian: "full" or "reduced", the Jacobian that is taken.
        initial_state: (S,), (sequence, S), or (variant, sequence, S); default zeros, or what a system starts from.
        warmup: number of first time steps that are not measured.
        orthonormalize_every: steps of an interval. The first interval starts where the warm-up ends; the last one ends
            with the inputs and may be shorter.
        return_q: whether to return Q as well: `rows` numbers for each exponent, where `rows` is the state size.
        dtype: torch.float32 or torch.float64.
        device: where to compute.

    Returns:
        Dataset with `finite_time_exponent(sequence, time, exponent)` in natural log per time step, and `q(sequence,
        time, unit, exponent)`, the orthonormal vectors at the end of each interval, if asked for; a `Network` adds the
        axis `variant` in front. The coordinate `time` is the number of steps of `inputs` taken at the end of the
        interval, `interval(time)` how many of them it spans. -inf: the Jacobians of the interval lose the direction;
        NaN: the trajectory has diverged by then.

    Raises:
        TypeError: `network` is nothing of which exponents can be taken.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included.

    Example:
        >>> local = finite_time_exponents(lstm, inputs, n_exponents=10)
        >>> running_exponents(local).mean("sequence").plot.line(x="time")

    References:
        Vogt, R., Puelma Touzel, M., Shlizerman, E., Lajoie, G.: On Lyapunov exponents for RNNs. Frontiers in Applied
        Mathematics and Statistics 8, 818799 (2022).
        Pikovsky, A., Politi, A.: Lyapunov Exponents. Cambridge University Press (2016), chapter 5.
    """
    driven = driven_system(
        network,
        inputs,
        n_exponents=n_exponents,
        jacobian=jacobian,
        initial_state=initial_state,
        dtype=dtype,
        device=device,
    )
    times, lengths, exponents, frames = [], [], [], []
    for end in orthonormalizations(driven, warmup=warmup, orthonormalize_every=orthonormalize_every):
        times.append(end.time)
        lengths.append(end.length)
        exponents.append(end.log_r / end.length)
        if return_q:
            frames.append(end.q)
    variables = {"finite_time_exponent": (("time", "exponent"), torch.stack(exponents, dim=-2))}
    descriptions = {
        "finite_time_exponent": ("nat/step", "finite-time Lyapunov exponent (log R of an interval, per time step)"),
        "time": ("step", "steps of the inputs taken at the end of the interval"),
        "interval": ("step", "steps that the interval spans"),
    }
    if return_q:
        variables["q"] = (("time", "unit", "exponent"), torch.stack(frames, dim=-3))
        descriptions["q"] = ("1", "orthonormal vectors at the end of the interval")
    return driven.dataset(
        variables,
        {"time": np.array(times), "interval": ("time", np.array(lengths))},
        descriptions,
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
    )


def running_exponents(finite_time: xr.Dataset) -> xr.DataArray:
    """The estimate of the exponents up to each time: the running mean of finite-time exponents (eq. 4.4).

    At the last time it is what `lyapunov_spectrum` returns, except that `lyapunov_spectrum` sorts it. Times may be
    selected beforehand: what is left out at the beginning is then a longer warm-up of the estimate.

    Args:
        finite_time: what `finite_time_exponents` returned.

    Returns:
        (..., time, exponent), nats per step, in float64. -inf from the time on at which a direction is lost, NaN from
        the time on at which the trajectory has diverged.

    Example:
        >>> running = running_exponents(finite_time_exponents(lstm, inputs))
        >>> (running - running.isel(time=-1)).std("sequence")  # how far the estimate is from its last value
    """
    lengths = finite_time["interval"].astype(np.float64)
    running = (finite_time["finite_time_exponent"] * lengths).cumsum("time", skipna=False) / lengths.cumsum("time")
    running = running.transpose(*finite_time["finite_time_exponent"].dims).assign_coords(finite_time.coords)
    dataset = running.to_dataset(name="running_exponent")
    label = {"running_exponent": ("nat/step", "Lyapunov exponent as estimated up to this time")}
    return describe(dataset, label)["running_exponent"]
