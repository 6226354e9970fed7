"""Figures of chapter 2: how exponents are estimated, and what spectra say about training and performance."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np
import xarray as xr
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lyapunov_pkg.reproduction.figures.panels import (
    EXPONENT_LABEL,
    LOSS_LABEL,
    POINT_SIZE,
    label_spectrum_axes,
    legend_below,
    note_outside,
    robust_limits,
)
from lyapunov_pkg.reproduction.figures.presentation import STATISTIC_LABELS
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, PAPER_STYLE, SERIES_COLORS, SERIES_MARKERS

COLORS = tuple(SERIES_COLORS.values())
MOCAP_LOSS_LABEL = "validation loss [MSE]"
ACCURACY_LABEL = "validation accuracy"
OTHERS_COLOR = "0.75"
COUNTED = ("number_near_zero", "number_above_zero", "kaplan_yorke_dimension")
SHOWN_LINES = 24  # of the exponents of a spectrum
SHOWN_EPOCHS = (0, 4)  # beside the last
# Input x (light) and x' (dark) of the three regimes: blue, grey, green.
REGIME_COLORS = (("#7FB8DA", "#00507D"), ("0.7", "0.25"), ("#7CCDB4", "#006B4E"))


@rc_context(PAPER_STYLE)
def fig_2_1(layers: xr.Dataset) -> Figure:
    """The Jacobian of a network of layers: each block in the colours of the layers that it is a product of.

    `layers` is the Dataset of `reproduction.untrained.layered_jacobian`. Darker entries are larger; zeros are white.
    """
    jacobian, of_row, of_column = (layers[name].values for name in ("jacobian", "layer", "previous_layer"))
    n_layers, size = int(of_row.max()), np.count_nonzero(of_row == 1)
    fig = Figure(figsize=(DOUBLE_WIDTH, 4.4), layout="constrained")
    ax = fig.subplots()
    strength = np.minimum(1, np.abs(jacobian) / np.percentile(np.abs(jacobian[jacobian != 0]), 90)) ** 0.5
    # Layers between that of the column and that of the row share a block's rows among them.
    row_in_block = np.arange(len(of_row)) % size
    n_shared = of_row[:, None] - of_column + 1
    layer = np.minimum(of_column + row_in_block[:, None] * n_shared // size, of_row[:, None])
    colors = np.array([to_rgb(color) for color in COLORS])[(np.maximum(layer, 1) - 1) % len(COLORS)]
    image = 1 - (np.where(jacobian == 0, 0, 0.15 + 0.85 * strength))[..., None] * (1 - colors)
    ax.imshow(image, interpolation="nearest", extent=(0, n_layers, n_layers, 0))
    for edge in range(n_layers + 1):
        ax.axhline(edge, color="black", linewidth=0.6)
        ax.axvline(edge, color="black", linewidth=0.6)
    for number in range(n_layers):
        ax.plot([], [], "s", color=COLORS[number % len(COLORS)], markersize=6, label=f"layer {number + 1}")
    ax.plot([], [], " ", label="darker: larger")
    names = [f"layer {number + 1}" for number in range(n_layers)]
    ax.set_xticks(np.arange(n_layers) + 0.5, names)
    ax.set_yticks(np.arange(n_layers) + 0.5, names)
    ax.set(xlabel="by a hidden unit at step t − 1", ylabel="derivative of a hidden unit at step t")
    ax.tick_params(length=0)
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1), title="involves the derivative of", alignment="left")
    return fig


@rc_context(PAPER_STYLE)
def fig_2_2(estimator: xr.Dataset) -> Figure:
    """Running exponents of a trained network against time, and its mean spectrum with the spread over sequences.

    `estimator` is the Dataset of `lyapunov_pkg.reproduction.populations.estimator`; without warm-up, as in algorithm 1.
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
    _zero_line(spectrum)
    spectrum.set(xlabel="index of exponent", ylabel=EXPONENT_LABEL)
    spectrum.set_title(f"(b) mean ± standard deviation over {study.attrs['n_sequences']} sequences")
    fig.suptitle(_network_name(estimator), fontsize=8)
    return fig


