"""Parts of figures: scatter plots by error and by architecture, histograms, thresholds, limits, spectra, legends."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_lowercase
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from lyapunov_pkg.plots import zero_line
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, in_display_order
from lyapunov_pkg.reproduction.figures.style import (
    HIGH_ERROR_COLOR,
    HIGH_ERROR_MARKER,
    LOW_ERROR_COLOR,
    LOW_ERROR_MARKER,
    Keywords,
    architecture_style,
)

EXPONENT_LABEL = "Lyapunov exponent [nats/step]"
LOSS_LABEL = "validation loss [nats]"
NOTE_SIZE = 6  # points
ANNOTATION_SIZE = 7
POINT_SIZE = 16  # square points
HISTOGRAM_BINS = 20
LEVEL_MARKERS = "osD^vP<*"


def robust_limits(values: np.ndarray, include: Iterable[float] = ()) -> tuple[float, float]:
    """Return axis limits for `values` (any shape) without outliers.

    An outlier is farther from the central 90% of the values than the width of these. Non-finite values are ignored.
    Finite numbers in `include` (a threshold) are always inside.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return 0.0, 1.0
    fifth, last = np.percentile(finite, [5, 95])
    reach = last - fifth
    near = finite[(finite >= fifth - reach) & (finite <= last + reach)]
    low, high = near.min(), near.max()
    for number in include:
        if np.isfinite(number):
            low, high = min(low, number), max(high, number)
    margin = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-3)
    return float(low - margin), float(high + margin)


def note_outside(ax: Axes, x: np.ndarray | None = None, y: np.ndarray | None = None) -> None:
    """Write above the panel how many points, by `x`, by `y` or by both, are outside its limits, if any are."""
    limited = [(values, limits) for values, limits in ((x, ax.get_xlim()), (y, ax.get_ylim())) if values is not None]
    n_outside = np.count_nonzero(~np.all([_within(values, limits) for values, limits in limited], axis=0))
    if n_outside:
        ax.text(1, 1.01, f"{n_outside} outside", transform=ax.transAxes, fontsize=NOTE_SIZE, ha="right", va="bottom")


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (np.asarray(values) >= limits[0]) & (np.asarray(values) <= limits[1])


def scatter_by_error(ax: Axes, x: np.ndarray, y: np.ndarray, low_error: np.ndarray) -> None:
    """Draw points (x, y), each (n,), as low- or high-error networks by `low_error` (n,) bool."""
    common: Keywords = {"s": POINT_SIZE, "linewidths": 0.3, "edgecolors": "white"}
    high = ~low_error
    ax.scatter(x[high], y[high], c=HIGH_ERROR_COLOR, marker=HIGH_ERROR_MARKER, label="high error", **common)
    ax.scatter(x[low_error], y[low_error], c=LOW_ERROR_COLOR, marker=LOW_ERROR_MARKER, label="low error", **common)


def scatter_by_architecture(ax: Axes, x: np.ndarray, y: np.ndarray, architecture: np.ndarray) -> None:
    """Draw points (x, y), each (n,), in the colour and marker of their `architecture` (n,)."""
    for name in in_display_order(architecture, ARCHITECTURE_LABELS):
        style, of_name = architecture_style(name), architecture == name
        look: Keywords = {"c": style.color, "marker": style.marker, "s": POINT_SIZE * style.marker_scale**2}
        ax.scatter(x[of_name], y[of_name], label=style.label, alpha=0.9, linewidths=0.2, edgecolors="white", **look)


def level_looks(levels: np.ndarray) -> dict[float, tuple[tuple[float, ...], str]]:
    """Return colour and marker of each distinct value of a hyperparameter (n,), from dark (low) to light (high)."""
    distinct = np.unique(levels)
    colors = colormaps["viridis"](np.linspace(0, 0.9, len(distinct)))
    return {
        float(level): (tuple(color), LEVEL_MARKERS[number % len(LEVEL_MARKERS)])
        for number, (level, color) in enumerate(zip(distinct, colors, strict=True))
    }


def scatter_by_level(ax: Axes, x: np.ndarray, y: np.ndarray, levels: np.ndarray, name: str) -> None:
    """Draw points (x, y), each (n,), in the colour and marker of `levels` (n,) of a hyperparameter called `name`."""
    for level, (color, marker) in level_looks(levels).items():
        of_level = levels == level
        look: Keywords = {"color": color, "marker": marker, "s": POINT_SIZE}
        ax.scatter(x[of_level], y[of_level], label=f"{name} {level:g}", linewidths=0.2, edgecolors="white", **look)


