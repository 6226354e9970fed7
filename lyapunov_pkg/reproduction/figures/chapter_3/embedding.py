"""The autoencoder, and AeLLE of the networks of each task with an example: figures 3.6 to 3.9."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lyapunov_pkg.reproduction.figures.chapter_3.aelle_plane import AELLE_PC1, AELLE_PC2, MEDIAN_LABEL, set_aelle_axes
from lyapunov_pkg.reproduction.figures.chapter_3.variables import EMBEDDING
from lyapunov_pkg.reproduction.figures.panels import (
    ANNOTATION_SIZE,
    NOTE_SIZE,
    first_seed,
    held_out,
    legend_under,
    note_outside,
    scatter_by_architecture,
    scatter_by_error,
    scatter_by_level,
    shade_predicted_low,
    stacked_histogram,
    threshold_line,
)
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.records import Shards, Store, figure

EXAMPLE_QUANTILES = {"low": 0.1, "middle": 0.5, "high": 0.9}  # of the errors of free runs
EXAMPLE_SPACING = 3.2  # from one signal to the next; targets are in [-1, 1]
TEXT_ROWS, TEXT_COLUMNS = 10, 10  # of characters of an example
VISIBLE = {" ": "␣", "\n": "↵", "\t": "→", "\r": "←"}


@figure(
    stores={
        "final": Store(
            "results/aelle/char_rnn_sizes_final.zarr.zip",
            (*EMBEDDING, "f1", "lyapunov_exponent", "reconstructed_exponent"),
        )
    },
    caption=(
        "(a) The autoencoder, with the spectrum of a held-out network and its reconstruction (the original in "
        "grey). (b) AeLLE of CharRNN's {n_test[final]} test networks by final error, with the linear classifier on "
        "the first principal component."
    ),
)
def fig_3_6(final: xr.Dataset) -> Figure:
    """Draw the autoencoder with a spectrum of a test network, and AeLLE of test networks with the classifier on PC1."""
    data, seeds = first_seed(final)
    networks = held_out(data)
    verdict = data.sel(classifier="aelle")
    threshold = float(verdict["threshold"])
    x, y = networks["aelle_component"].values[:, :2].T

    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    diagram, embedding = fig.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_autoencoder(diagram, networks.isel(network=0), data.attrs["encoder_widths"])
    set_aelle_axes(embedding, np.stack((x, y)), [threshold])
    shade_predicted_low(embedding, threshold, bool(verdict["low_is_above"]))
    scatter_by_error(embedding, x, y, networks["low_error"].values)
    threshold_line(embedding, threshold, MEDIAN_LABEL)
    note_outside(embedding, x, y)
    embedding.set_title(f"(b) {len(x)} test networks{seeds}: F1 {float(verdict['f1']):.2f}")
    legend_under(embedding, columns=2)
    return fig


def _draw_autoencoder(ax: Axes, network: xr.Dataset, widths: Sequence[int]) -> None:
    """Draw the autoencoder's layers as bars of heights by width, between a spectrum and its reconstruction."""
    layers = [*widths, *widths[-2::-1]]
    places = np.linspace(0.3, 0.7, len(layers))
    heights = 0.08 + 0.42 * np.log2(layers) / np.log2(max(layers))
    middle, latent = 0.58, len(widths) - 1
    for number, (place, height, width) in enumerate(zip(places, heights, layers, strict=True)):
        color = "0.35" if number == latent else "0.75"
        ax.add_patch(Rectangle((place - 0.012, middle - height / 2), 0.024, height, color=color, linewidth=0))
        ax.text(place, middle + height / 2 + 0.02, f"{width}", ha="center", va="bottom", fontsize=NOTE_SIZE)
    for side, name in ((latent / 2, "encoder φ"), (1.5 * latent, "decoder ψ")):
        ax.text(np.interp(side, range(len(layers)), places), 0.97, name, ha="center", va="top")
    arrow = {"arrowstyle": "->", "linewidth": 0.8}
    for start, end in (((0.235, middle), (0.275, middle)), ((0.725, middle), (0.765, middle))):
        ax.annotate("", end, start, arrowprops=arrow)
    latent_bottom = (places[latent], middle - heights[latent] / 2 - 0.01)
    for place, text in ((0.3, "linear prediction ξ:\nloss T̂"), (0.7, "principal components:\nAeLLE")):
        ax.annotate("", (place, 0.2), latent_bottom, arrowprops=arrow)
        ax.text(place, 0.18, text, ha="center", va="top")
    for left, variable, name in (
        (0.02, "lyapunov_exponent", "spectrum Z"),
        (0.78, "reconstructed_exponent", "reconstruction Ẑ"),
    ):
        small = ax.inset_axes((left, middle - 0.15, 0.2, 0.3))
        small.plot(network["lyapunov_exponent"].values, color="0.75", linewidth=2.5)
        small.plot(network[variable].values, color="black")
        small.set(xticks=[], yticks=[], xlabel=name)
    ax.set(xlim=(0, 1), ylim=(0, 1), title="(a) the autoencoder")
    ax.axis("off")


