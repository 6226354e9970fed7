"""Finite-time Lyapunov exponents: what each step, or each interval, adds to the exponents (dissertation, chapter 4)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.labels import describe
from lyapunov_pkg.spectra.driven import Analysable, DrivenSystem
from lyapunov_pkg.spectra.recording import record
from lyapunov_pkg.spectra.resuming import DESCRIPTIONS as ENDING_DESCRIPTIONS
from lyapunov_pkg.spectra.resuming import (
    Variables,
    ending_variables,
    in_time,
    prepare,
    time_unit,
)


@torch.no_grad()
def finite_time_exponents(
    system: Analysable,
    inputs: Tensor | ArrayLike | None = None,
    *,
    n_steps: int | None = None,
    duration: float | None = None,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    initial_tangents: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int = 1,
    return_q: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    resume: xr.Dataset | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Return finite-time Lyapunov exponents along trajectories: log R of each QR decomposition.

    These are the terms of the sum that `lyapunov_spectrum` takes, log r_t^k of eq. 4.3, each divided by the time of its
    interval. Their mean over time, weighted by `interval`, is the spectrum; up to each time it is eq. 4.4, which
    `running_exponents` computes.

    Directions keep the order of the QR decomposition (the k-th is the k-th column of Q). At a single step it need not
    be the order of size, and without warm-up the first steps also measure how Q turns towards the directions of the
    system.

    Args:
        system: as all arguments but `return_q`, see `lyapunov_spectrum`.
        inputs: see there.
        n_steps: see there.
        duration: see there.
        n_exponents: see there.
        jacobian: see there.
        initial_state: see there.
        initial_tangents: see there.
        warmup: number of first steps that are not measured.
        orthonormalize_every: steps of an interval. The first interval starts where the warm-up ends; the last one ends
            with the inputs and may be shorter.
        return_q: whether to return Q as well: `rows` numbers for each exponent, where `rows` is the state size.
        dtype: see there.
        device: see there.
        resume: the result of an earlier call of this function, with the same settings. What is returned has the
            intervals of both.
        progress: see there.

    Returns:
        Dataset with these variables. A `Network` adds the dimension `variant` in front.

        * `finite_time_exponent(sequence, time, exponent)`: natural log per time step, of a flow per time unit. -inf:
          the Jacobians of the interval lose the direction. NaN: the trajectory has diverged by then.
        * `q(sequence, time, unit, exponent)`, if asked for: the orthonormal vectors at the end of each interval.
        * `final_state(sequence, state)` and `final_tangents(sequence, unit, direction)`, from which `resume` goes on.

        The coordinate `time` is the time taken by the end of the interval, in steps or in a flow's time units;
        `interval(time)` is how much of it the interval spans.

    Raises:
        TypeError: `system` is nothing of which exponents can be taken.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included.

    Example:
        Every step of the Hénon map changes areas by the factor 0.3:

        >>> from lyapunov_pkg import finite_time_exponents
        >>> from lyapunov_pkg.systems import Henon
        >>> local = finite_time_exponents(Henon(), n_steps=4)
        >>> local["finite_time_exponent"].sum("exponent").values.round(4)
        array([[-1.204, -1.204, -1.204, -1.204]])

    References:
        Vogt, R., Puelma Touzel, M., Shlizerman, E., Lajoie, G.: On Lyapunov exponents for RNNs. Frontiers in Applied
        Mathematics and Statistics 8, 818799 (2022).
        Pikovsky, A., Politi, A.: Lyapunov Exponents. Cambridge University Press (2016), chapter 5.
    """
    driven = prepare(
        system,
        inputs,
        duration,
        resume,
        n_steps=n_steps,
        n_exponents=n_exponents,
        jacobian=jacobian,
        initial_state=initial_state,
        initial_tangents=initial_tangents,
        dtype=dtype,
        device=device,
    )
    n_steps = driven.inputs.shape[-2]
    found = record(
        driven,
        "finite-time exponents",
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
        q_until=n_steps if return_q else 0,
        progress=progress,
    )
    lengths = torch.tensor(found.lengths, dtype=torch.float64, device=found.log_r.device)
    exponents = (found.log_r / lengths[:, None] / driven.time_per_step).to(driven.inputs.dtype)
    variables: Variables = {"finite_time_exponent": (("time", "exponent"), exponents)}
    if found.q is not None:
        variables["q"] = (("time", "unit", "exponent"), found.q)
    dataset = driven.dataset(
        variables | ending_variables(found.state, found.tangents),
        {"time": in_time(driven, found.times), "interval": ("time", in_time(driven, found.lengths))},
        _descriptions(driven, return_q),
        n_steps=n_steps,
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
    )
    return dataset if resume is None else _continued(resume, dataset, driven)


