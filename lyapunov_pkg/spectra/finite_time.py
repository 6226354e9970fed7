"""Finite-time Lyapunov exponents: the growth rates of single steps or intervals (dissertation, chapter 4)."""

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

    `lyapunov_spectrum` sums log r_t^k of eq. 4.3. This function returns each term, divided by the length of its
    interval. The mean over time, weighted by `interval`, is the spectrum. `running_exponents` computes the mean up to
    each time (eq. 4.4).

    Directions keep the order of the QR decomposition: the k-th exponent belongs to the k-th column of Q. At a single
    step the exponents need not decrease. Without a warm-up, the first steps also contain the rotation of Q towards the
    system's directions.

    Args:
        system: as in `lyapunov_spectrum`.
        inputs: as in `lyapunov_spectrum`.
        n_steps: as in `lyapunov_spectrum`.
        duration: as in `lyapunov_spectrum`.
        n_exponents: as in `lyapunov_spectrum`.
        jacobian: as in `lyapunov_spectrum`.
        initial_state: as in `lyapunov_spectrum`.
        initial_tangents: as in `lyapunov_spectrum`.
        warmup: number of initial steps that are not measured.
        orthonormalize_every: steps per interval. The first interval starts at the end of the warm-up. The last one ends
            with the inputs and may be shorter.
        return_q: whether to return Q as well. Q has `rows` numbers per exponent, where `rows` is the state size.
        dtype: as in `lyapunov_spectrum`.
        device: as in `lyapunov_spectrum`.
        resume: the result of an earlier call of this function with the same settings. The returned Dataset has the
            intervals of both calls.
        progress: as in `lyapunov_spectrum`.

    Returns:
        Dataset with these variables. A `Network` adds the dimension `variant` in front.

        * `finite_time_exponent(sequence, time, exponent)`: nats per time step, or per time unit for a flow. -inf: the
          direction is lost in the interval. NaN: the trajectory diverged in or before the interval.
        * `q(sequence, time, unit, exponent)`, only with `return_q`: the orthonormal vectors at the end of each
          interval.
        * `final_state(sequence, state)` and `final_tangents(sequence, unit, direction)`, from which `resume` continues.

        The coordinate `time` is the time at the end of the interval, in steps or in a flow's time units. The coordinate
        `interval(time)` is the length of the interval in the same unit.

    Raises:
        TypeError: `system` is of a type that has no exponents.
        ValueError: an argument (or a weight) is out of range, has the wrong shape, or is not finite.

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
    """Return the intervals of two runs, joined along time.

    Raises:
        ValueError: `earlier` is not a result of `finite_time_exponents`, or only one of the two results has Q.
    """
    if "finite_time_exponent" not in earlier or ("q" in earlier) != ("q" in later):
        raise ValueError(
            f"resume: got a result with {sorted(map(str, earlier.data_vars))}, expected one of finite_time_exponents "
            "with the same return_q"
        )
    if later.attrs["warmup"]:
        raise ValueError(
            f"warmup: got {later.attrs['warmup']} together with resume, expected 0: the warm-up was part of the "
            "earlier run"
        )
    n_earlier = int(earlier.attrs["n_steps"])
    steps = np.rint(later["time"].values / driven.time_per_step).astype(np.int64) + n_earlier
    later = later.assign_coords(time=("time", in_time(driven, steps), later["time"].attrs))
    along_time = [name for name in later.variables if "time" in later[name].dims]
    joined = xr.concat([earlier[along_time], later[along_time]], "time", join="exact", combine_attrs="override")
    attributes = earlier.attrs | {"n_steps": n_earlier + later.attrs["n_steps"]}
    return later.drop_dims("time").merge(joined, join="exact").assign_attrs(attributes)


def running_exponents(finite_time: xr.Dataset) -> xr.DataArray:
    """Return the estimate of the exponents up to each time: the running mean of finite-time exponents (eq. 4.4).

    The estimate at the last time is what `lyapunov_spectrum` returns, except that `lyapunov_spectrum` sorts it. You may
    select times beforehand. Times that you leave out at the beginning then act as a longer warm-up.

    Args:
        finite_time: the result of `finite_time_exponents`.

    Returns:
        (..., time, exponent), in the units of the finite-time exponents, in float64. Values are -inf from the time at
        which a direction is lost, and NaN from the time at which the trajectory diverged.

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
