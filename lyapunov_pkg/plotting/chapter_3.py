"""Figures of chapter 3 for sequential MNIST: the autoencoder embedding of Lyapunov spectra (AeLLE)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

from lyapunov_pkg.plotting.panels import (
    EXPONENT_LABEL,
    LOSS_LABEL,
    first_seed,
    held_out,
    label_spectrum_axes,
    legend_below,
    legend_under,
    note_outside,
    robust_limits,
    scatter_by_architecture,
    scatter_by_error,
    shade_predicted_low,
    shift_colors,
    shift_label,
    spectrum_line,
    stacked_histogram,
    threshold_line,
)
from lyapunov_pkg.plotting.presentation import ARCHITECTURE_LABELS, in_display_order, shown_epochs
from lyapunov_pkg.plotting.style import DOUBLE_WIDTH, PAPER_STYLE, architecture_style
from lyapunov_pkg.spectra.statistics import (
    final_slope,
    initial_slope,
    maximum_exponent,
    number_above_zero,
    slope_width,
)

MEDIAN_LABEL = "median of PC1"
BEST_F1_LABEL = "threshold of best F1 (training part)"
SLOPE_FRACTION = 0.1  # of the indices, at either end
AELLE_PC1, AELLE_PC2 = "AeLLE PC1", "AeLLE PC2"


@rc_context(PAPER_STYLE)
def fig_3_5(spectra: xr.Dataset) -> Figure:
    """Spectra of one network per architecture (that of median final loss) before and after training, features marked.

    `spectra` is the Dataset of all spectra (variant, epoch, exponent). Panel (a) names the features on the spectrum of
    which most nearly half the exponents are positive.

    Raises:
        ValueError: all networks diverged.
    """
    shown = spectra.isel(variant=_median_loss_variants(spectra))
    architectures = [str(name) for name in shown["architecture"].values]
    before, after = (shown["lyapunov_exponent"].isel(epoch=epoch).values for epoch in (0, -1))
    named = int(np.argmin(np.abs(number_above_zero(after) - after.shape[1] / 2)))

    fig = Figure(figsize=(DOUBLE_WIDTH, 3.2), layout="constrained")
    axes = fig.subplots(1, 3)
    axes[2].sharey(axes[1])
    _name_features(axes[0], after[named], architectures[named])
    axes[0].set_title("(a) features of a spectrum")
    for ax, exponents, title in ((axes[1], before, "(b) before training"), (axes[2], after, "(c) after training")):
        for name, spectrum in zip(architectures, exponents, strict=True):
            spectrum_line(ax, spectrum, name)
            style = architecture_style(name)
            ax.plot(1, maximum_exponent(spectrum), color=style.color, marker=style.marker)
            ax.plot(number_above_zero(spectrum), 0, color=style.color, marker="|", markersize=7)
        label_spectrum_axes(ax, exponents, also=before if ax is axes[2] else after)
        ax.set_title(title)
    axes[2].set_ylabel("")
    legend_below(fig, axes[1:2], columns=8)
    return fig


def _median_loss_variants(spectra: xr.Dataset) -> list[int]:
    """Position of each architecture's network of median final loss, among those that have not diverged."""
    loss = spectra["validation_loss"].isel(epoch=-1).values
    architecture = spectra["architecture"].values
    undefined = np.isnan(spectra["lyapunov_exponent"].values).any(axis=(1, 2))
    usable = ~spectra["diverged"].values & ~undefined & np.isfinite(loss)
    if not usable.any():
        raise ValueError(f"all {len(usable)} networks diverged; expected at least one with a spectrum and a loss")
    chosen = []
    for name in in_display_order(architecture[usable], ARCHITECTURE_LABELS):
        members = np.flatnonzero(usable & (architecture == name))
        chosen.append(int(members[np.argsort(loss[members])[(len(members) - 1) // 2]]))
    return chosen


def _name_features(ax: Axes, exponents: np.ndarray, architecture: str) -> None:
    """A spectrum (d,) with its maximum, initial and final slope and number of positive exponents drawn and named."""
    style, width = architecture_style(architecture), slope_width(len(exponents), SLOPE_FRACTION)
    index = np.arange(1, len(exponents) + 1)
    n_above, zero = int(number_above_zero(exponents)), np.zeros(2)
    ax.plot(index, exponents, color=style.color, label=style.label)
    ax.plot(1, exponents[0], "ko", label=f"maximum {maximum_exponent(exponents):.2g}")
    for part, slope, line in ((slice(width + 1), initial_slope, "-"), (slice(-width - 1, None), final_slope, ":")):
        label = f"{slope.__name__.replace('_', ' ')} {slope(exponents, SLOPE_FRACTION):.2g}".replace("-", "−")
        ax.plot(index[part], exponents[part], line, color="black", linewidth=3, label=label)
    ax.plot((1, max(n_above, 1)), zero, color="black", marker="|", markersize=7, label=f"{n_above} above zero")
    label_spectrum_axes(ax, exponents)
    ax.legend(loc="lower left", borderaxespad=0.2)


@rc_context(PAPER_STYLE)
def fig_3_9(final: xr.Dataset, examples: xr.Dataset) -> Figure:
    """An input of the task, AeLLE of the test networks by error with PC1's median, and of all networks by architecture.

    `final` is the final experiment's Dataset, `examples` the task's (test_input (test_sample, time, feature)).
    """
    data, seeds = first_seed(final)
    networks = held_out(data)
    x, y = networks["aelle_component"].values[:, :2].T
    everything = data["aelle_component"].values[:, :2].T
    median = float(data["threshold"].sel(classifier="aelle"))
    low_error = networks["low_error"].values

    fig = Figure(figsize=(DOUBLE_WIDTH, 3.1), layout="constrained")
    grid = fig.add_gridspec(2, 3, height_ratios=(1, 3), width_ratios=(0.8, 1, 1))
    _example_image(fig.add_subplot(grid[:, 0]), examples)
    by_error = fig.add_subplot(grid[1, 1])
    histogram = fig.add_subplot(grid[0, 1], sharex=by_error)
    by_architecture = fig.add_subplot(grid[:, 2], sharex=by_error, sharey=by_error)

    scatter_by_error(by_error, x, y, low_error)
    scatter_by_architecture(by_architecture, *everything, data["architecture"].values)
    for ax, points in ((by_error, (x, y)), (by_architecture, everything)):
        _set_aelle_axes(ax, everything, [median])
        note_outside(ax, *points)
    threshold_line(by_error, median, MEDIAN_LABEL)
    threshold_line(by_architecture, median, "")
    stacked_histogram(histogram, x, low_error, by_error.get_xlim())
    threshold_line(histogram, median, "")
    histogram.tick_params(labelbottom=False)
    histogram.set(title=f"(b) {len(x)} test networks{seeds}")
    by_architecture.set_title(f"(c) all {data.sizes['network']} networks")
    legend_under(by_error, columns=2)
    legend_under(by_architecture, columns=3)
    return fig


def _set_aelle_axes(ax: Axes, points: np.ndarray, include_x: Iterable[float] = ()) -> None:
    """Labels of the AeLLE plane, and limits for `points` (2, ...)."""
    limits = robust_limits(points[0], include_x), robust_limits(points[1])
    ax.set(xlabel=AELLE_PC1, ylabel=AELLE_PC2, xlim=limits[0], ylim=limits[1])


def _example_image(ax: Axes, examples: xr.Dataset) -> None:
    image, label = examples["test_input"].values[0], int(examples["test_label"].values[0])
    steps, features = image.shape
    ax.imshow(image, cmap="gray_r", extent=(0.5, features + 0.5, steps + 0.5, 0.5))
    ax.set(xlabel="input feature (column)", ylabel="time step (row)", title=f"(a) an input; its label: {label}")


@rc_context(PAPER_STYLE)
def fig_3_10(pretrained: xr.Dataset) -> Figure:
    """Pre-trained AeLLE of the test networks at 0, 10, 20 and 50% of training, by final error, with the threshold."""
    data, seeds = first_seed(pretrained)
    networks, epochs = held_out(data), shown_epochs(pretrained)
    aelle = data.sel(classifier="aelle")
    threshold, low_is_above = float(aelle["threshold"]), bool(aelle["low_is_above"])
    components = networks["aelle_component"].sel(epoch=[epoch for epoch, _ in epochs])
    x_limits = robust_limits(components.isel(component=0).values, [threshold])
    y_limits = robust_limits(components.isel(component=1).values)

    fig = Figure(figsize=(DOUBLE_WIDTH, 2.5), layout="constrained")
    axes = fig.subplots(1, len(epochs), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (epoch, percent) in zip(axes, epochs, strict=True):
        x, y = components.sel(epoch=epoch).values[:, :2].T
        f1 = float(aelle["f1"].sel(epoch=epoch))
        ax.set(xlim=x_limits, ylim=y_limits, xlabel=AELLE_PC1, title=f"{percent:.0f}% of training:\nF1 {f1:.2f}")
        shade_predicted_low(ax, threshold, low_is_above)
        scatter_by_error(ax, x, y, networks["low_error"].values)
        threshold_line(ax, threshold, BEST_F1_LABEL)
        note_outside(ax, x, y)
    axes[0].set_ylabel(AELLE_PC2)
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes, columns=4)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_11(pretrained: xr.Dataset) -> Figure:
    """Distributions of LE mean, LE max, LE PC1 and AeLLE PC1 of the test networks over training, with thresholds."""
    data, seeds = first_seed(pretrained)
    networks, epochs = held_out(data), shown_epochs(pretrained)
    rows = {
        "lyapunov_mean": ("LE mean [nats/step]", networks["lyapunov_mean"]),
        "lyapunov_max": ("LE max [nats/step]", networks["lyapunov_max"]),
        "spectrum_pca": ("LE PC1 [nats/step]", networks["spectrum_component"].isel(component=0)),
        "aelle": (AELLE_PC1, networks["aelle_component"].isel(component=0)),
    }
    fig = Figure(figsize=(DOUBLE_WIDTH, 6.2), layout="constrained")
    axes = fig.subplots(len(rows), len(epochs), sharex="row", sharey="row", squeeze=False)
    for row, (classifier, (label, values)) in zip(axes, rows.items(), strict=True):
        threshold = float(data["threshold"].sel(classifier=classifier))
        limits = robust_limits(values.sel(epoch=[epoch for epoch, _ in epochs]).values, [threshold])
        for ax, (epoch, _) in zip(row, epochs, strict=True):
            x = values.sel(epoch=epoch).values
            stacked_histogram(ax, x, networks["low_error"].values, limits)
            threshold_line(ax, threshold, BEST_F1_LABEL)
            note_outside(ax, x)
            ax.set_xlabel(label)
        for ax in row[1:]:
            ax.set_ylabel("")
    for ax, (_, percent) in zip(axes[0], epochs, strict=True):
        ax.set_title(f"{percent:.0f}% of training")
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes[-1], columns=3)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_12(final: xr.Dataset) -> Figure:
    """One network per architecture, that of its median final loss: spectrum, place in AeLLE, final loss."""
    data, seeds = first_seed(final)
    shown = data.sel(network=data["example_network"].values)
    architectures = [str(name) for name in shown["architecture"].values]
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    spectra, embedding, losses = fig.subplots(1, 3)

    for name, exponents in zip(architectures, shown["lyapunov_exponent"].values, strict=True):
        spectrum_line(spectra, exponents, name)
    label_spectrum_axes(spectra, shown["lyapunov_exponent"].values)
    spectra.set_title("(a) spectra")

    everything = data["aelle_component"].values
    embedding.scatter(*everything[:, :2].T, s=4, color="0.8", linewidths=0, label="all networks")
    threshold_line(embedding, float(data["threshold"].sel(classifier="aelle")), MEDIAN_LABEL)
    for name, (x, y) in zip(architectures, shown["aelle_component"].values[:, :2], strict=True):
        style = architecture_style(name)
        embedding.plot(x, y, color=style.color, marker=style.marker, markersize=5 * style.marker_scale)
    _set_aelle_axes(embedding, everything[:, :2].T)
    note_outside(embedding, *everything[:, :2].T)
    embedding.set_title(f"(b) AeLLE{seeds}")
    _final_losses(losses, architectures, shown["final_loss"].values, float(data["final_loss"].median()))
    legend_below(fig, (spectra, embedding, losses), columns=6)
    return fig


def _final_losses(ax: Axes, architectures: list[str], losses: np.ndarray, median: float) -> None:
    styles = [architecture_style(name) for name in architectures]
    for row, (style, loss) in enumerate(zip(styles, losses, strict=True)):
        ax.plot(loss, row, color=style.color, marker=style.marker, markersize=5 * style.marker_scale)
    ax.axvline(median, color="0.4", linewidth=1, linestyle="--", label="median loss of all networks")
    ax.set_yticks(range(len(styles)), [style.label for style in styles])
    ax.set(xlabel=LOSS_LABEL, ylabel="architecture", ylim=(len(styles) - 0.5, -0.5))
    ax.set_title("(c) final loss")
    if losses.max() > 10 * losses.min():
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.grid(axis="y", color="0.9", linewidth=0.6)


@rc_context(PAPER_STYLE)
def fig_3_13(final: xr.Dataset) -> Figure:
    """AeLLE by architecture, and where changes of the predicted loss move the test networks (eq. 3.7)."""
    data, seeds = first_seed(final)
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.3), layout="constrained")
    by_architecture, by_shift = fig.subplots(1, 2, sharex=True, sharey=True)
    places = data["aelle_component"].values[:, :2].T
    scatter_by_architecture(by_architecture, *places, data["architecture"].values)
    by_architecture.set_title(f"(a) all {data.sizes['network']} networks{seeds}")

    moved = held_out(data)["shifted_component"].transpose("component", "network", "loss_shift")[:2]
    for shift, color in shift_colors(data["loss_shift"].values).items():
        points = moved.sel(loss_shift=shift).values
        by_shift.scatter(*points, s=6, color=color, linewidths=0, label=shift_label(shift))
    by_shift.set_title("(b) test networks, predicted loss changed by ΔT [nats]")
    moved = moved.values.reshape(2, -1)
    for ax, points in ((by_architecture, places), (by_shift, moved)):
        _set_aelle_axes(ax, np.concatenate([places, moved], axis=1))
        note_outside(ax, *points)
    legend_under(by_architecture, columns=4)
    legend_under(by_shift, columns=3)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_14(final: xr.Dataset) -> Figure:
    """Decoded spectra of one network per architecture, its latent point moved along the predicted loss by Delta T."""
    data, seeds = first_seed(final)
    architectures = data["architecture"].sel(network=data["example_network"].values).values
    columns = min(4, len(architectures))
    rows = -(-len(architectures) // columns)
    fig = Figure(figsize=(DOUBLE_WIDTH, 0.9 + 1.6 * rows), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False)
    colors = shift_colors(data["loss_shift"].values)
    for example, (ax, name) in enumerate(zip(axes.flat, architectures, strict=False)):
        decoded = data["shifted_exponent"].isel(example=example)
        measured = data["lyapunov_exponent"].sel(network=data["example_network"].values[example]).values
        index = np.arange(1, len(measured) + 1)
        ax.plot(index, measured, color="0.75", linewidth=3, label="measured")
        for shift, color in colors.items():
            ax.plot(index, decoded.sel(loss_shift=shift), color=color, linewidth=0.9, label=shift_label(shift))
        label_spectrum_axes(ax, np.concatenate([decoded.values, measured[None]]))
        has_panel_below = example + columns < len(architectures)
        ax.set(ylabel="", title=architecture_style(str(name)).label)
        if has_panel_below:
            ax.set_xlabel("")
    for ax in axes.flat[len(architectures) :]:
        ax.remove()
    fig.supylabel(EXPONENT_LABEL, fontsize=8)
    fig.suptitle(f"spectra decoded after a change ΔT of the predicted loss [nats]{seeds}", fontsize=8)
    legend_below(fig, axes.flat[:1], columns=8)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_15(final: xr.Dataset) -> Figure:
    """AeLLE by architecture with points whose predicted loss is zero, and the spectra decoded from these."""
    data, seeds = first_seed(final)
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.3), layout="constrained")
    embedding, spectra = fig.subplots(1, 2)
    places, zero_loss = (data[name].values[:, :2].T for name in ("aelle_component", "zero_loss_component"))
    scatter_by_architecture(embedding, *places, data["architecture"].values)
    embedding.scatter(*zero_loss, s=14, color="0.3", marker="x", linewidths=0.7, label="predicted loss zero")
    everything = np.concatenate([places, zero_loss], axis=1)
    _set_aelle_axes(embedding, everything)
    note_outside(embedding, *everything)
    embedding.set_title(f"(a) all {data.sizes['network']} networks{seeds}")

    decoded = data["zero_loss_exponent"].values
    spectra.plot(np.arange(1, decoded.shape[1] + 1), decoded.T, color="0.3", linewidth=0.6, alpha=0.5)
    label_spectrum_axes(spectra, decoded)
    spectra.set_title(f"(b) {len(decoded)} decoded spectra of predicted loss zero")
    legend_below(fig, (embedding,), columns=5)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_b3(final: xr.Dataset) -> Figure:
    """LE mean and max, first components of the raw spectra, and AeLLE of the test networks by error, with medians."""
    data, seeds = first_seed(final)
    networks = held_out(data)
    f1, thresholds = data["f1"].to_series(), data["threshold"].to_series()
    mean, maximum = networks["lyapunov_mean"].values, networks["lyapunov_max"].values
    planes = {
        "lyapunov_mean": ("LE mean [nats/step]", "LE max [nats/step]", mean, maximum),
        "spectrum_pca": ("LE PC1 [nats/step]", "LE PC2 [nats/step]", *networks["spectrum_component"].values[:, :2].T),
        "aelle": (AELLE_PC1, AELLE_PC2, *networks["aelle_component"].values[:, :2].T),
    }
    fig = Figure(figsize=(DOUBLE_WIDTH, 2.7), layout="constrained")
    axes = fig.subplots(1, 3)
    for ax, (classifier, (x_label, y_label, x, y)) in zip(axes, planes.items(), strict=True):
        scatter_by_error(ax, x, y, networks["low_error"].values)
        threshold_line(ax, thresholds[classifier], "median (training part)")
        medians_of_y = [thresholds["lyapunov_max"]] if classifier == "lyapunov_mean" else []
        for median in medians_of_y:
            ax.axhline(median, color="black", linewidth=1)
        x_limits, y_limits = robust_limits(x, [thresholds[classifier]]), robust_limits(y, medians_of_y)
        ax.set(xlabel=x_label, ylabel=y_label, xlim=x_limits, ylim=y_limits)
        note_outside(ax, x, y)
    axes[0].set_title(f"(a) F1 {f1['lyapunov_mean']:.2f} (mean), {f1['lyapunov_max']:.2f} (max)")
    axes[1].set_title(f"(b) F1 {f1['spectrum_pca']:.2f}")
    axes[2].set_title(f"(c) F1 {f1['aelle']:.2f}")
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes, columns=3)
    return fig
