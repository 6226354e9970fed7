"""Figures for every study: losses and spectra over training, statistics of spectra, and AeLLE."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lyapunov_pkg.cells.entries import LineStyle
from lyapunov_pkg.reproduction.figures.chapter_2.evolution import spectra_over_training
from lyapunov_pkg.reproduction.figures.chapter_2.performance import limit_scatter, statistics_against_loss
from lyapunov_pkg.reproduction.figures.chapter_3.embedding import aelle_panels
from lyapunov_pkg.reproduction.figures.chapter_3.variables import EMBEDDING
from lyapunov_pkg.reproduction.figures.panels import POINT_SIZE, legend_below, letter_panels, level_looks, robust_limits
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, STATISTIC_LABELS, in_display_order
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, Keywords, architecture_style
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.records import Shards, Store, figure

MOST_LEVELS = 8  # that can be distinguished by colours
LEVELS = {"hidden_size": "hidden size", "init_param": "p", "learning_rate": "learning rate", "dropout": "dropout"}
LOSS_UNITS = {"nat": " [nats]", "1": ""}


class Kind(NamedTuple):
    """Networks with the same look: a mask, the look, and the name in legends."""

    members: NDArray[np.bool_]
    color: str | tuple[float, ...]
    marker: str
    size: float  # square points
    linestyle: LineStyle
    label: str


def kinds(networks: xr.Dataset) -> list[Kind]:
    """Return the kinds of networks: by architecture if there are several, else by a hyperparameter with few values."""
    architectures = networks["architecture"].values
    names = in_display_order(architectures, ARCHITECTURE_LABELS)
    levels = {name: np.unique(networks[name].values) for name in LEVELS if name in networks.coords}
    varied = [name for name, values in levels.items() if 1 < len(values) <= MOST_LEVELS]
    if len(names) == 1 and varied:
        values = networks[varied[0]].values
        return [
            Kind(values == level, color, marker, POINT_SIZE, "-", f"{LEVELS[varied[0]]} {level:g}")
            for level, (color, marker) in level_looks(values).items()
        ]
    styles = {name: architecture_style(name) for name in names}
    return [
        Kind(
            architectures == name,
            style.color,
            style.marker,
            POINT_SIZE * style.marker_scale**2,
            style.linestyle,
            style.label,
        )
        for name, style in styles.items()
    ]


def scatter_by_kind(ax: Axes, x: np.ndarray, y: np.ndarray, of_networks: list[Kind]) -> None:
    """Draw points (x, y), each (network,), in the colour and marker of their kind."""
    for kind in of_networks:
        look: Keywords = {"color": kind.color, "marker": kind.marker, "s": kind.size, "label": kind.label}
        ax.scatter(x[kind.members], y[kind.members], alpha=0.9, linewidths=0.2, edgecolors="white", **look)


def line_looks(networks: xr.Dataset) -> list[Keywords]:
    """Return the look of a thin line of each network, in the colour of its kind."""
    looks: list[Keywords] = [{} for _ in range(networks.sizes["network"])]
    for kind in kinds(networks):
        for network in np.flatnonzero(kind.members):
            look: Keywords = {"color": kind.color, "linestyle": kind.linestyle, "label": kind.label}
            looks[network] = look | {"linewidth": 0.6, "alpha": 0.7}
    return looks


def loss_label(networks: xr.Dataset) -> str:
    """Return the name of the validation loss with the unit of its task."""
    unit = networks["validation_loss"].attrs.get("units", "1")
    return "validation loss" + LOSS_UNITS.get(unit, f" [{unit}]")


@figure(
    stores={"training": Shards("training", "{study}", ("validation_loss", "diverged"))},
    caption="Validation loss over training of every network that did not diverge. Epoch 0 is before training.",
)
def fig_study_training(training: xr.Dataset) -> Figure:
    """Draw the validation loss of every network over the stored epochs, without diverged networks."""
    counts = networks_that_count(training)
    networks = training.isel(variant=counts).rename_dims(variant="network")
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    ax = fig.subplots()
    losses = networks["validation_loss"].transpose("network", "epoch").values
    only = "o" if losses.shape[1] == 1 else None
    for loss, look in zip(losses, line_looks(networks), strict=True):
        ax.plot(networks["epoch"], loss, marker=only, **look)
    ax.set(xlabel="epoch", ylabel=loss_label(networks), ylim=robust_limits(losses))
    diverged = int(np.count_nonzero(~counts))
    ax.set_title(f"{len(losses)} networks" + (f"; {diverged} more diverged" if diverged else ""))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(losses):
        legend_below(fig, [ax], columns=7)
    return fig


@figure(
    stores={
        "evolution": Store(
            "results/evolution/{study}.zarr.zip",
            ("lyapunov_exponent", "mean_squared_change", "mean_difference", "decay_power"),
        )
    },
    caption=(
        "Lyapunov spectra over training, one line for each network. Below: the mean squared change between epochs, "
        "and the difference of the mean exponent from that of the last epoch."
    ),
)
def fig_study_spectra(evolution: xr.Dataset) -> Figure:
    """Draw spectra before, early in and after training, and their change, for the measured epochs."""
    looks = line_looks(evolution)
    return spectra_over_training(evolution, looks, [look | {"marker": ".", "markersize": 2} for look in looks])


@figure(
    stores={
        "networks": Store(
            "results/populations/{study}.zarr.zip",
            ("spectrum_statistic", "validation_loss", "best_epoch", "pearson", "spearman"),
        )
    },
    caption=(
        "Statistics of the Lyapunov spectrum against validation loss, both at the epoch of lowest validation loss "
        "among those with spectra; r is Pearson's, ρ Spearman's correlation coefficient."
    ),
)
def fig_study_statistics(networks: xr.Dataset) -> Figure:
    """Draw statistics of the spectrum against validation loss, with correlation coefficients."""
    statistics = [name for name in STATISTIC_LABELS if name in networks["statistic"].values]
    of_networks = kinds(networks)
    rows = -(-len(statistics) // 2)
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.5 * rows + 0.8), layout="constrained")
    axes = fig.subplots(rows, 2, squeeze=False)

    def scatter(ax: Axes, x: np.ndarray, y: np.ndarray, counted: bool) -> None:
        scatter_by_kind(ax, x, y, of_networks)
        limit_scatter(ax, x, y, np.array([], dtype=int), counted)

    shown = axes.flat[: len(statistics)]
    for ax in axes.flat[len(statistics) :]:
        ax.remove()
    statistics_against_loss(shown, networks, statistics, loss_label(networks).removeprefix("validation "), scatter)
    letter_panels(shown, pad=3)
    near_zero = f"near zero: within {networks.attrs['near_zero']:g} nats/step of it"
    legend_below(fig, shown, columns=7, title=f"{networks.attrs['n_networks']} networks; {near_zero}")
    return fig


@figure(
    stores={"final": Store("results/aelle/{study}_final.zarr.zip", EMBEDDING)},
    caption=(
        "(a) AeLLE of the {n_test[final]} test networks by final error, with the median of its first principal "
        "component. (b) AeLLE of all networks."
    ),
)
def fig_study_aelle_plane(final: xr.Dataset) -> Figure:
    """Draw AeLLE of test networks by error with PC1's median, and of all networks by architecture or hyperparameter."""
    of_networks = kinds(final)
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.3), layout="constrained")
    grid = fig.add_gridspec(2, 2, height_ratios=(1, 3))
    by_error = fig.add_subplot(grid[1, 0])
    histogram = fig.add_subplot(grid[0, 0], sharex=by_error)
    whole = fig.add_subplot(grid[:, 1], sharex=by_error, sharey=by_error)

    def scatter(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        scatter_by_kind(ax, x, y, of_networks)

    aelle_panels((histogram, by_error, whole), final, scatter, "ab", columns=4)
    return fig
