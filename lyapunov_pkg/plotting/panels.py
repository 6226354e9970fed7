"""Parts of figures: scatter plots by error and by architecture, stacked histograms, thresholds, limits that outliers do not ruin."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lyapunov_pkg.plotting.presentation import ARCHITECTURE_LABELS, in_display_order
from lyapunov_pkg.plotting.style import (
    HIGH_ERROR_COLOR,
    HIGH_ERROR_MARKER,
    LOW_ERROR_COLOR,
    LOW_ERROR_MARKER,
    architecture_style,
)

EXPONENT_LABEL = "Lyapunov exponent [nats/step]"
LOSS_LABEL = "validation loss [nats]"
NOTE_SIZE = 6  # points
POINT_SIZE = 14  # square points
HISTOGRAM_BINS = 20


def robust_limits(values: np.ndarray, include: Iterable[float] = ()) -> tuple[float, float]:
    """Axis limits for `values` (any shape): all of them, but no further than half the central 90% beyond that range.

    Non-finite values are ignored. Finite numbers in `include` (a threshold) are always inside.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return 0.0, 1.0
    fifth, last = np.percentile(finite, [5, 95])
    reach = 0.5 * (last - fifth)
    low, high = max(finite.min(), fifth - reach), min(finite.max(), last + reach)
    for number in include:
        if np.isfinite(number):
            low, high = min(low, number), max(high, number)
    margin = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-3)
    return float(low - margin), float(high + margin)


def note_outside(ax: Axes, x: np.ndarray, y: np.ndarray | None = None) -> None:
    """Say in the panel how many of the points lie outside its limits, where any do."""
    inside = _within(x, ax.get_xlim())
    if y is not None:
        inside = inside & _within(y, ax.get_ylim())
    n_outside = int((~inside).sum())
    if n_outside:
        note(ax, f"{n_outside} of {inside.size} outside", 0.98, 0.98, ha="right", va="top")


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (np.asarray(values) >= limits[0]) & (np.asarray(values) <= limits[1])


def note(ax: Axes, text: str, x: float, y: float, **alignment: str) -> None:
    """Small text at (x, y) of the panel (fractions), readable over points."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    ax.text(x, y, text, transform=ax.transAxes, fontsize=NOTE_SIZE, bbox=box, zorder=10, **alignment)


def scatter_by_error(ax: Axes, x: np.ndarray, y: np.ndarray, low_error: np.ndarray) -> None:
    """Points (x, y), each (n,), as low- or high-error networks by `low_error` (n,) bool."""
    common = {"s": POINT_SIZE, "linewidths": 0.3, "edgecolors": "white"}
    high = ~low_error
    ax.scatter(x[high], y[high], c=HIGH_ERROR_COLOR, marker=HIGH_ERROR_MARKER, label="high error", **common)
    ax.scatter(x[low_error], y[low_error], c=LOW_ERROR_COLOR, marker=LOW_ERROR_MARKER, label="low error", **common)


def scatter_by_architecture(ax: Axes, x: np.ndarray, y: np.ndarray, architecture: np.ndarray) -> None:
    """Points (x, y), each (n,), in the colour and marker of their `architecture` (n,)."""
    for name in in_display_order(architecture, ARCHITECTURE_LABELS):
        style, of_name = architecture_style(name), architecture == name
        ax.scatter(
            x[of_name],
            y[of_name],
            s=POINT_SIZE,
            c=style.color,
            marker=style.marker,
            linewidths=0.3,
            edgecolors="white",
            label=style.label,
        )


def stacked_histogram(ax: Axes, values: np.ndarray, low_error: np.ndarray, limits: tuple[float, float]) -> None:
    """Stacked counts of low- and high-error networks by `values` (n,) between `limits`."""
    ax.hist(
        [values[low_error], values[~low_error]],
        bins=np.linspace(*limits, HISTOGRAM_BINS + 1),
        stacked=True,
        color=[LOW_ERROR_COLOR, HIGH_ERROR_COLOR],
        label=["low error", "high error"],
        hatch=["", "////"],
        edgecolor="white",
        linewidth=0.3,
    )
    ax.set_xlim(limits)


def threshold_line(ax: Axes, threshold: float, label: str) -> None:
    """A vertical line at `threshold`; none where it is not finite."""
    if np.isfinite(threshold):
        ax.axvline(threshold, color="black", linewidth=1, label=label)


def spectrum_line(ax: Axes, exponents: np.ndarray, architecture: str, **line: object) -> None:
    """A Lyapunov spectrum (d,) against its index from 1, in the style of `architecture`."""
    style = architecture_style(architecture)
    index = np.arange(1, len(exponents) + 1)
    ax.plot(index, exponents, color=style.color, linestyle=style.linestyle, label=style.label, **line)


def label_spectrum_axes(ax: Axes, exponents: np.ndarray) -> None:
    """Labels and limits of a panel of spectra `exponents` (..., d)."""
    ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    ax.set(xlabel="index of exponent", ylabel=EXPONENT_LABEL, ylim=robust_limits(exponents, include=(0.0,)))


def legend_below(fig: Figure, axes: Iterable[Axes], columns: int) -> None:
    """One legend below the figure with every label that occurs in `axes`, each once."""
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def first_seed(dataset: xr.Dataset) -> tuple[xr.Dataset, str]:
    """`dataset` at its first seed, and a note that says so where there are several."""
    n_seeds = dataset.sizes["seed"]
    return dataset.isel(seed=0), f", first of {n_seeds} seeds" if n_seeds > 1 else ""


def held_out(dataset: xr.Dataset) -> xr.Dataset:
    """The networks of the test part of a Dataset of one seed."""
    return dataset.isel(network=np.flatnonzero(dataset["partition"].values == "test"))
