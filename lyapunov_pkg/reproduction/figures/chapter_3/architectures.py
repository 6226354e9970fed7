"""Architectures in AeLLE, and spectra decoded after a change of the predicted loss: figures 3.12 to 3.15."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

from lyapunov_pkg.reproduction.figures.chapter_3.aelle_plane import MEDIAN_LABEL, set_aelle_axes
from lyapunov_pkg.reproduction.figures.chapter_3.variables import EMBEDDING, QUALITY
from lyapunov_pkg.reproduction.figures.panels import (
    EXPONENT_LABEL,
    LOSS_LABEL,
    NOTE_SIZE,
    first_seed,
    held_out,
    label_spectrum_axes,
    legend_below,
    legend_under,
    letter_panels,
    note_outside,
    scatter_by_architecture,
    shift_colors,
    shift_label,
    spectrum_line,
    threshold_line,
)
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, architecture_style
from lyapunov_pkg.reproduction.records import Store, figure


@figure(
    stores={
        "final": Store(
            "results/aelle/smnist_final.zarr.zip", (*EMBEDDING, "lyapunov_exponent", "final_loss", "example_network")
        )
    },
    caption=(
        "The network of median final loss for each architecture: its spectrum, its position in AeLLE, and its final "
        "loss."
    ),
)
def fig_3_12(final: xr.Dataset) -> Figure:
    """Draw the network of median final loss for each architecture: spectrum, position in AeLLE, final loss."""
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
    set_aelle_axes(embedding, everything[:, :2].T)
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


@figure(
    stores={"final": Store("results/aelle/smnist_final.zarr.zip", (*EMBEDDING, *QUALITY, "shifted_component"))},
    caption=(
        "AeLLE by architecture, and the {n_test[final]} test networks after changes of the predicted loss (eq. 3.7)."
    ),
)
def fig_3_13(final: xr.Dataset) -> Figure:
    """Draw AeLLE by architecture, and the test networks after changes of the predicted loss (eq. 3.7)."""
    data, seeds = first_seed(final)
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.3), layout="constrained")
    by_architecture, by_shift = fig.subplots(1, 2, sharex=True, sharey=True)
    places = data["aelle_component"].values[:, :2].T
    scatter_by_architecture(by_architecture, places[0], places[1], data["architecture"].values)
    by_architecture.set_title(f"(a) all {data.sizes['network']} networks{seeds}")

    moved = held_out(data)["shifted_component"].transpose("component", "network", "loss_shift")[:2]
    for shift, color in shift_colors(data["loss_shift"].values).items():
        points = moved.sel(loss_shift=shift).values
        by_shift.scatter(*points, s=6, color=color, linewidths=0, label=shift_label(shift))
    by_shift.set_title("(b) test networks, predicted loss changed by ΔT [nats]")
    fig.suptitle(_quality(data), fontsize=NOTE_SIZE)
    ends = moved.values.reshape(2, -1)
    for ax, points in ((by_architecture, places), (by_shift, ends)):
        set_aelle_axes(ax, np.concatenate([places, ends], axis=1))
        note_outside(ax, *points)
    legend_under(by_architecture, columns=4)
    legend_under(by_shift, columns=3)
    return fig


@figure(
    stores={
        "final": Store(
            "results/aelle/smnist_final.zarr.zip",
            (*EMBEDDING, *QUALITY, "lyapunov_exponent", "shifted_exponent", "example_network"),
        )
    },
    caption=("Decoded spectra of one network per architecture after changes of the predicted loss."),
)
def fig_3_14(final: xr.Dataset) -> Figure:
    """Draw decoded spectra of one network per architecture after a change Delta T of the predicted loss."""
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
    letter_panels(axes.flat[: len(architectures)])
    for ax in axes.flat[len(architectures) :]:
        ax.remove()
    fig.supylabel(EXPONENT_LABEL, fontsize=8)
    fig.suptitle(f"spectra decoded after a change ΔT of the predicted loss [nats]{seeds}\n{_quality(data)}", fontsize=8)
    legend_below(fig, axes.flat[:1], columns=8)
    return fig


@figure(
    stores={
        "final": Store(
            "results/aelle/smnist_final.zarr.zip", (*EMBEDDING, *QUALITY, "zero_loss_component", "zero_loss_exponent")
        )
    },
    caption="AeLLE by architecture with points whose predicted loss is zero, and the spectra decoded from these.",
)
def fig_3_15(final: xr.Dataset) -> Figure:
    """Draw AeLLE by architecture with points whose predicted loss is zero, and the spectra decoded from these."""
    data, seeds = first_seed(final)
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.3), layout="constrained")
    embedding, spectra = fig.subplots(1, 2)
    places, zero_loss = (data[name].values[:, :2].T for name in ("aelle_component", "zero_loss_component"))
    scatter_by_architecture(embedding, places[0], places[1], data["architecture"].values)
    embedding.scatter(*zero_loss, s=14, color="0.3", marker="x", linewidths=0.7, label="predicted loss zero")
    everything = np.concatenate([places, zero_loss], axis=1)
    set_aelle_axes(embedding, everything)
    note_outside(embedding, *everything)
    embedding.set_title(f"(a) all {data.sizes['network']} networks{seeds}")

    decoded = data["zero_loss_exponent"].values
    spectra.plot(np.arange(1, decoded.shape[1] + 1), decoded.T, color="0.3", linewidth=0.6, alpha=0.5)
    label_spectrum_axes(spectra, decoded)
    spectra.set_title(f"(b) {len(decoded)} decoded spectra of predicted loss zero")
    fig.suptitle(_quality(data), fontsize=NOTE_SIZE)
    legend_below(fig, (embedding,), columns=5)
    return fig


def _quality(data: xr.Dataset) -> str:
    """Return the quality of one seed's autoencoder on the test part as text, including a failure."""
    test = data.sel(part="test")
    error, median_error, r_squared = (
        float(test[name]) for name in ("reconstruction_error", "median_error", "r_squared")
    )
    failed = "" if data["autoencoder_works"] else "THE AUTOENCODER FAILED. "
    return (
        f"{failed}Test networks: reconstruction error {error:.2g} nats/step (median spectrum: {median_error:.2g}), "
        f"R² of the predicted loss {r_squared:.2f}".replace("-", "−")
    )
