"""Figures of chapter 1: the Lorenz system."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.panels import legend_below, letter_panels
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, SERIES_COLORS, SERIES_MARKERS, Keywords
from lyapunov_pkg.reproduction.records import Store, figure

EXPONENT_LABEL = "Lyapunov exponent [nats/time unit]"
TRANSIENT_COLOR = "0.65"
RHO_COLORS = tuple(SERIES_COLORS.values())  # in the order of the dissertation: blue, orange, green, red


@figure(
    stores={"lorenz": Store("results/systems/lorenz.zarr.zip", ("trajectory", "fixed_point", "fixed_point_exponent"))},
    caption="Trajectories of the Lorenz system, one row for each ρ: z against x, and x against time. The transient "
    "is grey.",
)
def fig_1_1(lorenz: xr.Dataset) -> Figure:
    """Draw trajectories of Lorenz systems, one row per rho: z against x on the left, x against time on the right.

    `lorenz` is the Dataset of `reproduction.lorenz`. The transient is grey, and circles are the stable fixed points.
    Each panel has its own scale, because damped motion is small compared with chaotic motion.
    """
    transient = lorenz.attrs["transient"]
    times = lorenz["time"].values
    after = times >= transient
    n_rho = lorenz.sizes["rho"]

    fig = Figure(figsize=(DOUBLE_WIDTH, 0.6 + 1.5 * n_rho), layout="constrained")
    axes = fig.subplots(n_rho, 2, width_ratios=(1, 2), squeeze=False)
    for row, rho in enumerate(lorenz["rho"].values):
        of_rho = lorenz.isel(rho=row)
        x, _, z = of_rho["trajectory"].transpose("axis", "time").values
        portrait, course = axes[row]
        portrait.set_title(f"ρ = {rho:g}")
        for ax, horizontal, vertical in ((portrait, x, z), (course, times, x)):
            ax.plot(horizontal[~after], vertical[~after], color=TRANSIENT_COLOR, linewidth=0.6, label="transient")
            ax.plot(
                horizontal[after],
                vertical[after],
                color=RHO_COLORS[row],
                linewidth=0.5 if ax is portrait else 0.7,
                label="after the transient (coloured)" if row == 0 else None,
            )
        _mark_fixed_points(portrait, of_rho)
        portrait.set(xlabel="x", ylabel="z")
        course.set(ylabel="x")
    axes[-1, 1].set_xlabel("time [time units]")
    letter_panels(axes.flat)
    legend_below(fig, axes.flat, columns=3)
    return fig


def _mark_fixed_points(ax: Axes, of_rho: xr.Dataset) -> None:
    """Draw circles around the stable fixed points of one rho: both, one, or none if they are unstable."""
    if np.isnan(of_rho["fixed_point_exponent"].values[0]):
        return
    x, _, z = of_rho["fixed_point"].values
    look: Keywords = {"markersize": 7, "markerfacecolor": "none", "markeredgewidth": 0.8, "zorder": 3, "clip_on": False}
    ax.plot([-x, x], [z, z], "ko", label="stable fixed point", **look)


@figure(
    stores={
        "lorenz": Store(
            "results/systems/lorenz.zarr.zip",
            (
                "short_run_exponent",
                "steps_run_exponent",
                "long_run_exponent",
                "long_run_standard_error",
                "fixed_point_exponent",
            ),
        )
    },
    caption=(
        "Lyapunov exponents of the Lorenz system: estimates from short runs, in both readings of the text, and "
        "converged values. If T_init is in steps, runs from small initial states have the signs of the text: the "
        "largest exponents are positive except at ρ = 1. In (b) the share of runs with a positive exponent is below "
        "each ρ."
    ),
)
def fig_1_2(lorenz: xr.Dataset) -> Figure:
    """Draw exponents of Lorenz systems: estimates of short runs (open, and crosses) and converged values (filled).

    `lorenz` is the Dataset of `reproduction.lorenz`. Panel (a) shows all exponents, panel (b) the largest ones by rho.
    Lines are the values at the stable fixed point. The standard error of the converged values is mostly too small to be
    visible.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.2), layout="constrained")
    spectra, largest = fig.subplots(1, 2, width_ratios=(1.25, 1))
    n_rho, exponents = lorenz.sizes["rho"], lorenz["exponent"].values
    offsets = 0.16 * (np.arange(n_rho) - (n_rho - 1) / 2)
    for index, rho in enumerate(lorenz["rho"].values):
        of_rho = lorenz.isel(rho=index)
        _estimates(spectra, exponents + offsets[index], of_rho, index, width=0.06, label=f"ρ = {rho:g}")
        _estimates(largest, [index], of_rho.isel(exponent=slice(1)), index, width=0.25, label=f"ρ = {rho:g}")
    for ax, title in ((spectra, "(a) all exponents"), (largest, "(b) the largest")):
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
        ax.set(title=title, ylabel=EXPONENT_LABEL)
    spectra.set_xlabel("index of exponent")
    spectra.set_xticks(exponents)
    in_steps = lorenz["steps_run_exponent"].isel(exponent=0)
    n_positive, n_runs = (in_steps > 0).sum("run").values, lorenz.sizes["run"]
    largest.set_xlabel("ρ, and number of runs in steps\nwith a positive exponent")
    rhos = zip(lorenz["rho"].values, n_positive, strict=True)
    largest.set_xticks(range(n_rho), [f"{rho:g}\n{positive} of {n_runs}" for rho, positive in rhos])
    largest.set_xlim(-0.5, n_rho - 0.5)
    _name_estimates(largest, lorenz.attrs)
    legend_below(fig, [spectra, largest], columns=3)
    return fig


