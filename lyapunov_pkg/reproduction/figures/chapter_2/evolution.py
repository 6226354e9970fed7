"""Spectra over training: figure 2.6."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lyapunov_pkg.plots import COLORS, zero_line
from lyapunov_pkg.reproduction.figures.panels import label_spectrum_axes, legend_below
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, SERIES_MARKERS, Keywords
from lyapunov_pkg.reproduction.records import Store, figure

SHOWN_EPOCHS = (0, 4)  # besides the last epoch
MOST_LABELS = 6
LABELLED_EPOCHS = (1, 2, 5, 10, 20, 50, 100)  # where there are more


@figure(
    stores={
        "evolution": Store(
            "results/evolution/char_rnn_initialisation.zarr.zip",
            ("lyapunov_exponent", "mean_squared_change", "mean_difference", "decay_power", "init_param"),
        )
    },
    caption=(
        "Lyapunov spectra over training by initialisation parameter: (a-c) spectra, (d) mean squared change from "
        "epoch to epoch, (e) difference of the mean exponent from that of the last epoch."
    ),
)
def fig_2_6(evolution: xr.Dataset) -> Figure:
    """Draw spectra by initialisation parameter p before, early in and after training, and their change.

    `evolution` is the Dataset of `reproduction.populations.evolution`. (d) is the mean squared change from the previous
    epoch, (e) the difference of the mean exponent from its final value.
    """
    networks = evolution.sortby("init_param")
    values = list(dict.fromkeys(networks["init_param"].values))
    looks: list[Keywords] = []
    trends: list[Keywords] = []
    for value in networks["init_param"].values:
        number = values.index(value)
        looks.append({"color": COLORS[number % len(COLORS)], "label": f"p = {value:g}"})
        marker = SERIES_MARKERS[number % len(SERIES_MARKERS)]
        trends.append(looks[-1] | {"marker": marker, "markersize": 2.5, "linewidth": 0.8})
    return spectra_over_training(networks, looks, trends)


def spectra_over_training(networks: xr.Dataset, looks: Sequence[Keywords], trends: Sequence[Keywords]) -> Figure:
    """Draw spectra before, early in and after training, and their change; for one epoch, only the spectra.

    Args:
        networks: the Dataset of `reproduction.populations.evolution`.
        looks: look of the spectrum of each network.
        trends: look of the curves of each network over the epochs.
    """
    epochs = networks["epoch"].values
    shown = shown_epochs(epochs)
    settles = len(epochs) > 1
    fig = Figure(figsize=(DOUBLE_WIDTH, 4.8 if settles else 2.8), layout="constrained")
    grid = fig.add_gridspec(2 if settles else 1, 6)
    width = 6 // len(shown)
    top = [fig.add_subplot(grid[0, width * column : width * (column + 1)]) for column in range(len(shown))]
    exponents = networks["lyapunov_exponent"].sel(epoch=shown)
    for network, look in enumerate(looks):
        for ax, epoch in zip(top, shown, strict=True):
            ax.plot(networks["exponent"], exponents.isel(network=network).sel(epoch=epoch), **look)
    for letter, ax, epoch in zip(ascii_lowercase, top, shown, strict=False):
        label_spectrum_axes(ax, exponents.sel(epoch=epoch).values, also=exponents.values)
        ax.set_title(f"({letter}) epoch {epoch}" + (": before training" if epoch == 0 else ""))
        if ax is not top[0]:
            ax.set_ylabel("")
    if settles:
        axes = fig.add_subplot(grid[1, :3]), fig.add_subplot(grid[1, 3:])
        _changes(axes, networks, trends, ascii_lowercase[len(top) :])
    legend_below(fig, axes[:1] if settles else top[:1], columns=7)
    return fig


def shown_epochs(epochs: np.ndarray) -> list[int]:
    """Return the epochs whose spectra are shown: those nearest to `SHOWN_EPOCHS`, and the last."""
    before = [int(epochs[abs(epochs - epoch).argmin()]) for epoch in SHOWN_EPOCHS if epoch < epochs[-1]]
    return list(dict.fromkeys([*before, int(epochs[-1])]))


def _changes(axes: tuple[Axes, Axes], networks: xr.Dataset, trends: Sequence[Keywords], letters: str) -> None:
    """Draw the change of spectra between epochs, and the difference of their mean from its final value."""
    change, difference = axes
    epochs = networks["epoch"].values
    for network, look in enumerate(trends):
        change.plot(epochs, networks["mean_squared_change"].isel(network=network), **look)
        difference.plot(epochs, networks["mean_difference"].isel(network=network), **look)
    _one_over_time(change, epochs[1:], networks)
    slope = float(networks["decay_power"].median())
    falls = f"; $\\propto t^{{{slope:.2f}}}$ (median)" if np.isfinite(slope) else ""
    every = "epoch t − 1" if (np.diff(epochs) == 1).all() else "the previous measured epoch"
    change.set(xlabel="epoch t", ylabel="mean squared change\nof exponents [nats²/step²]")
    change.set_title(f"({letters[0]}) from {every} to t{falls}")
    zero_line(difference)
    difference.set(xlabel="epoch t", ylabel="difference of mean\nexponent [nats/step]")
    difference.set_title(f"({letters[1]}) relative to epoch {epochs[-1]}")
    difference.xaxis.set_major_locator(MaxNLocator(integer=True))


def _one_over_time(ax: Axes, epochs: np.ndarray, networks: xr.Dataset) -> None:
    """Make both axes logarithmic and draw 1/t through the median of the first changes, if there are several epochs."""
    if len(epochs) < 2:
        ax.set_xticks(epochs)
        return
    labelled = LABELLED_EPOCHS if len(epochs) > MOST_LABELS else epochs
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(epochs, [f"{epoch}" if epoch in labelled else "" for epoch in epochs])
    ax.minorticks_off()
    first = float(networks["mean_squared_change"].sel(epoch=epochs[0]).median())
    ax.plot(epochs, first * epochs[0] / epochs, "k--", linewidth=0.9, label="1/t")
