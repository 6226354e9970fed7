"""Alignment of Lyapunov vectors with gradients: figures 4.1, 4.2 and C2, and one for covariant vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import lgamma, pi

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.panels import legend_below, letter_panels
from lyapunov_pkg.reproduction.figures.presentation import ALIGNED_LABELS
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from lyapunov_pkg.reproduction.records import Store, figure
from lyapunov_pkg.reproduction.tables.dissertation import DISSERTATION_FIGURE_4_1

DENSITIES = ("alignment_density", "alignment_std")
BY_INDEX = ("alignment_std_by_index",)
# Lyapunov vectors and singular vectors: those of the dissertation's programs, and those of algorithm 1.
READINGS = (("dissertation", "right"), ("tangent", "left"))
LATER_READINGS = (("settled", "left"), ("settled", "right"), ("covariant", "left"), ("covariant", "right"))
Readings = Sequence[tuple[str, str]]
EPOCH_COLORS = ("#E69F00", "#0072B2")
STEP_COLORS = ListedColormap(colormaps["plasma"](np.linspace(0, 0.92, 256)))
NULL_LOOK = {"color": "#D55E00", "linewidth": 0.8, "linestyle": "--"}


@figure(
    stores={"alignment": Store("results/gradients/alignment.zarr.zip", DENSITIES)},
    caption=(
        "Alignment of the first singular vectors of the recurrent gradient, at all steps, with the first, last and "
        "random Q vectors, before and after training, for each kind of initial weights. Standard deviations (as "
        "mean and standard deviation over networks) are given with that of random frames. Q of Jᵀ Q and right "
        "singular vectors are those of the dissertation's programs, Q of J Q that of algorithm 1."
    ),
)
def fig_4_1(alignment: xr.Dataset) -> Figure:
    """Draw the distribution of the alignment of the first singular vectors with first, last and random Q vectors.

    `alignment` is the Dataset of `reproduction.gradients.alignment`. Rows are two readings of the text, each with all
    kinds of initial weights. `table_extra_alignment` has the numbers of all readings.
    """
    return _distributions(alignment, READINGS, "first", DISSERTATION_FIGURE_4_1)


@figure(
    stores={"alignment": Store("results/gradients/alignment.zarr.zip", DENSITIES)},
    caption=(
        "As figure 4.1, for the last singular vectors. A gradient over t steps has at most t nonzero singular "
        "values, so that these vectors belong to a null space."
    ),
)
def fig_4_c2(alignment: xr.Dataset) -> Figure:
    """Draw `fig_4_1` for the last singular vectors."""
    return _distributions(alignment, READINGS, "last", {})


@figure(
    stores={"alignment": Store("results/gradients/alignment.zarr.zip", DENSITIES)},
    chapter=4,
    caption=(
        "As figure 4.1, in the second pass over the image: Q vectors after a warm-up pass, and covariant Lyapunov "
        "vectors."
    ),
)
def fig_extra_clv_alignment(alignment: xr.Dataset) -> Figure:
    """Draw `fig_4_1` for covariant vectors, and for Q vectors in the same pass over the sequence."""
    return _distributions(alignment, LATER_READINGS, "first", {})


def _rows(alignment: xr.Dataset, readings: Readings) -> list[tuple[xr.Dataset, str]]:
    """Return the data of each row of panels with its label: readings, and kinds of initial weights in each."""
    weights = alignment["weights"].values
    return [
        (
            alignment.sel(vectors=vectors, side=side).isel(variant=weights == kind),
            f"{kind} weights\n{ALIGNED_LABELS[vectors]}\n{side} singular vectors",
        )
        for vectors, side in readings
        for kind in sorted(set(weights.tolist()))
    ]


def _distributions(
    alignment: xr.Dataset, readings: Readings, modes: str, printed: Mapping[str, tuple[float, float]]
) -> Figure:
    """Draw densities of alignment: a row for each reading and kind of weights, a column for each group of vectors."""
    null = alignment.attrs["null_std"]
    rows = _rows(alignment, readings)
    groups = alignment["group"].values
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.4 * len(rows) + 1), layout="constrained")
    axes = fig.subplots(len(rows), len(groups), sharex=True, sharey="row", squeeze=False)
    centres = alignment["alignment"].values
    edges = np.linspace(-1, 1, len(centres) + 1)
    for row, (of_row, label) in enumerate(rows):
        for column, group in enumerate(groups):
            ax = axes[row, column]
            shown = of_row.sel(modes=modes, group=group)
            for color, epoch in zip(EPOCH_COLORS, alignment["epoch"].values, strict=False):
                density = shown["alignment_density"].sel(epoch=epoch).mean("variant")
                ax.stairs(density, edges, color=color, label=f"epoch {epoch}", linewidth=1)
            random = f"random frames, σ = {null:.3f}"
            ax.plot(centres, _null_density(centres, alignment.attrs["hidden_size"]), **NULL_LOOK, label=random)
            ax.text(0.02, 0.98, _deviations(shown["alignment_std"]), transform=ax.transAxes, va="top", fontsize=6)
            if row == 0:
                note = "\ndissertation (128 units): {:.3f}, {:.3f}".format(*printed[group]) if group in printed else ""
                ax.set_title(f"{group} {alignment.attrs['n_vectors']} vectors{note}", fontsize=7)
        axes[row, 0].set_ylim(0, 1.4 * max(ax.get_ylim()[1] for ax in axes[row]))  # space for the numbers
        axes[row, 0].set_ylabel(f"{label}\ndensity", fontsize=7)
    reach = min(1, 8 * null)
    axes[0, 0].set_xlim(-reach, reach)
    for ax in axes[-1]:
        ax.set_xlabel(f"alignment with the {modes} {alignment.attrs['n_modes']}")
    letter_panels(axes.flat, inside=True)
    legend_below(fig, axes.flat, columns=3)
    return fig


def _deviations(stds: xr.DataArray) -> str:
    """Return standard deviations (variant, epoch) as text, one line for each epoch."""
    lines = []
    for epoch, values in zip(stds["epoch"].values, stds.transpose("epoch", "variant").values, strict=True):
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        lines.append(f"epoch {epoch}: σ = {np.mean(values):.3f}{spread}")
    return "\n".join(lines)


def _null_density(x: np.ndarray, size: int) -> np.ndarray:
    """Return the density of the cosine of two independent directions, uniform on the sphere in `size` dimensions."""
    log_constant = lgamma(size / 2) - lgamma((size - 1) / 2) - 0.5 * np.log(pi)
    return np.exp(log_constant) * (1 - x**2) ** ((size - 3) / 2)


@figure(
    stores={"alignment": Store("results/gradients/alignment.zarr.zip", BY_INDEX)},
    caption=(
        "Standard deviation of the alignment of Q vectors with the first and the last singular vectors of the "
        "recurrent gradient, by index of the Q vector and step, before and after training, for each kind of initial "
        "weights."
    ),
)
def fig_4_2(alignment: xr.Dataset) -> Figure:
    """Draw the standard deviation of alignment by index of the Q vector and step, for first and last singular vectors.

    `alignment` is the Dataset of `lyapunov_pkg.reproduction.gradients.alignment`; the values are means over networks.
    Rows are those of `fig_4_1`.
    """
    rows = _rows(alignment, READINGS)
    columns = [(modes, epoch) for modes in alignment["modes"].values for epoch in alignment["epoch"].values]
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.4 * len(rows) + 1), layout="constrained")
    axes = fig.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    steps = alignment["time"].values
    scale = Normalize(steps[0], steps[-1])
    for row, (of_row, label) in enumerate(rows):
        stds = xr.apply_ufunc(np.sqrt, (of_row["alignment_std_by_index"] ** 2).mean("variant"))
        for column, (modes, epoch) in enumerate(columns):
            ax = axes[row, column]
            values = stds.sel(modes=modes, epoch=epoch).transpose("time", "exponent")
            index, step = np.meshgrid(values["exponent"], values["time"])
            ax.scatter(index, values, s=2, c=STEP_COLORS(scale(step.ravel())), linewidths=0)
            ax.axhline(alignment.attrs["null_std"], color="#009E73", linewidth=1, label="random frames, 1/√H")
            if row == 0:
                ax.set_title(f"{modes} {alignment.attrs['n_modes']} singular\nvectors, epoch {epoch}")
        axes[row, 0].set_ylabel(f"{label}\nσ of alignment", fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("index of Q vector")
    axes[0, 0].set_ylim(0, 1.12 * axes[0, 0].get_ylim()[1])  # space for the letters
    for step in (steps[0], steps[len(steps) // 2], steps[-1]):
        axes[0, 0].scatter([], [], s=8, color=STEP_COLORS(scale(step)), label=f"step {step}")
    letter_panels(axes.flat, inside=True)
    legend_below(fig, axes.flat, columns=4)
    return fig