def _estimates(
    ax: Axes, positions: np.ndarray | list[int], of_rho: xr.Dataset, index: int, *, width: float, label: str
) -> None:
    """Draw short run (left), runs in steps (middle), converged values (right) and fixed point (line) of one rho.

    They are at `positions` (exponent,). For the runs in steps, mean and range are drawn.
    """
    positions = np.asarray(positions, dtype=float)
    look: Keywords = {"marker": SERIES_MARKERS[index], "color": RHO_COLORS[index], "linestyle": "none"}
    ax.plot(positions - width / 2, of_rho["short_run_exponent"].values, markerfacecolor="white", **look)
    in_steps = of_rho["steps_run_exponent"].transpose("run", "exponent").values
    mean = in_steps.mean(axis=0)
    reach = [mean - in_steps.min(axis=0), in_steps.max(axis=0) - mean]
    ax.errorbar(positions, mean, reach, color=RHO_COLORS[index], marker="x", linestyle="none", elinewidth=0.8)
    ax.errorbar(
        positions + width / 2,
        of_rho["long_run_exponent"].values,
        of_rho["long_run_standard_error"].values,
        elinewidth=0.8,
        label=label,
        **look,
    )
    known = of_rho["fixed_point_exponent"].values
    ax.hlines(known, positions - width, positions + width, color="black", linewidth=0.8, zorder=3)


def _name_estimates(ax: Axes, attributes: dict) -> None:
    """Add legend entries for the kinds of estimate, in grey."""
    grey: Keywords = {"color": "0.4", "marker": "o", "linestyle": "none"}
    run = f"{attributes['n_trajectories']} × {attributes['long_run_duration']:g} time units"
    ax.plot([], [], markerfacecolor="white", label=f"short run, {attributes['duration']:g} time units", **grey)
    steps = f"{attributes['steps_run_transient']} + {attributes['steps_run_measured']} steps"
    ax.plot([], [], color="0.4", marker="x", linestyle="none", label=f"T_init in steps, {steps}, mean and range")
    ax.plot([], [], label=f"converged, {run}", **grey)
    ax.plot([], [], color="black", linewidth=0.8, label="eigenvalues at the stable fixed point")