def _network_name(estimator: xr.Dataset) -> str:
    """Which network the estimates are of."""
    attributes = estimator.attrs
    return f"network of p = {attributes['init_param']:g} after epoch {attributes['epoch']}"


def _running_exponents(ax: Axes, running: xr.DataArray) -> int:
    """Lines of running exponents (time, exponent), dark to light by index; returns how many are drawn."""
    n_exponents = running.sizes["exponent"]
    shown = np.unique(np.linspace(0, n_exponents - 1, min(SHOWN_LINES, n_exponents)).round().astype(int))
    for index in shown:
        color = colormaps["viridis"](0.95 * index / max(1, n_exponents - 1))
        ax.plot(running["time"], running.isel(exponent=index), color=color, linewidth=0.8)
    _zero_line(ax)
    ax.set_xlabel("steps measured")
    return len(shown)


@rc_context(PAPER_STYLE)
def fig_2_3(regimes: xr.Dataset) -> Figure:
    """A tanh RNN in three regimes: activations of a unit, whole spectra, and their first 20 exponents.

    `regimes` is the Dataset of `reproduction.untrained.stability_regimes`; light and dark are two realisations of the
    input, each with lines from all initial states.
    """
    shown_steps = 40
    fig = Figure(figsize=(DOUBLE_WIDTH, 4.6), layout="constrained")
    grid = fig.add_gridspec(2, 6)
    spectra = [fig.add_subplot(grid[1, columns]) for columns in (slice(3), slice(3, 6))]
    for index, (name, gain) in enumerate(zip(regimes["regime"].values, regimes["gain"].values, strict=True)):
        regime, colors = regimes.isel(regime=index), REGIME_COLORS[index]
        ax = fig.add_subplot(grid[0, 2 * index : 2 * index + 2], sharey=fig.axes[2] if index else None)
        for color, activation in zip(colors, regime["activation"].values, strict=False):
            ax.plot(regime["time"][:shown_steps], activation[:, :shown_steps].T, color=color, linewidth=0.6)
        largest = float(regime["lyapunov_exponent"].isel(exponent=0).mean())
        sign = f"{largest:+.3f}".replace("-", "−")
        ax.set(title=f"({ascii_lowercase[index]}) gain {gain:g}: λ₁ = {sign}", xlabel="time [steps]")
        if index == 0:
            ax.set_ylabel("activation of a unit")
        _regime_spectra(spectra[0], regime["lyapunov_exponent"], colors, f"{name}, gain {gain:g}")
        _regime_spectra(spectra[1], regime["lyapunov_exponent"].isel(exponent=slice(20)), colors, "")
    for ax in spectra:
        _zero_line(ax)
        ax.set(xlabel="index of exponent", ylabel=EXPONENT_LABEL)
    spectra[0].set_title("(d) spectra")
    spectra[1].set_title("(e) the first 20 exponents, ± standard deviation")
    spectra[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(fig, spectra, columns=3)
    return fig


def _zero_line(ax: Axes) -> None:
    ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)


def _regime_spectra(ax: Axes, exponents: xr.DataArray, colors: tuple[str, str], label: str) -> None:
    """Mean spectrum of each input over initial states, with a band of their standard deviation over both."""
    index = exponents["exponent"]
    for color, of_input in zip(colors, exponents.mean("initial_state"), strict=False):
        ax.plot(index, of_input, color=color, linewidth=0.9)
    over = ("input", "initial_state")
    mean, spread = exponents.mean(over), exponents.where(np.isfinite(exponents)).std(over)
    ax.errorbar(
        index, mean, spread, color=colors[1], linestyle="none", elinewidth=0.8, marker=".", markersize=2, label=label
    )