def _descriptions(driven: DrivenSystem, with_q: bool) -> dict[str, tuple[str, str]]:
    unit = time_unit(driven)
    exponent = f"finite-time Lyapunov exponent (log R of an interval, per {unit if unit != 'step' else 'time step'})"
    descriptions = ENDING_DESCRIPTIONS | {
        "finite_time_exponent": (f"nat/{unit}", exponent),
        "time": (unit, f"{unit}s of the inputs taken at the end of the interval"),
        "interval": (unit, f"{unit}s that the interval spans"),
    }
    return descriptions | ({"q": ("1", "orthonormal vectors at the end of the interval")} if with_q else {})


def _continued(earlier: xr.Dataset, later: xr.Dataset, driven: DrivenSystem) -> xr.Dataset:
    """Put the intervals of two runs one after another.

    Raises:
        ValueError: the first is not a result of this function, or one of them has Q and the other one has not.
    """
    if "finite_time_exponent" not in earlier or ("q" in earlier) != ("q" in later):
        raise ValueError(
            f"resume: got a result with {sorted(map(str, earlier.data_vars))}, expected one of finite_time_exponents "
            "with the same return_q"
        )
    if later.attrs["warmup"]:
        raise ValueError(f"warmup: got {later.attrs['warmup']} beside resume, expected 0; the earlier run had it")
    n_earlier = int(earlier.attrs["n_steps"])
    steps = np.rint(later["time"].values / driven.time_per_step).astype(np.int64) + n_earlier
    later = later.assign_coords(time=("time", in_time(driven, steps), later["time"].attrs))
    along_time = [name for name in later.variables if "time" in later[name].dims]
    joined = xr.concat([earlier[along_time], later[along_time]], "time", join="exact", combine_attrs="override")
    attributes = earlier.attrs | {"n_steps": n_earlier + later.attrs["n_steps"]}
    return later.drop_dims("time").merge(joined, join="exact").assign_attrs(attributes)


def running_exponents(finite_time: xr.Dataset) -> xr.DataArray:
    """Return the estimate of the exponents up to each time: the running mean of finite-time exponents (eq. 4.4).

    At the last time it is what `lyapunov_spectrum` returns, except that `lyapunov_spectrum` sorts it. Times may be
    selected beforehand: what is left out at the beginning is then a longer warm-up of the estimate.

    Args:
        finite_time: what `finite_time_exponents` returned.

    Returns:
        (..., time, exponent), in the units of the finite-time exponents, in float64. -inf from the time on at which a
        direction is lost, NaN from the time on at which the trajectory has diverged.

    Example:
        >>> from lyapunov_pkg import finite_time_exponents, running_exponents
        >>> from lyapunov_pkg.systems import Henon
        >>> running = running_exponents(finite_time_exponents(Henon(), n_steps=2000))
        >>> running.sel(time=[10, 100, 1000, 2000], exponent=1).values.round(3)
        array([[0.294, 0.391, 0.415, 0.421]])
    """
    lengths = finite_time["interval"].astype(np.float64)
    running = (finite_time["finite_time_exponent"] * lengths).cumsum("time", skipna=False) / lengths.cumsum("time")
    running = running.transpose(*finite_time["finite_time_exponent"].dims).assign_coords(finite_time.coords)
    dataset = running.to_dataset(name="running_exponent")
    units = finite_time["finite_time_exponent"].attrs["units"]
    label = {"running_exponent": (units, "Lyapunov exponent as estimated up to this time")}
    return describe(dataset, label)["running_exponent"]
