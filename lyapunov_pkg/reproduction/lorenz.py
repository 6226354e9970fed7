"""The Lorenz system of chapter 1: trajectories, and exponents of a short and of a long run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.labels import EXPONENT, Label, describe
from lyapunov_pkg.reproduction.configuration.systems import LongRun, ShortRun, StepsRun
from lyapunov_pkg.spectra.averaging import average_of
from lyapunov_pkg.spectra.driven import driven_system, orthonormalizations
from lyapunov_pkg.systems import Flow, Lorenz, autonomous_inputs, trajectory

SPREAD = 1.0
"""Standard deviation of the initial states of the long run around the given one, in the units of x, y and z."""


def lorenz_experiment(
    rho: Sequence[float],
    sigma: float,
    beta: float,
    initial_state: Sequence[float],
    short_run: ShortRun,
    steps_run: StepsRun,
    long_run: LongRun,
    seed: int,
) -> xr.Dataset:
    """Return trajectories of Lorenz systems, and exponents by the dissertation's estimate and by a long run.

    The short run is that of the text. It has one initial state, and tangent vectors that are unit vectors at the end of
    the transient. The long run averages over trajectories from random states, with tangent vectors that align during
    the transient.

    Args:
        rho: (V,), one value for each system.
        sigma: sigma of all systems.
        beta: beta of all systems.
        initial_state: (x, y, z) of the short run. The initial states of the long run are random around it.
        short_run: settings of the short run, whose trajectory is returned every `orthonormalize_every` steps.
        steps_run: settings of the other reading of the text, with initial states around the origin.
        long_run: settings of the long run, whose standard error over trajectories is also returned.
        seed: seed of the initial states of the long run and of the steps run.

    Returns:
        Dataset over `rho`: `trajectory(rho, time, axis)`, `short_run_exponent`, `long_run_exponent`,
        `long_run_standard_error` and `fixed_point_exponent` (rho, exponent) and `steps_run_exponent(rho, run,
        exponent)` in nats per time unit, decreasing, and `fixed_point(rho, axis)`. `fixed_point_exponent` is NaN if the
        point is unstable. Attributes: `transient` and `duration` of the short run and `long_run_duration` in time
        units, `steps_run_transient` and `steps_run_measured` in steps, `n_trajectories` of the long run.
    """
    start = torch.tensor(initial_state, dtype=torch.float64).expand(len(rho), 1, 3)
    steps, states, short = _short_run(Lorenz(rho, sigma, beta, step_size=short_run.step_size), start, short_run)
    system = Lorenz(rho, sigma, beta, step_size=long_run.step_size)
    long = _long_run(system, start, long_run, torch.Generator().manual_seed(seed))
    in_steps = _steps_run(rho, sigma, beta, steps_run, torch.Generator().manual_seed(seed))
    at_fixed_point = system.fixed_point_exponents()
    stable = at_fixed_point[:, :1] <= 0
    dims = ("rho", "exponent")
    dataset = xr.Dataset(
        {
            "trajectory": (("rho", "time", "axis"), states.transpose(0, 1)),
            "short_run_exponent": (dims, short),
            "steps_run_exponent": (("rho", "run", "exponent"), in_steps),
            "long_run_exponent": (dims, long.mean(dim=1)),
            "long_run_standard_error": (dims, long.std(dim=1) / len(long[0]) ** 0.5),
            "fixed_point_exponent": (dims, torch.where(stable, at_fixed_point, torch.nan)),
            "fixed_point": (("rho", "axis"), system.fixed_point()),
        },
        coords={
            "rho": np.array(rho, dtype=float),
            "time": steps * short_run.step_size,
            "axis": ["x", "y", "z"],
            "exponent": np.arange(1, 4),
        },
        attrs={
            "transient": short_run.transient,
            "duration": short_run.duration,
            "steps_run_transient": steps_run.transient_steps,
            "steps_run_measured": steps_run.measured_steps,
            "long_run_duration": long_run.duration,
            "n_trajectories": long_run.n_trajectories,
        },
    )
    return describe(dataset, DESCRIPTIONS)


DESCRIPTIONS = {
    "trajectory": Label("1", "state of the Lorenz system, from the beginning of the transient"),
    "short_run_exponent": Label("nat/time unit", "Lyapunov exponent as the dissertation estimates it"),
    "steps_run_exponent": Label("nat/time unit", "Lyapunov exponent as the dissertation estimates it, T_init in steps"),
    "long_run_exponent": Label("nat/time unit", "Lyapunov exponent, mean over long trajectories"),
    "long_run_standard_error": Label("nat/time unit", "standard error of that mean"),
    "fixed_point_exponent": Label(
        "nat/time unit", "real parts of the eigenvalues at the fixed point, where it is stable"
    ),
    "fixed_point": Label("1", "fixed point with x >= 0 that is stable for the smaller rho"),
    "rho": Label("1", "Rayleigh number"),
    "time": Label("time unit", "time since the beginning of the transient"),
    "axis": Label("1", "coordinate of the state"),
    "exponent": EXPONENT,
}


def _short_run(system: Lorenz, start: Tensor, settings: ShortRun) -> tuple[np.ndarray, Tensor, Tensor]:
    """Return the stored steps (time,), their states (time, V, 3), and the exponents (V, 3) of one trajectory."""
    every = settings.orthonormalize_every
    transient = trajectory(system, start, settings.transient_steps)
    inputs = autonomous_inputs(1, settings.measured_steps)
    driven = driven_system(system, inputs, initial_state=transient[-1])
    ends = list(orthonormalizations(driven, orthonormalize_every=every))
    steps = [*range(0, len(transient), every), *(settings.transient_steps + end.time for end in ends)]
    states = torch.cat((transient[::every], torch.stack([end.state for end in ends])))
    rates = torch.stack([end.log_r for end in ends]).sum(dim=0) / (settings.measured_steps * settings.step_size)
    return np.array(steps), states.squeeze(2), rates.squeeze(1).sort(dim=-1, descending=True).values


def _long_run(system: Lorenz, start: Tensor, settings: LongRun, generator: torch.Generator) -> Tensor:
    """Return the exponents of each trajectory, (V, n_trajectories, 3)."""
    shape = (start.shape[0], settings.n_trajectories, 3)
    driven = driven_system(
        system,
        autonomous_inputs(settings.n_trajectories, settings.transient_steps + settings.measured_steps),
        initial_state=start + SPREAD * torch.randn(shape, generator=generator, dtype=torch.float64),
    )
    average = average_of(driven, warmup=settings.transient_steps, orthonormalize_every=settings.orthonormalize_every)
    return average.exponents / settings.step_size


def _steps_run(
    rho: Sequence[float], sigma: float, beta: float, settings: StepsRun, generator: torch.Generator
) -> Tensor:
    """Return the exponents of each run, (V, n_trajectories, 3). All systems have the same initial states."""

    def field(state: Tensor, rho: Tensor) -> Tensor:
        x, y, z = state.unbind(-1)
        return torch.stack((sigma * (y - x), x * (rho - z) - y, x * y - beta * z), dim=-1)

    n_runs = settings.n_trajectories
    of_each = torch.tensor(rho, dtype=torch.float64).repeat_interleave(n_runs)
    flow = Flow(field, step_size=settings.step_size, method=settings.method, parameters={"rho": of_each})
    state = settings.initial_std * torch.randn((n_runs, 3), generator=generator, dtype=torch.float64)
    state = state.repeat(len(rho), 1)
    for _ in range(settings.transient_steps):
        state = flow.step(state)
    driven = driven_system(flow, autonomous_inputs(len(state), settings.measured_steps), initial_state=state)
    average = average_of(driven, orthonormalize_every=settings.orthonormalize_every)
    return (average.exponents / settings.step_size).unflatten(0, (len(rho), n_runs))
