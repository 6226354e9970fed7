"""Statistics of spectra and performance: figures 2.7, 2.8, 2.B1 and 2.B2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lyapunov_pkg.plots import COLORS
from lyapunov_pkg.reproduction.figures.panels import (
    LOSS_LABEL,
    POINT_SIZE,
    label_spectrum_axes,
    legend_below,
    letter_panels,
    note_outside,
    robust_limits,
)
from lyapunov_pkg.reproduction.figures.presentation import SERIES_NAMES, STATISTIC_LABELS
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, SERIES_MARKERS
from lyapunov_pkg.reproduction.records import Store, figure

OVER_TRAINING = ("spectrum_statistic", "validation_loss", "highlighted_network", "best_epoch")
AT_BEST_EPOCH = (*OVER_TRAINING, "lyapunov_exponent", "pearson", "spearman")
MOCAP_LOSS_LABEL = "validation loss [MSE]"
ACCURACY_LABEL = "validation accuracy"
OTHERS_COLOR = "0.75"
COUNTED = ("number_near_zero", "number_above_zero", "kaplan_yorke_dimension")


@figure(
    stores={
        "char_rnn": Store("results/populations/char_rnn_regularisation.zarr.zip", AT_BEST_EPOCH),
        "mocap": Store("results/populations/mocap.zarr.zip", AT_BEST_EPOCH),
    },
    caption=(
        "(a, c) Lyapunov spectra at the epoch of lowest validation loss, and (b, d) this loss against the largest "
        "or the mean exponent, for both tasks. Coloured networks have evenly spaced ranks of this statistic. Tables "
        "2.A1 and 2.A2 use the same colours. r is Pearson's, ρ Spearman's correlation coefficient."
    ),
)
def fig_2_7(char_rnn: xr.Dataset, mocap: xr.Dataset) -> Figure:
    """Draw spectra of the networks of both tasks, and validation loss against a statistic of the spectrum.

    Both are Datasets of `reproduction.populations.correlations`, all at the epoch of lowest validation loss. The
    highlighted networks cover the range of the statistic.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 5.2), layout="constrained")
    axes = fig.subplots(2, 2)
    tasks = (("CharRNN", char_rnn, LOSS_LABEL), ("Mocap", mocap, MOCAP_LOSS_LABEL))
    for row, letters, (task, networks, loss_label) in zip(axes, ("ab", "cd"), tasks, strict=True):
        index, exponents = networks["exponent"].values, networks["lyapunov_exponent"].values
        row[0].plot(index, exponents.T, color=OTHERS_COLOR, linewidth=0.5)
        for color, network in zip(COLORS, networks["highlighted_network"].values, strict=False):
            row[0].plot(index, exponents[network], color=color)
        label_spectrum_axes(row[0], exponents)
        row[0].set_title(f"({letters[0]}) {task}, {networks.attrs['n_networks']} networks")
        statistic = networks.attrs["highlighted_by"]
        at_best = networks.sel(epoch=networks["best_epoch"])
        x, y = at_best["spectrum_statistic"].sel(statistic=statistic).values, at_best["validation_loss"].values
        _scatter_highlighted(row[1], x, y, networks["highlighted_network"].values)
        row[1].set(xlabel=_statistic_label(statistic), ylabel=loss_label)
        row[1].set_title(f"({letters[1]}) {task}: {_coefficients(networks, statistic, 'validation_loss')}")
    _name_highlighted(axes[0, 1], mocap)
    axes[0, 1].plot([], [], "o", color=OTHERS_COLOR, label="other networks")
    legend_below(fig, axes[0], columns=7, title=_order_of_highlighted(CharRNN=char_rnn, Mocap=mocap))
    return fig