@rc_context(PAPER_STYLE)
def fig_2_4(estimator: xr.Dataset) -> Figure:
    """Running exponents over the same steps after warm-ups of different lengths.

    `estimator` is the Dataset of `populations.estimator`. Titles say how far estimates in the first steps are
    from the last ones (change), and from those of the longest warm-up (bias), on average over steps and exponents.
    """
    warmups = estimator["warmup"].values
    fig = Figure(figsize=(DOUBLE_WIDTH, 2.9), layout="constrained")
    axes = fig.subplots(1, len(warmups), sharex=True, sharey=True, squeeze=False)[0]
    for letter, ax, warmup in zip(ascii_lowercase, axes, warmups, strict=False):
        study = estimator.sel(warmup=warmup)
        _running_exponents(ax, study["running_exponent"])
        name = f"warm-up of {warmup} steps" if warmup else "no warm-up"
        change, bias = float(study["early_change"]), float(study["early_bias"])
        early = f"change {change:.2g}" + (f", bias {bias:.2g}" if warmup != warmups.max() else "")
        ax.set_title(f"({letter}) {name}:\nearly {early}")
    axes[0].set_ylim(robust_limits(estimator["running_exponent"].values, include=(0.0,)))
    axes[0].set_ylabel(EXPONENT_LABEL)
    fig.suptitle(_network_name(estimator), fontsize=8)
    return fig


@rc_context(PAPER_STYLE)
def fig_2_5(estimator: xr.Dataset) -> Figure:
    """The spectrum, and its first half, for several T_ON.

    `estimator` is the Dataset of `populations.estimator`. The legend says how far the exponents of the first
    and of the second half are from those of the shortest T_ON, at most.
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
    _zero_line(axes[0])
    axes[0].fill_between((1, n_first), *axes[1].get_ylim(), color="0.85", zorder=0, linewidth=0)
    for ax in axes:
        ax.set(xlabel="index of exponent", ylabel=EXPONENT_LABEL)
    axes[0].set_title("(a) full spectrum; grey: its first half")
    axes[1].set_title("(b) first half")
    legend_below(fig, axes[:1], columns=3)
    legend = fig.legends[0]
    legend.set_title("largest change of an exponent in the first and in the second half [nats/step]", {"size": 7})
    return fig


@rc_context(PAPER_STYLE)
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
        look = {"color": COLORS[number % len(COLORS)], "label": f"p = {values[number]:g}"}
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
    _zero_line(difference)
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


@rc_context(PAPER_STYLE)
def fig_2_7(char_rnn: xr.Dataset, mocap: xr.Dataset) -> Figure:
    """Spectra of the networks of both tasks, and their validation loss against a statistic of the spectrum.

    Both are Datasets of `reproduction.populations.correlations`, all at the epoch of lowest validation loss. The
    highlighted networks span the range of the statistic.
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
    return fig


def _scatter_highlighted(
    ax: Axes, x: np.ndarray, y: np.ndarray, highlighted: np.ndarray, counted: bool = False
) -> None:
    """Points (x, y), each (network,), in grey, those that are highlighted in their colours; other outliers outside.

    Where x counts something, and may be zero for nearly all, no x is an outlier.
    """
    ax.scatter(x, y, s=POINT_SIZE, color=OTHERS_COLOR, linewidths=0)
    for color, marker, network in zip(COLORS, SERIES_MARKERS, highlighted, strict=False):
        ax.plot(x[network], y[network], color=color, marker=marker, markersize=5)
    x_limits = (-0.5, max(1, np.nanmax(x)) + 0.5) if counted else robust_limits(x, include=x[highlighted])
    ax.set(xlim=x_limits, ylim=robust_limits(y, include=y[highlighted]))
    note_outside(ax, x, y)


def _statistic_label(statistic: str) -> str:
    name, unit = STATISTIC_LABELS[statistic]
    return f"{name} [{unit}]" if unit else name


