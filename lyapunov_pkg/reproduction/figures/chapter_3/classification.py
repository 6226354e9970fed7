"""Classification by AeLLE and by statistics of spectra: figures 3.10, 3.11 and 3.B1 to 3.B4."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.chapter_3.aelle_plane import AELLE_PC1, AELLE_PC2
from lyapunov_pkg.reproduction.figures.chapter_3.variables import EMBEDDING, STATISTICS
from lyapunov_pkg.reproduction.figures.panels import (
    NOTE_SIZE,
    first_seed,
    held_out,
    legend_below,
    letter_panels,
    note_outside,
    robust_limits,
    scatter_by_error,
    shade_predicted_low,
    stacked_histogram,
    threshold_line,
)
from lyapunov_pkg.reproduction.figures.presentation import STUDY_LABELS, in_display_order, shown_epochs
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from lyapunov_pkg.reproduction.records import Store, figure

PART_LABELS = {"train": "training part", "validation": "validation part"}


class Plane(NamedTuple):
    """Two numbers of a network, each a variable (and its component), and the classifiers that use them, x first."""

    x_label: str
    y_label: str
    x: tuple
    y: tuple
    scored: tuple[tuple[str, str], ...]  # classifier, note on its F1


PLANES = (
    Plane(
        "LE mean [nats/step]",
        "LE max [nats/step]",
        ("lyapunov_mean",),
        ("lyapunov_max",),
        (("lyapunov_mean", " (mean)"), ("lyapunov_max", " (max)")),
    ),
    Plane(
        "LE PC1 [nats/step]",
        "LE PC2 [nats/step]",
        ("spectrum_component", 0),
        ("spectrum_component", 1),
        (("spectrum_pca", ""),),
    ),
    Plane(AELLE_PC1, AELLE_PC2, ("aelle_component", 0), ("aelle_component", 1), (("aelle", ""),)),
)


@figure(
    stores={"pretrained": Store("results/aelle/smnist_pretrained.zarr.zip", (*EMBEDDING, "f1"))},
    caption=(
        "Pre-trained AeLLE of the {n_test[pretrained]} test networks at 0, 10, 20 and 50 % of training, by final "
        "error, with the threshold."
    ),
)
def fig_3_10(pretrained: xr.Dataset) -> Figure:
    """Draw pre-trained AeLLE of test networks at 0, 10, 20 and 50% of training, by final error, with thresholds."""
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
        threshold_line(ax, threshold, _best_f1_label(pretrained))
        note_outside(ax, x, y)
    axes[0].set_ylabel(AELLE_PC2)
    letter_panels(axes)
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes, columns=4)
    return fig


@figure(
    stores={"pretrained": Store("results/aelle/smnist_pretrained.zarr.zip", STATISTICS)},
    caption=(
        "Mean and largest exponent, first principal component of the spectra and of AeLLE, of the "
        "{n_test[pretrained]} test networks over training, by final error, with thresholds."
    ),
)
def fig_3_11(pretrained: xr.Dataset) -> Figure:
    """Draw distributions of LE mean, LE max, LE PC1 and AeLLE PC1 of test networks over training, with thresholds."""
    data, seeds = first_seed(pretrained)
    networks, epochs = held_out(data), shown_epochs(pretrained)
    rows = {
        "lyapunov_mean": ("LE mean [nats/step]", networks["lyapunov_mean"]),
        "lyapunov_max": ("LE max [nats/step]", networks["lyapunov_max"]),
        "spectrum_pca": ("LE PC1 [nats/step]", networks["spectrum_component"].isel(component=0)),
        "aelle": (AELLE_PC1, networks["aelle_component"].isel(component=0)),
    }
    fig = Figure(figsize=(DOUBLE_WIDTH, 6.8), layout="constrained")
    axes = fig.subplots(len(rows), len(epochs), sharex="row", sharey="row", squeeze=False)
    for row, (classifier, (label, values)) in zip(axes, rows.items(), strict=True):
        threshold = float(data["threshold"].sel(classifier=classifier))
        limits = robust_limits(values.sel(epoch=[epoch for epoch, _ in epochs]).values, [threshold])
        for ax, (epoch, _) in zip(row, epochs, strict=True):
            x = values.sel(epoch=epoch).values
            stacked_histogram(ax, x, networks["low_error"].values, limits)
            threshold_line(ax, threshold, _best_f1_label(pretrained))
            note_outside(ax, x)
            ax.set_xlabel(label)
        for ax in row[1:]:
            ax.set_ylabel("")
    for ax, (_, percent) in zip(axes[0], epochs, strict=True):
        ax.set_title(f"{percent:.0f}% of training")
    letter_panels(axes.flat)
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes[-1], columns=3)
    return fig


def _best_f1_label(pretrained: xr.Dataset) -> str:
    return f"threshold of best F1 ({PART_LABELS[pretrained.attrs['threshold_part']]})"


@figure(
    stores={"final": Store("results/aelle/target_learning_final.zarr.zip", STATISTICS)},
    caption=(
        "Target learning: mean and largest exponent, first principal components of the spectra, and AeLLE of the "
        "{n_test[final]} test networks by final error, with medians."
    ),
)
def fig_3_b1(final: xr.Dataset) -> Figure:
    """Draw LE mean and max, first components of spectra, and AeLLE of the test networks of target learning by error."""
    return _statistics_and_aelle(final)


@figure(
    stores={"final": Store("results/aelle/char_rnn_sizes_final.zarr.zip", STATISTICS)},
    caption=(
        "CharRNN: mean and largest exponent, first principal components of the spectra, and AeLLE of the "
        "{n_test[final]} test networks by final error, with medians."
    ),
)
def fig_3_b2(final: xr.Dataset) -> Figure:
    """Draw LE mean and max, first components of the spectra, and AeLLE of the test networks of CharRNN by error."""
    return _statistics_and_aelle(final)


@figure(
    stores={"final": Store("results/aelle/smnist_final.zarr.zip", STATISTICS)},
    caption=(
        "Mean and largest exponent, first principal components of the spectra, and AeLLE of the {n_test[final]} test "
        "networks by final error, with medians."
    ),
)
def fig_3_b3(final: xr.Dataset) -> Figure:
    """Draw LE mean and max, first components of the spectra, and AeLLE of the test networks of SMNIST by error."""
    return _statistics_and_aelle(final)


def _statistics_and_aelle(final: xr.Dataset) -> Figure:
    data, seeds = first_seed(final)
    fig = Figure(figsize=(DOUBLE_WIDTH, 2.7), layout="constrained")
    axes = fig.subplots(1, len(PLANES))
    for ax, plane, letter in zip(axes, PLANES, "abc", strict=True):
        _scatter_plane(ax, data, plane)
        ax.set_title(f"({letter}) {_f1_of_plane(data, plane)}")
    fig.suptitle(f"{held_out(data).sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes, columns=3)
    return fig


@figure(
    stores={
        "target_learning": Store("results/aelle/target_learning_final.zarr.zip", STATISTICS),
        "char_rnn_sizes": Store("results/aelle/char_rnn_sizes_final.zarr.zip", STATISTICS),
        "smnist": Store("results/aelle/smnist_final.zarr.zip", STATISTICS),
    },
    caption="Mean and largest exponent, first principal components of the spectra, and AeLLE of the test networks "
    "by final error, with medians, for every task.",
)
def fig_3_b4(**finals: xr.Dataset) -> Figure:
    """Draw LE mean and max, first components of the spectra, and AeLLE of the test networks by error for each study.

    `finals` are {study: Dataset of the final experiment}. Each study is a column.
    """
    studies = in_display_order(finals, STUDY_LABELS)
    fig = Figure(figsize=(DOUBLE_WIDTH, 6.8), layout="constrained")
    axes = fig.subplots(len(PLANES), len(studies), squeeze=False)
    for column, study in zip(axes.T, studies, strict=True):
        data, seeds = first_seed(finals[study])
        for ax, plane in zip(column, PLANES, strict=True):
            _scatter_plane(ax, data, plane)
            ax.set_title(_f1_of_plane(data, plane), fontsize=NOTE_SIZE)
        heading = f"{STUDY_LABELS.get(study, study)}\n{held_out(data).sizes['network']} test networks{seeds}"
        column[0].set_title(f"{heading}\n{_f1_of_plane(data, PLANES[0])}", fontsize=NOTE_SIZE)
    letter_panels(axes.flat, fontsize=NOTE_SIZE)
    legend_below(fig, axes.flat, columns=3)
    return fig


def _f1_of_plane(data: xr.Dataset, plane: Plane) -> str:
    f1 = data["f1"].to_series()
    return "F1 " + ", ".join(f"{f1[name]:.2f}{note}" for name, note in plane.scored)


def _scatter_plane(ax: Axes, data: xr.Dataset, plane: Plane) -> None:
    """Draw the test networks of one seed by error in a plane of two numbers, with the medians as thresholds."""
    networks, thresholds = held_out(data), data["threshold"].to_series()
    x, y = (_values(networks, *number) for number in (plane.x, plane.y))
    median_x = thresholds[plane.scored[0][0]]
    medians_y = [thresholds[name] for name, _ in plane.scored[1:]]
    scatter_by_error(ax, x, y, networks["low_error"].values)
    threshold_line(ax, median_x, "median (training part)")
    for median in medians_y:
        ax.axhline(median, color="black", linewidth=1)
    limits = robust_limits(x, [median_x]), robust_limits(y, medians_y)
    ax.set(xlabel=plane.x_label, ylabel=plane.y_label, xlim=limits[0], ylim=limits[1])
    note_outside(ax, x, y)


def _values(networks: xr.Dataset, variable: str, component: int | None = None) -> np.ndarray:
    values = networks[variable]
    return (values if component is None else values.isel(component=component)).values
