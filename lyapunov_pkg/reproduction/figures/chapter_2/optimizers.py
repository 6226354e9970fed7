"""Spectra and performance of the same networks, trained by several optimisers; not in the dissertation."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lyapunov_pkg.plots import zero_line
from lyapunov_pkg.reproduction.figures.panels import (
    LOSS_LABEL,
    POINT_SIZE,
    legend_below,
    letter_panels,
    robust_limits,
)
from lyapunov_pkg.reproduction.figures.presentation import OPTIMIZER_LABELS, STATISTIC_LABELS
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, Keywords, architecture_style
from lyapunov_pkg.reproduction.records import Store, figure

STATISTIC_FILLS = {"maximum_exponent": "full", "mean_exponent": "none"}
SHOWN = "maximum_exponent"
VARIABLES = (
    "final_loss",
    "spectrum_statistic",
    "spearman",
    "spearman_low",
    "spearman_high",
    "n_used",
    "difference",
    "difference_low",
    "difference_high",
)


@figure(
    stores={"comparison": Store("results/optimizers/comparison.zarr.zip", VARIABLES)},
    chapter=2,
    caption=(
        "The same networks trained by several optimisers from the same initial weights: validation loss against the "
        "largest exponent after the last epoch, one row for each architecture. Below: rank correlations of the "
        "largest and the mean exponent with this loss, and their differences from Adam's. Bars are 95% confidence "
        "intervals."
    ),
)
def fig_extra_optimizers(comparison: xr.Dataset) -> Figure:
    """Draw the loss against the largest exponent by optimiser, and their correlation.

    `comparison` is the Dataset of `reproduction.populations.optimizers`.
    """
    optimizers, groups = comparison["optimizer"].values, comparison["architecture"].values
    n_rows = len(groups)
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.7 * n_rows + 3.0), layout="constrained")
    above, below = np.array(fig.subfigures(2, 1, height_ratios=(1.7 * n_rows, 2.6)))
    axes = above.subplots(n_rows, len(optimizers), squeeze=False, sharex="row", sharey="row")
    for row, group in zip(axes, groups, strict=True):
        of_group = comparison.sel(architecture=group)
        x, y = of_group["spectrum_statistic"].sel(statistic=SHOWN), of_group["final_loss"]
        for ax, optimizer in zip(row, optimizers, strict=True):
            _points(ax, of_group.sel(optimizer=optimizer), str(group))
            ax.set(xlim=robust_limits(x.values), ylim=robust_limits(y.values))
        row[0].set_ylabel(f"{architecture_style(str(group)).label}\n{LOSS_LABEL}")
    name, unit = STATISTIC_LABELS[SHOWN]
    for ax in axes[-1]:
        ax.set_xlabel(f"{name} [{unit}]")
    coefficients, differences = below.subplots(1, 2)
    _intervals(coefficients, comparison, "spearman")
    coefficients.set(ylabel="Spearman's ρ with the loss", ylim=(-1.05, 1.05))
    _intervals(differences, comparison, "difference")
    differences.set_ylabel(f"ρ minus that of {OPTIMIZER_LABELS[comparison.attrs['reference']]}")
    letter_panels([*axes.flat, coefficients, differences], fontsize=7)
    legend_below(fig, [coefficients], columns=4)
    return fig


def _points(ax: Axes, networks: xr.Dataset, group: str) -> None:
    """Draw the networks of one architecture and optimiser as points, with their rank correlation."""
    x, y = networks["spectrum_statistic"].sel(statistic=SHOWN).values, networks["final_loss"].values
    style = architecture_style(group)
    ax.scatter(x, y, s=0.6 * POINT_SIZE, color=style.color, marker=style.marker, linewidths=0, alpha=0.8)
    found, optimizer = networks.sel(statistic=SHOWN), str(networks["optimizer"].values)
    name = OPTIMIZER_LABELS.get(optimizer, optimizer).partition(",")[0]
    coefficient = f"{float(found['spearman']):.2f}".replace("-", "−")
    ax.set_title(f"{name}: ρ = {coefficient}, n = {int(found['n_used'])}", fontsize=7)


def _intervals(ax: Axes, comparison: xr.Dataset, name: str) -> None:
    """Draw values with their intervals by optimiser, next to each other for each architecture and statistic."""
    optimizers = comparison["optimizer"].values
    series = [(str(g), str(s)) for g in comparison["architecture"].values for s in comparison["statistic"].values]
    offsets = 0.14 * (np.arange(len(series)) - (len(series) - 1) / 2)
    for offset, (group, statistic) in zip(offsets, series, strict=True):
        own = comparison.sel(architecture=group, statistic=statistic)
        values, low, high = (own[f"{name}{end}"].values for end in ("", "_low", "_high"))
        style = architecture_style(group)
        look: Keywords = {"color": style.color, "marker": style.marker, "fillstyle": STATISTIC_FILLS[statistic]}
        # By rounding, an end of a bootstrap interval can be on the wrong side of the value.
        errors = np.maximum([values - low, high - values], 0)
        label = f"{style.label}, {STATISTIC_LABELS[statistic][0]}"
        ax.errorbar(
            np.arange(len(values)) + offset, values, errors, linestyle="none", elinewidth=0.8, label=label, **look
        )
    zero_line(ax)
    ax.set_xticks(
        range(len(optimizers)), [OPTIMIZER_LABELS.get(str(o), str(o)).replace(", ", ",\n") for o in optimizers]
    )