@figure(
    stores={
        "final": Store("results/aelle/target_learning_final.zarr.zip", EMBEDDING),
        "free_runs": Shards("training", "target_learning", ("target", "free_output", "validation_loss", "diverged")),
    },
    caption=(
        "(a) Target and output over the last period of the free runs of three networks, with low, middle and high "
        "error. (b) AeLLE of the {n_test[final]} test networks by final error, with the median of its first "
        "principal component. (c) AeLLE of all networks by the gain g."
    ),
)
def fig_3_7(final: xr.Dataset, free_runs: xr.Dataset) -> Figure:
    """Draw free runs with low, middle and high error, and AeLLE of test networks by error and of all networks by g.

    `final` is the final experiment's Dataset, `free_runs` the training store (target and free_output (variant, time),
    validation_loss (variant, epoch), diverged (variant)).
    """

    def by_gain(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        scatter_by_level(ax, x, y, final["init_param"].values, "g")

    return _aelle_beside_an_example(final, free_runs, _example_free_runs, by_gain, columns=4)


@figure(
    stores={
        "final": Store("results/aelle/char_rnn_sizes_final.zarr.zip", EMBEDDING),
        "text": Store("results/datasets/char_rnn.zarr.zip", ("test_input", "test_target", "alphabet")),
    },
    caption=(
        "(a) A text of the task and, shaded, the character to be predicted last. (b) AeLLE of the {n_test[final]} "
        "test networks by final error, with the median of its first principal component. (c) AeLLE of all networks by"
        " hidden size."
    ),
)
def fig_3_8(final: xr.Dataset, text: xr.Dataset) -> Figure:
    """Draw a text of the task, and AeLLE of test networks by error and of all networks by hidden size.

    `final` is the final experiment's Dataset, `text` the task's (test_input and test_target (test_sample, time),
    alphabet).
    """

    def by_size(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        scatter_by_level(ax, x, y, final["hidden_size"].values, "hidden size")

    return _aelle_beside_an_example(final, text, _example_text, by_size, columns=2)


@figure(
    stores={
        "final": Store("results/aelle/smnist_final.zarr.zip", EMBEDDING),
        "examples": Store("results/datasets/smnist.zarr.zip", ("test_input", "test_label")),
    },
    caption=(
        "(a) An input of the task, read row by row. (b) AeLLE of the {n_test[final]} test networks by final error, "
        "with the median of its first principal component. (c) AeLLE of all networks by architecture. (d) The most "
        "crowded part of (c), enlarged."
    ),
)
def fig_3_9(final: xr.Dataset, examples: xr.Dataset) -> Figure:
    """Draw an input of the task, and AeLLE of test networks by error and of all networks by architecture.

    `final` is the final experiment's Dataset, `examples` the task's (test_input (test_sample, time, feature)).
    """

    def by_architecture(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        scatter_by_architecture(ax, x, y, final["architecture"].values)

    return _aelle_beside_an_example(final, examples, _example_image, by_architecture, columns=3, zoom=True)


def _aelle_beside_an_example(
    final: xr.Dataset,
    examples: xr.Dataset,
    draw_example: Callable[[Axes, xr.Dataset], None],
    scatter: Callable[[Axes, np.ndarray, np.ndarray], None],
    columns: int,
    zoom: bool = False,
) -> Figure:
    """Draw an example of the task, and AeLLE of the test networks and of all networks.

    The test networks are drawn by error below a histogram. `scatter` draws all networks, with a legend of `columns`
    columns. With `zoom`, the most crowded part is also shown enlarged."""
    heights = (1, 3, 3) if zoom else (1, 3)
    fig = Figure(figsize=(DOUBLE_WIDTH, 5.6 if zoom else 3.1), layout="constrained")
    grid = fig.add_gridspec(len(heights), 3, height_ratios=heights, width_ratios=(0.65 if zoom else 0.8, 1, 1))
    draw_example(fig.add_subplot(grid[:2, 0]), examples)
    by_error = fig.add_subplot(grid[1, 1])
    histogram = fig.add_subplot(grid[0, 1], sharex=by_error)
    whole = fig.add_subplot(grid[:2, 2], sharex=by_error, sharey=by_error)
    aelle_panels((histogram, by_error, whole), final, scatter, "bc", columns)
    if zoom:
        everything = final["aelle_component"].isel(seed=0).values[:, :2].T
        _enlarge_crowded_part(whole, fig.add_subplot(grid[2, :]), everything, scatter)
    return fig


def aelle_panels(
    axes: tuple[Axes, Axes, Axes],
    final: xr.Dataset,
    scatter: Callable[[Axes, np.ndarray, np.ndarray], None],
    letters: str,
    columns: int,
) -> None:
    """Draw AeLLE of the test networks by error below a histogram, and of all networks by `scatter`.

    Args:
        axes: axes of the histogram, of the test networks and of all networks, with the same limits.
        final: the Dataset of `reproduction.prediction.final`.
        scatter: function that draws points (x, y), each (network,).
        letters: letters of the histogram and of the panel of all networks.
        columns: number of columns of the legend of all networks.
    """
    histogram, by_error, whole = axes
    data, seeds = first_seed(final)
    networks = held_out(data)
    x, y = networks["aelle_component"].values[:, :2].T
    everything = data["aelle_component"].values[:, :2].T
    median = float(data["threshold"].sel(classifier="aelle"))
    low_error = networks["low_error"].values

    scatter_by_error(by_error, x, y, low_error)
    scatter(whole, *everything)
    for ax, points in ((by_error, (x, y)), (whole, everything)):
        set_aelle_axes(ax, everything, [median])
        note_outside(ax, *points)
    threshold_line(by_error, median, MEDIAN_LABEL)
    threshold_line(whole, median, "")
    stacked_histogram(histogram, x, low_error, by_error.get_xlim())
    threshold_line(histogram, median, "")
    histogram.tick_params(labelbottom=False)
    histogram.set(title=f"({letters[0]}) {len(x)} test networks{seeds}")
    whole.set_title(f"({letters[1]}) all {data.sizes['network']} networks")
    legend_under(by_error, columns=2)
    legend_under(whole, columns=columns)


def _enlarge_crowded_part(
    whole: Axes, enlarged: Axes, points: np.ndarray, scatter: Callable[[Axes, np.ndarray, np.ndarray], None]
) -> None:
    """Draw the most crowded part of a panel of `points` (2, network) enlarged, and frame it in the panel."""
    limits = np.array([whole.get_xlim(), whole.get_ylim()])
    crowd = points[:, most_crowded(points, limits)]
    low, high = crowd.min(axis=1), crowd.max(axis=1)
    margin = 0.08 * (high - low) + 0.004 * np.diff(limits, axis=1)[:, 0]
    (left, bottom), (right, top) = low - margin, high + margin
    scatter(enlarged, *points)
    enlarged.set(xlim=(left, right), ylim=(bottom, top), xlabel=AELLE_PC1, ylabel=AELLE_PC2)
    enlarged.set_title(f"(d) the {crowd.shape[1]} networks in the box of (c)")
    whole.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, linewidth=0.8, zorder=4))


def most_crowded(points: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return a mask (n,) of the `points` (2, n) in the most crowded square, an eighth of the panel wide.

    The square is centred on a point. `limits` (2, 2) are the lowest and highest x, and y, of the panel.
    """
    scaled = (points - limits[:, :1]) / np.diff(limits, axis=1)
    near = np.abs(scaled[:, :, None] - scaled[:, None, :]).max(axis=0) <= 1 / 16
    return near[np.argmax(near.sum(axis=1))]


def _example_image(ax: Axes, examples: xr.Dataset) -> None:
    image, label = examples["test_input"].values[0], int(examples["test_label"].values[0])
    steps, features = image.shape
    ax.imshow(image, cmap="gray_r", extent=(0.5, features + 0.5, steps + 0.5, 0.5))
    ax.set(xlabel="input feature (column)", ylabel="time step (row)", title=f"(a) an input; its label: {label}")


def _example_free_runs(ax: Axes, free_runs: xr.Dataset) -> None:
    """Draw target and output over the last period of free runs at quantiles of the errors, one below the other."""
    error = free_runs["validation_loss"].isel(epoch=-1).where(networks_that_count(free_runs)).values
    time = np.arange(free_runs.sizes["time"])
    for row, (name, share) in enumerate(EXAMPLE_QUANTILES.items()):
        shown = int(np.nanargmin(np.abs(error - np.nanquantile(error, share))))
        target, output = (free_runs[signal].values[shown] for signal in ("target", "free_output"))
        height = -EXAMPLE_SPACING * row
        ax.plot(time, target + height, color="0.6", linewidth=2.5, label="target")
        ax.plot(time, output + height, color="black", linewidth=0.8, label="free run")
        label = f"{name} error: {error[shown]:.2f}"
        ax.text(0, height + EXAMPLE_SPACING / 2, label, fontsize=ANNOTATION_SIZE, va="center")
    bottom = -EXAMPLE_SPACING * (len(EXAMPLE_QUANTILES) - 0.5)
    ax.set(xlabel="time step", yticks=[], ylim=(bottom, 0.65 * EXAMPLE_SPACING), title="(a) last period of free runs")
    ax.spines["left"].set_visible(False)
    legend_under(ax, columns=2)


def _example_text(ax: Axes, text: xr.Dataset) -> None:
    """Draw the last characters of a sequence, row by row, followed by the shaded character to predict."""
    sequence = np.append(text["test_input"].values[0], text["test_target"].values[0, -1])
    characters = text["alphabet"].values[sequence[-TEXT_ROWS * TEXT_COLUMNS - 1 :]]
    rows = -(-len(characters) // TEXT_COLUMNS)
    cells = np.zeros((rows, TEXT_COLUMNS))
    cells.flat[len(characters) - 1] = 1
    ax.imshow(cells, cmap="Greys", vmin=0, vmax=3)
    for place, character in enumerate(characters):
        row, column = divmod(place, TEXT_COLUMNS)
        ax.text(column, row, VISIBLE.get(character, character), ha="center", va="center", family="monospace")
    ax.set(xticks=[], yticks=[], title="(a) an input and its target")
    ax.set(xlabel="characters, row by row", ylabel="")
