"""Estimation of the exponents of a trained network: figures 2.2, 2.4 and 2.5."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lyapunov_pkg.plots import zero_line
from lyapunov_pkg.reproduction.figures.panels import EXPONENT_LABEL, legend_below, robust_limits
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from lyapunov_pkg.reproduction.records import Store, figure

SHOWN_LINES = 24  # of the exponents of a spectrum


@figure(
    stores={
        "estimator": Store(
            "results/networks/estimator.zarr.zip", ("running_exponent", "lyapunov_exponent", "lyapunov_exponent_std")
        )
    },
    caption=(
        "(a) Estimated Lyapunov exponents of the trained network up to each step, without warm-up. (b) Its spectrum "
        "after all steps, with the standard deviation over sequences."
    ),
)
def fig_2_2(estimator: xr.Dataset) -> Figure:
    """Draw running exponents of a trained network against time, and its mean spectrum with the spread over sequences.

    `estimator` is the Dataset of `lyapunov_pkg.reproduction.populations.estimator`. There is no warm-up, as in
    algorithm 1.
    """
    study = estimator.sel(warmup=estimator["warmup"].min())
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    running, spectrum = fig.subplots(1, 2)
    n_shown = _running_exponents(running, study["running_exponent"])
    running.set(ylabel=EXPONENT_LABEL, title=f"(a) {n_shown} of {study.sizes['exponent']} exponents")
    mean, spread = study["lyapunov_exponent"].values, study["lyapunov_exponent_std"].values
    spectrum.errorbar(
        study["exponent"], mean, spread, color="black", ecolor="#D55E00", linewidth=0.6, elinewidth=1.2, capsize=1.5
    )
    zero_line(spectrum)
    spectrum.set(xlabel="index of exponent", ylabel=EXPONENT_LABEL)
    spectrum.set_title(f"(b) mean ± standard deviation over {study.attrs['n_sequences']} sequences")
    fig.suptitle(_network_name(estimator), fontsize=8)
    return fig


def _network_name(estimator: xr.Dataset) -> str:
    """Return a description of the network of the estimates."""
    attributes = estimator.attrs
    return f"network of p = {attributes['init_param']:g} after epoch {attributes['epoch']}"


def _running_exponents(ax: Axes, running: xr.DataArray) -> int:
    """Draw running exponents (time, exponent), dark to light by index, and return the number of lines."""
    n_exponents = running.sizes["exponent"]
    shown = np.unique(np.linspace(0, n_exponents - 1, min(SHOWN_LINES, n_exponents)).round().astype(int))
    for index in shown:
        color = colormaps["viridis"](0.95 * index / max(1, n_exponents - 1))
        ax.plot(running["time"], running.isel(exponent=index), color=color, linewidth=0.8)
    zero_line(ax)
    ax.set_xlabel("measured steps")
    return len(shown)


@figure(
    stores={
        "estimator": Store("results/networks/estimator.zarr.zip", ("running_exponent", "early_change", "early_bias"))
    },
    caption=(
        "Estimated Lyapunov exponents of the trained network up to each of the same steps, after warm-ups of "
        "different lengths. Titles give two mean absolute differences of the estimates in the first ten steps, over "
        "all exponents: from the last estimates (change), and from those of the longest warm-up at the same steps "
        "(bias)."
    ),
)
def fig_2_4(estimator: xr.Dataset) -> Figure:
    """Draw running exponents over the same steps after warm-ups of different lengths.

    `estimator` is the Dataset of `populations.estimator`. Titles give the mean distance, over steps and exponents, of
    the estimates in the first steps from the last ones (change), and from those of the longest warm-up (bias).
    """
    warmups = estimator["warmup"].values
    fig = Figure(figsize=(DOUBLE_WIDTH, 2.9), layout="constrained")
    axes = fig.subplots(1, len(warmups), sharex=True, sharey=True, squeeze=False)[0]
    for letter, ax, warmup in zip(ascii_lowercase, axes, warmups, strict=False):
        study = estimator.sel(warmup=warmup)
        _running_exponents(ax, study["running_exponent"])
        name = f"warm-up of {warmup} steps" if warmup else "no warm-up"
        change, bias = float(study["early_change"]), float(study["early_bias"])
        of_bias = f"\nearly bias {bias:.2g} nats/step" if warmup != warmups.max() else ""
        ax.set_title(f"({letter}) {name}:\nearly change {change:.2g} nats/step{of_bias}")
    axes[0].set_ylim(robust_limits(estimator["running_exponent"].values, include=(0.0,)))
    axes[0].set_ylabel(EXPONENT_LABEL)
    fig.suptitle(_network_name(estimator), fontsize=8)
    return fig


@figure(
    stores={"estimator": Store("results/networks/estimator.zarr.zip", ("interval_exponent", "largest_change"))},
    caption=(
        "Lyapunov spectrum of the trained network in float32 for several intervals between QR decompositions: (a) "
        "the whole spectrum, (b) its first half."
    ),
)
def fig_2_5(estimator: xr.Dataset) -> Figure:
    """Draw the spectrum, and its first half, for several T_ON.

    `estimator` is the Dataset of `populations.estimator`. The legend gives the largest distance of the exponents of the
    first and of the second half from those of the shortest T_ON.
    """
    spectra = estimator["interval_exponent"]
    n_first = spectra.sizes["exponent"] // 2
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.4), layout="constrained")
    axes = fig.subplots(1, 2)
    colors = colormaps["plasma"](np.linspace(0, 0.85, spectra.sizes["interval"]))
    for index, interval in enumerate(spectra["interval"].values):
        moved = [f"{change:.1g}" for change in estimator["largest_change"].isel(interval=index).values]
        label = rf"$T_\mathrm{{ON}}$ = {interval}" + (f": {moved[0]} and {moved[1]}" if index else "")
        for ax, shown in ((axes[0], spectra), (axes[1], spectra.isel(exponent=slice(n_first)))):
            look = {"color": colors[index], "linestyle": ("-", "--", "-.", ":")[index % 4], "label": label}
            ax.plot(shown["exponent"], shown.isel(interval=index), **look)
    zero_line(axes[0])
    axes[0].fill_between((1, n_first), *axes[1].get_ylim(), color="0.85", zorder=0, linewidth=0)
    for ax in axes:
        ax.set(xlabel="index of exponent", ylabel=EXPONENT_LABEL)
    axes[0].set_title("(a) full spectrum; grey: its first half")
    axes[1].set_title("(b) first half")
    title = "largest change of an exponent in the first and in the second half [nats/step]"
    legend_below(fig, axes[:1], columns=3, title=title)
    return fig