def _coefficients(networks: xr.Dataset, quantity: str, performance: str) -> str:
    """How two quantities go together, in words for a title."""
    pair = (networks["quantity"] == quantity) & (networks["performance"] == performance)
    found = networks.isel(pair=int(np.flatnonzero(pair.values)[0]))
    r, rho = (f"{float(found[name]):.2f}".replace("-", "−") for name in ("pearson", "spearman"))
    return "constant" if r == "nan" else f"r = {r}, ρ = {rho}"


@rc_context(PAPER_STYLE)
def fig_2_8(char_rnn: xr.Dataset) -> Figure:
    """Validation loss against largest and mean exponent over training, of the networks highlighted in figure 2.7.

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


def _over_training(ax: Axes, networks: xr.Dataset, quantity: str, performance: str) -> None:
    """Points of the highlighted networks at every epoch, the more opaque the later."""
    shown = networks.isel(network=networks["highlighted_network"].values)
    by_epoch = ("network", "epoch")
    of_spectrum = quantity in shown["statistic"].values
    x = shown["spectrum_statistic"].sel(statistic=quantity) if of_spectrum else shown[quantity]
    x, y = x.transpose(*by_epoch).values, shown[performance].transpose(*by_epoch).values
    opacity = np.linspace(0.12, 1, shown.sizes["epoch"])
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    for color, marker, own_x, own_y in zip(COLORS, SERIES_MARKERS, x, y, strict=False):
        ax.plot(own_x, own_y, color=color, linewidth=0.4, alpha=0.3)
        ax.scatter(own_x, own_y, s=POINT_SIZE, color=color, marker=marker, alpha=opacity, linewidths=0)


def _name_epochs(fig: Figure, ax: Axes, networks: xr.Dataset) -> None:
    """Legend of the opacities, in grey, and of nothing else."""
    epochs = networks["epoch"].values
    for alpha, epoch in ((0.12, epochs[0]), (0.56, epochs[len(epochs) // 2]), (1, epochs[-1])):
        ax.scatter([], [], s=POINT_SIZE, color="black", alpha=alpha, linewidths=0, label=f"epoch {epoch}")
    legend_below(fig, [ax], columns=3)


@rc_context(PAPER_STYLE)
def fig_2_b1(char_rnn: xr.Dataset, mocap: xr.Dataset) -> Figure:
    """Statistics of the spectrum against validation loss for both tasks, with correlation coefficients.

    Both are Datasets of `reproduction.populations.correlations`, all at the epoch of lowest validation loss.
    """
    statistics = [name for name in STATISTIC_LABELS if name in char_rnn["statistic"].values]
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.3 * len(statistics)), layout="constrained")
    axes = fig.subplots(len(statistics), 2, squeeze=False)
    tasks = (("CharRNN", char_rnn, "loss [nats]"), ("Mocap", mocap, "loss [MSE]"))
    for column, (task, networks, loss_label) in zip(axes.T, tasks, strict=True):
        at_best = networks.sel(epoch=networks["best_epoch"])
        for ax, statistic in zip(column, statistics, strict=True):
            x, y = at_best["spectrum_statistic"].sel(statistic=statistic).values, at_best["validation_loss"].values
            counted = statistic in COUNTED
            _scatter_highlighted(ax, x, y, networks["highlighted_network"].values, counted)
            ax.set_ylabel(loss_label)
            coefficients = _coefficients(networks, statistic, "validation_loss")
            ax.set_title(f"{_statistic_label(statistic)}: {coefficients}", pad=3)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=counted))
            ax.yaxis.set_major_locator(MaxNLocator(nbins=3))
        column[-1].set_xlabel(f"statistic of the spectrum, {task}")
    tolerance = char_rnn.attrs["near_zero"]
    fig.suptitle(f"CharRNN (left) and Mocap (right); near zero: within {tolerance:g} nats/step of it", fontsize=8)
    return fig


@rc_context(PAPER_STYLE)
def fig_2_b2(char_rnn: xr.Dataset) -> Figure:
    """Validation accuracy against loss, largest and mean exponent over training, of the highlighted networks.

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
