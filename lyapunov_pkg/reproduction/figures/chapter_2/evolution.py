"""Spectra over training: figure 2.6."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lyapunov_pkg.reproduction.figures.panels import label_spectrum_axes, legend_below, zero_line
from lyapunov_pkg.reproduction.figures.style import COLORS, DOUBLE_WIDTH, SERIES_MARKERS, Keywords
from lyapunov_pkg.reproduction.records import Store, figure

SHOWN_EPOCHS = (0, 4)  # beside the last


@figure(
    stores={
        "evolution": Store(
            "results/populations/char_rnn_initialisation.zarr.zip",
            ("lyapunov_exponent", "mean_squared_change", "mean_difference", "decay_power", "init_param"),
        )
    },
    caption=(
        "Lyapunov spectra over training by initialisation parameter: (a-c) spectra, (d) mean squared change from "
        "epoch to epoch, (e) difference of the mean exponent from that of the last epoch."
    ),
)
def fig_2_6(evolution: xr.Dataset) -> Figure:
    """Spectra by initialisation parameter p before, early in and after training, and how fast they settle.

    `evolution` is the Dataset of `reproduction.populations.evolution`. (d) is the mean squared change from the epoch
    before, (e) how far the mean exponent is from where it ends.
    """
    networks = evolution.sortby("init_param")
    epochs = networks["epoch"].values
    shown = [*(epoch for epoch in SHOWN_EPOCHS if epoch < epochs[-1]), epochs[-1]]
    fig = Figure(figsize=(DOUBLE_WIDTH, 4.8), layout="constrained")
    grid = fig.add_gridspec(2, 6)
    top = [fig.add_subplot(grid[0, 2 * column : 2 * column + 2]) for column in range(len(shown))]
    change, difference = fig.add_subplot(grid[1, :3]), fig.add_subplot(grid[1, 3:])
    values = list(dict.fromkeys(networks["init_param"].values))
    exponents = networks["lyapunov_exponent"].sel(epoch=shown)
    for network in range(networks.sizes["network"]):
        of_network = networks.isel(network=network)
        number = values.index(of_network["init_param"].values)
        look: Keywords = {"color": COLORS[number % len(COLORS)], "label": f"p = {values[number]:g}"}
        for ax, epoch in zip(top, shown, strict=True):
            ax.plot(networks["exponent"], of_network["lyapunov_exponent"].sel(epoch=epoch), **look)
        look |= {"marker": SERIES_MARKERS[number % len(SERIES_MARKERS)], "markersize": 2.5, "linewidth": 0.8}
        change.plot(epochs, of_network["mean_squared_change"], **look)
        difference.plot(epochs, of_network["mean_difference"], **look)
    for letter, ax, epoch in zip(ascii_lowercase, top, shown, strict=False):
        label_spectrum_axes(ax, exponents.sel(epoch=epoch).values, also=exponents.values)
        ax.set_title(f"({letter}) epoch {epoch}" + (": before training" if epoch == 0 else ""))
        if ax is not top[0]:
            ax.set_ylabel("")
    _one_over_time(change, epochs[1:], networks)
    letters = ascii_lowercase[len(top) :]
    slope = f"{float(networks['decay_power'].median()):.2f}"
    change.set(xlabel="epoch t", ylabel="mean squared change\nof exponents [nats²/step²]")
    change.set_title(f"({letters[0]}) from epoch t − 1 to t; falls as $t^{{{slope}}}$ (median)")
    zero_line(difference)
    difference.set(xlabel="epoch t", ylabel="difference of mean\nexponent [nats/step]")
    difference.set_title(f"({letters[1]}) from that of epoch {epochs[-1]}")
    difference.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(fig, [change], columns=7)
    return fig


def _one_over_time(ax: Axes, epochs: np.ndarray, networks: xr.Dataset) -> None:
    """Both axes logarithmic, and 1/t through the middle of the first changes."""
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(epochs, [f"{epoch}" if epoch in (1, 2, 5, 10, 20, 50, 100) else "" for epoch in epochs])
    ax.minorticks_off()
    first = float(networks["mean_squared_change"].sel(epoch=epochs[0]).median())
    ax.plot(epochs, first * epochs[0] / epochs, "k--", linewidth=0.9, label="1/t")
