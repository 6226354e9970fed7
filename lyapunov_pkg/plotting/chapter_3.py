"""Figures of chapter 3 for sequential MNIST: the autoencoder embedding of Lyapunov spectra (AeLLE), pre-trained and final."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lyapunov_pkg.plotting.panels import (
    first_seed,
    legend_below,
    note,
    note_outside,
    robust_limits,
    scatter_by_architecture,
    scatter_by_error,
    stacked_histogram,
    held_out,
    threshold_line,
)
from lyapunov_pkg.plotting.presentation import shown_epochs
from lyapunov_pkg.plotting.style import DOUBLE_WIDTH, LOW_ERROR_COLOR, PAPER_STYLE

AELLE_PC1, AELLE_PC2 = "AeLLE PC1", "AeLLE PC2"


@rc_context(PAPER_STYLE)
def fig_3_9(final: xr.Dataset, examples: xr.Dataset) -> Figure:
    """AeLLE of the trained networks of the test part: an image of the task, by error with the median of PC1, by architecture.

    `final` is the final experiment's Dataset, `examples` the task's (test_input (test_sample, time, feature)).
    """
    data, seeds = first_seed(final)
    networks = held_out(data)
    x, y = networks["aelle_component"].values[:, 0], networks["aelle_component"].values[:, 1]
    median = float(data["threshold"].sel(classifier="aelle"))
    low_error, architecture = networks["low_error"].values, networks["architecture"].values

    fig = Figure(figsize=(DOUBLE_WIDTH, 3.1), layout="constrained")
    grid = fig.add_gridspec(2, 3, height_ratios=(1, 3), width_ratios=(0.8, 1, 1))
    _example_image(fig.add_subplot(grid[:, 0]), examples)
    by_error = fig.add_subplot(grid[1, 1])
    histogram = fig.add_subplot(grid[0, 1], sharex=by_error)
    by_architecture = fig.add_subplot(grid[:, 2], sharex=by_error, sharey=by_error)

    scatter_by_error(by_error, x, y, low_error)
    scatter_by_architecture(by_architecture, x, y, architecture)
    for ax in (by_error, by_architecture):
        ax.set(xlim=robust_limits(x, [median]), ylim=robust_limits(y), xlabel=AELLE_PC1, ylabel=AELLE_PC2)
        threshold_line(ax, median, "median of PC1 (training part)")
        note_outside(ax, x, y)
    stacked_histogram(histogram, x, low_error, by_error.get_xlim())
    threshold_line(histogram, median, "median of PC1 (training part)")
    histogram.tick_params(labelbottom=False)
    histogram.set(ylabel="networks", title=f"(b) by error: {len(x)} test networks{seeds}")
    by_architecture.set_title("(c) by architecture")
    legend_below(fig, (by_error, by_architecture), columns=6)
    return fig


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
        ax.set(xlim=x_limits, ylim=y_limits, xlabel=AELLE_PC1, title=f"{percent:.0f}% of training")
        _shade_predicted_low(ax, threshold, low_is_above)
        scatter_by_error(ax, x, y, networks["low_error"].values)
        threshold_line(ax, threshold, "threshold of best F1 (training part)")
        note(ax, f"F1 {float(aelle['f1'].sel(epoch=epoch)):.2f}", 0.02, 0.98, ha="left", va="top")
        note_outside(ax, x, y)
    axes[0].set_ylabel(AELLE_PC2)
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes, columns=4)
    return fig


def _shade_predicted_low(ax: Axes, threshold: float, low_is_above: bool) -> None:
    left, right = ax.get_xlim()
    edge = np.clip(threshold, left, right)
    span = (edge, right) if low_is_above else (left, edge)
    ax.axvspan(*span, color=LOW_ERROR_COLOR, alpha=0.1, linewidth=0, label="predicted low error")


@rc_context(PAPER_STYLE)
def fig_3_11(pretrained: xr.Dataset) -> Figure:
    """Distributions of LE mean, LE max, LE PC1 and AeLLE PC1 of the test networks over training, with the thresholds."""
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
            threshold_line(ax, threshold, "threshold of best F1 (training part)")
            note_outside(ax, x)
            ax.set_xlabel(label)
        row[0].set_ylabel("networks")
    for ax, (_, percent) in zip(axes[0], epochs, strict=True):
        ax.set_title(f"{percent:.0f}% of training")
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes[-1], columns=3)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_12(final: xr.Dataset) -> Figure:
    """One network per architecture, that of its median final loss: spectrum, place in AeLLE, final loss."""
    data, seeds = first_seed(final)
    shown = examples_by_architecture(data)
    fig = Figure(figsize=(DOUBLE_WIDTH, 2.9), layout="constrained")
    spectra, embedding, losses = fig.subplots(1, 3)

    for network in shown:
        spectrum_line(spectra, network["lyapunov_exponent"].values, str(network["architecture"].item()))
    label_spectrum_axes(spectra, np.stack([network["lyapunov_exponent"].values for network in shown]))
    spectra.set_title("(a) spectra")

    x, y = data["aelle_component"].values[:, 0], data["aelle_component"].values[:, 1]
    embedding.scatter(x, y, s=3, color="0.8", linewidths=0, label="all networks")
    threshold_line(embedding, float(data["threshold"].sel(classifier="aelle")), MEDIAN_LABEL)
    for network in shown:
        style = architecture_style(str(network["architecture"].item()))
        place = network["aelle_component"].values
        embedding.scatter(*place[:2], s=36, color=style.color, marker=style.marker, edgecolors="white", linewidths=0.4)
    embedding.set(xlim=robust_limits(x), ylim=robust_limits(y), xlabel=AELLE_PC1, ylabel=AELLE_PC2)
    embedding.set_title(f"(b) AeLLE{seeds}")
    _loss_bars(losses, shown)
    legend_below(fig, (spectra, embedding), columns=5)
    return fig