@figure(
    stores={"char_rnn": Store("results/populations/char_rnn_regularisation.zarr.zip", OVER_TRAINING)},
    caption=(
        "Validation loss against (a) the largest and (b) the mean exponent over training, for the CharRNN networks "
        "coloured in figure 2.7. Later epochs are more opaque."
    ),
)
def fig_2_8(char_rnn: xr.Dataset) -> Figure:
    """Draw validation loss against largest and mean exponent over training, for the networks highlighted in figure 2.7.

    `char_rnn` is the Dataset of `reproduction.populations.correlations`; points grow more opaque with the epoch.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    axes = fig.subplots(1, 2, sharey=True)
    for letter, ax, statistic in zip("ab", axes, ("maximum_exponent", "mean_exponent"), strict=True):
        _over_training(ax, char_rnn, statistic, "validation_loss")
        ax.set(title=f"({letter})", xlabel=_statistic_label(statistic))
    axes[0].set_ylabel(LOSS_LABEL)
    _name_epochs(fig, axes[0], char_rnn)
    return fig


@figure(
    stores={
        "char_rnn": Store("results/populations/char_rnn_regularisation.zarr.zip", AT_BEST_EPOCH),
        "mocap": Store("results/populations/mocap.zarr.zip", AT_BEST_EPOCH),
    },
    caption=(
        "Statistics of the Lyapunov spectrum against validation loss, both at the epoch of lowest validation loss, "
        "for CharRNN (left) and Mocap (right). r is Pearson's, ρ Spearman's correlation coefficient."
    ),
)
def fig_2_b1(char_rnn: xr.Dataset, mocap: xr.Dataset) -> Figure:
    """Draw statistics of the spectrum against validation loss for both tasks, with correlation coefficients.

    Both are Datasets of `reproduction.populations.correlations`, all at the epoch of lowest validation loss.
    """
    statistics = [name for name in STATISTIC_LABELS if name in char_rnn["statistic"].values]
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.3 * len(statistics) + 0.8), layout="constrained")
    axes = fig.subplots(len(statistics), 2, squeeze=False)
    tasks = (("CharRNN", char_rnn, "loss [nats]"), ("Mocap", mocap, "loss [MSE]"))
    for column, (task, networks, loss_label) in zip(axes.T, tasks, strict=True):
        highlighted = networks["highlighted_network"].values
        scatter = partial(_scatter_highlighted, highlighted=highlighted)
        statistics_against_loss(column, networks, statistics, loss_label, scatter)
        column[-1].set_xlabel(f"statistic of the spectrum, {task}")
    letter_panels(axes.flat, pad=3)
    _name_highlighted(axes[0, 0], char_rnn)
    axes[0, 0].plot([], [], "o", color=OTHERS_COLOR, label="other networks")
    order = _order_of_highlighted(CharRNN=char_rnn, Mocap=mocap)
    near_zero = f"near zero: within {char_rnn.attrs['near_zero']:g} nats/step of it"
    legend_below(fig, axes[0], columns=7, title=f"{near_zero}\n{order}")
    return fig


@figure(
    stores={
        "char_rnn": Store(
            "results/populations/char_rnn_regularisation.zarr.zip",
            (*OVER_TRAINING, "validation_accuracy", "pearson", "spearman"),
        )
    },
    caption=(
        "Validation accuracy against (a) validation loss, (b) the largest and (c) the mean exponent over training, "
        "for the CharRNN networks coloured in figure 2.7. The coefficients in (a) are those of all networks at the "
        "epoch of lowest validation loss."
    ),
)
def fig_2_b2(char_rnn: xr.Dataset) -> Figure:
    """Draw validation accuracy against loss, largest and mean exponent over training, for the highlighted networks.

    `char_rnn` is the Dataset of `reproduction.populations.correlations`; points grow more opaque with the epoch.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 2.9), layout="constrained")
    axes = fig.subplots(1, 3, sharey=True)
    quantities = {"validation_loss": LOSS_LABEL} | {
        name: _statistic_label(name) for name in ("maximum_exponent", "mean_exponent")
    }
    for letter, ax, (quantity, label) in zip("abc", axes, quantities.items(), strict=True):
        _over_training(ax, char_rnn, quantity, "validation_accuracy")
        ax.set(title=f"({letter})", xlabel=label)
    axes[0].set_title(f"(a) {_coefficients(char_rnn, 'validation_accuracy', 'validation_loss')}")
    axes[0].set_ylabel(ACCURACY_LABEL)
    _name_epochs(fig, axes[0], char_rnn)
    return fig


def statistics_against_loss(
    axes: Iterable[Axes],
    networks: xr.Dataset,
    statistics: Sequence[str],
    loss_label: str,
    scatter: Callable[..., None],
) -> None:
    """Draw a panel for each statistic by `scatter(ax, x, loss, counted=...)`, with the correlation as title.

    `networks` is the Dataset of `reproduction.populations.correlations`, all at the epoch of lowest validation loss.
    """
    at_best = networks.sel(epoch=networks["best_epoch"])
    for ax, statistic in zip(axes, statistics, strict=True):
        x, y = at_best["spectrum_statistic"].sel(statistic=statistic).values, at_best["validation_loss"].values
        counted = statistic in COUNTED
        scatter(ax, x, y, counted=counted)
        ax.set_ylabel(loss_label)
        coefficients = _coefficients(networks, statistic, "validation_loss")
        ax.set_title(f"{_statistic_label(statistic)}: {coefficients}")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=counted))
        ax.yaxis.set_major_locator(MaxNLocator(nbins=3))