def stacked_histogram(ax: Axes, values: np.ndarray, low_error: np.ndarray, limits: tuple[float, float]) -> None:
    """Draw stacked counts of low- and high-error networks by `values` (n,) between `limits`."""
    ax.hist(
        [values[low_error], values[~low_error]],
        bins=np.linspace(*limits, HISTOGRAM_BINS + 1).tolist(),
        stacked=True,
        color=[LOW_ERROR_COLOR, HIGH_ERROR_COLOR],
        label=["low error", "high error"],
        hatch=["", "////"],
        edgecolor="white",
        linewidth=0.3,
    )
    ax.set_xlim(limits)
    ax.set_ylabel("networks")
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=(1, 2, 5, 10), integer=True))


def threshold_line(ax: Axes, threshold: float, label: str) -> None:
    """Draw a vertical line at `threshold` if it is finite."""
    if np.isfinite(threshold):
        ax.axvline(threshold, color="black", linewidth=1, label=label)


def shade_predicted_low(ax: Axes, threshold: float, low_is_above: bool) -> None:
    """Shade the side of `threshold` where low error is predicted, within the panel's limits, if it is not NaN."""
    if np.isnan(threshold):
        return
    left, right = ax.get_xlim()
    edge = np.clip(threshold, left, right)
    span = (edge, right) if low_is_above else (left, edge)
    ax.axvspan(*span, color=LOW_ERROR_COLOR, alpha=0.1, linewidth=0, label="predicted low error")


def shift_colors(shifts: np.ndarray) -> dict[float, tuple[float, ...]]:
    """Return colours of changes of the predicted loss (n,), from dark (low) to light (high)."""
    scale = colormaps["plasma"](np.linspace(0, 0.9, len(shifts)))
    return {float(shift): tuple(color) for shift, color in zip(np.sort(shifts), scale, strict=True)}


def shift_label(shift: float) -> str:
    """Return the legend label of a change of the predicted loss."""
    return f"ΔT = {shift:+g}".replace("-", "−") if shift else "ΔT = 0"


def spectrum_line(ax: Axes, exponents: np.ndarray, architecture: str) -> None:
    """Draw a Lyapunov spectrum (d,) against its index from 1, in the style of `architecture`."""
    style = architecture_style(architecture)
    index = np.arange(1, len(exponents) + 1)
    ax.plot(index, exponents, color=style.color, linestyle=style.linestyle, label=style.label)


def label_spectrum_axes(ax: Axes, exponents: np.ndarray, also: np.ndarray | tuple[()] = ()) -> None:
    """Set labels and limits of a panel of spectra `exponents` (..., d). Limits also cover `also`, of another panel."""
    zero_line(ax)
    limits = robust_limits(np.append(exponents, also), include=(0.0,))
    ax.set(xlabel="index of exponent", ylabel=EXPONENT_LABEL, ylim=limits)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    note_outside(ax, y=exponents[~np.isnan(exponents)])  # NaN fills shorter spectra


def legend_under(ax: Axes, columns: int) -> None:
    """Draw the legend of one panel below its axis label, with each label once."""
    handles = {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    below_label = ScaledTranslation(0, -28 / 72, ax.figure.dpi_scale_trans)  # 28 points
    ax.legend(
        handles.values(),
        handles.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + below_label,
        ncols=columns,
    )


def letter_panels(axes: Iterable[Axes], inside: bool = False, **look: Any) -> None:
    """Write (a), (b), ... before the titles of panels, in order, or `inside` the upper right corner of each.

    `look` overrides the style of the titles: `pad` and `fontsize`, in points.
    """
    for letter, ax in zip(ascii_lowercase, axes, strict=False):
        if inside:
            place: Keywords = {"ha": "right", "va": "top", "transform": ax.transAxes}
            ax.text(0.98, 0.97, f"({letter})", fontsize=ANNOTATION_SIZE, **place)
        else:
            ax.set_title(f"({letter}) {ax.get_title(loc='left')}".rstrip(), **look)


def legend_below(fig: Figure, axes: Iterable[Axes], columns: int, title: str | None = None) -> None:
    """Draw one legend below the figure, with every label in `axes` once."""
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=columns, title=title, title_fontsize=7
    )


def first_seed(dataset: xr.Dataset) -> tuple[xr.Dataset, str]:
    """Return `dataset` at its first seed, and a note on this if there are several seeds."""
    n_seeds = dataset.sizes["seed"]
    return dataset.isel(seed=0), f", first of {n_seeds} seeds" if n_seeds > 1 else ""


def held_out(dataset: xr.Dataset) -> xr.Dataset:
    """Return the networks of the test part of a Dataset for one seed."""
    return dataset.isel(network=np.flatnonzero(dataset["partition"].values == "test"))