def _scatter_highlighted(
    ax: Axes, x: np.ndarray, y: np.ndarray, highlighted: np.ndarray, counted: bool = False
) -> None:
    """Draw points (x, y), each (network,), in grey, with highlighted networks in colours, and without outliers."""
    ax.scatter(x, y, s=POINT_SIZE, color=OTHERS_COLOR, linewidths=0)
    for color, marker, network in zip(COLORS, SERIES_MARKERS, highlighted, strict=False):
        ax.plot(x[network], y[network], color=color, marker=marker, markersize=5)
    limit_scatter(ax, x, y, highlighted, counted)


def limit_scatter(ax: Axes, x: np.ndarray, y: np.ndarray, inside: np.ndarray, counted: bool) -> None:
    """Set the limits of a panel of points (x, y), each (network,), without outliers. Networks in `inside` are kept.

    If x is a count, which may be zero for nearly all networks, no x is an outlier.
    """
    x_limits = (-0.5, max(1, np.nanmax(x)) + 0.5) if counted else robust_limits(x, include=x[inside])
    ax.set(xlim=x_limits, ylim=robust_limits(y, include=y[inside]))
    note_outside(ax, x, y)


def _statistic_label(statistic: str) -> str:
    name, unit = STATISTIC_LABELS[statistic]
    return f"{name} [{unit}]" if unit else name


def _coefficients(networks: xr.Dataset, quantity: str, performance: str) -> str:
    """Return the correlation of two quantities as text for a title."""
    pair = (networks["quantity"] == quantity) & (networks["performance"] == performance)
    found = networks.isel(pair=int(np.flatnonzero(pair.values)[0]))
    r, rho = (f"{float(found[name]):.2f}".replace("-", "−") for name in ("pearson", "spearman"))
    return "constant" if r == "nan" else f"r = {r}, ρ = {rho}"


def _over_training(ax: Axes, networks: xr.Dataset, quantity: str, performance: str) -> None:
    """Draw the highlighted networks at every epoch as points. Later epochs are more opaque."""
    shown = networks.isel(network=networks["highlighted_network"].values)
    by_epoch = ("network", "epoch")
    of_spectrum = quantity in shown["statistic"].values
    x = shown["spectrum_statistic"].sel(statistic=quantity) if of_spectrum else shown[quantity]
    y = shown[performance].transpose(*by_epoch).values
    opacity = np.linspace(0.12, 1, shown.sizes["epoch"])
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    for color, marker, own_x, own_y in zip(COLORS, SERIES_MARKERS, x.transpose(*by_epoch).values, y, strict=False):
        ax.plot(own_x, own_y, color=color, linewidth=0.4, alpha=0.3)
        colors = [to_rgba(color, alpha) for alpha in opacity]
        ax.scatter(own_x, own_y, s=POINT_SIZE, color=colors, marker=marker, linewidths=0)


def _name_highlighted(ax: Axes, networks: xr.Dataset) -> None:
    """Add legend entries of the highlighted networks, with the names of their colours."""
    for name, color, marker in list(zip(SERIES_NAMES, COLORS, SERIES_MARKERS, strict=True))[: n_highlighted(networks)]:
        ax.plot([], [], color=color, marker=marker, markersize=5, label=name)


def n_highlighted(networks: xr.Dataset) -> int:
    """Return the number of networks in colour."""
    return min(networks.sizes["highlight"], len(SERIES_NAMES))


def _order_of_highlighted(**tasks: xr.Dataset) -> str:
    """Return the title of the legend of highlighted networks: the statistic by which they are ordered."""
    names = {task: STATISTIC_LABELS[networks.attrs["highlighted_by"]][0] for task, networks in tasks.items()}
    statistics = " or ".join(f"{name} ({task})" for task, name in names.items())
    last = SERIES_NAMES[max(map(n_highlighted, tasks.values())) - 1]
    return f"highlighted networks, from the smallest {statistics}, {SERIES_NAMES[0]}, to the largest, {last}"


def _name_epochs(fig: Figure, ax: Axes, networks: xr.Dataset) -> None:
    """Draw the legend of the highlighted networks and, in black, of the opacities."""
    _name_highlighted(ax, networks)
    epochs = networks["epoch"].values
    for alpha, epoch in ((0.12, epochs[0]), (0.56, epochs[len(epochs) // 2]), (1, epochs[-1])):
        ax.scatter([], [], s=POINT_SIZE, color="black", alpha=alpha, linewidths=0, label=f"epoch {epoch}")
    legend_below(fig, [ax], columns=9, title=_order_of_highlighted(CharRNN=networks))
