"""Flips of inputs where states expand: figures 4.3 to 4.5 and 4.D."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.panels import legend_below, letter_panels
from lyapunov_pkg.reproduction.figures.presentation import RANKING_LABELS
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from lyapunov_pkg.reproduction.records import Store, figure

OUTPUTS = ("input", "shown_input", "logits", "label", "pixel")
RANKING_LOOKS = {
    "expansion": ("#0072B2", "o"),
    "expansion_settled": ("#56B4E9", "o"),
    "transposed": ("#D55E00", "v"),
    "transposed_settled": ("#F0A080", "v"),
    "mean_expansion": ("#999999", "P"),
    "gradient": ("#009E73", "s"),
    "intensity": ("#CC79A7", "^"),
    "random": ("#E69F00", "D"),
}
COMPARISON_TITLES = {
    "random": "random pixels",
    "same_steps": "pixels ranked in other images",
    "later": "random pixels, later steps only",
}
CHOICE_LABELS = {"none": "original image", "expansion": "flipped at the largest R values"}
RANDOM_COLORS = ("#B2182B", "#D6604D", "#F4A582", "#FDDB9D")  # red to yellow, as in the text's figure 4.5


@figure(
    stores={"flips": Store("results/gradients/flips.zarr.zip", ("mean_log_r", "running_exponent"))},
    caption=(
        "(a) Logarithm of the first R value of one input over the sequence, and the first finite-time exponent. (b) "
        "Means over the first R values, in descending order."
    ),
)
def fig_4_3(flips: xr.Dataset) -> Figure:
    """Draw the R values of one input: by step, with the running first exponent, and in descending order.

    `flips` is the Dataset of `lyapunov_pkg.reproduction.gradients.input_flips`.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 2.8), layout="constrained")
    by_step, ordered = fig.subplots(1, 2)
    time = flips["time"].values
    by_step.plot(time, flips["mean_log_r"].isel(n_averaged=0), color="0.6", linewidth=0.7, label="log of first R value")
    by_step.plot(time, flips["running_exponent"], color="#D55E00", label="first finite-time exponent")
    by_step.set(title="(a) one input", xlabel="step", ylabel="log R [nats/step]")
    for color, n_averaged in zip(
        ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), flips["n_averaged"].values, strict=False
    ):
        values = np.sort(flips["mean_log_r"].sel(n_averaged=n_averaged).values)[::-1]
        name = "first R value" if n_averaged == 1 else f"mean of the first {n_averaged}"
        ordered.plot(time, values, color=color, label=name)
    ordered.set(title="(b) in descending order", xlabel="rank of the step", ylabel="mean log R [nats/step]")
    for ax in (by_step, ordered):
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
        ax.legend()
    return fig


@figure(
    stores={"flips": Store("results/gradients/flips.zarr.zip", ("loss", "loss_ranked", "loss_random"))},
    caption=(
        "Increase of the loss by flips of pixels. (a) Pixels of the largest first R value and random pixels, in the "
        "images of the text's test and for the best network. (b) All rankings, images and networks."
    ),
)
def fig_4_4(flips: xr.Dataset) -> Figure:
    """Draw the increase of the loss by number of flipped pixels, for every image and as means.

    `flips` is the Dataset of `lyapunov_pkg.reproduction.gradients.input_flips`.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.2), layout="constrained")
    each, means = fig.subplots(1, 2)
    places = np.arange(flips.sizes["n_flips"])
    ranked = flips["loss_ranked"] - flips["loss"]
    random = (flips["loss_random"] - flips["loss"]).transpose("n_flips", "image", "draw", "variant")
    of_text = {"variant": _best(flips), "image": slice(flips.attrs["n_images_text"])}
    rises = {"expansion": ranked.sel(ranking="expansion").isel(of_text).transpose("n_flips", "image").values}
    rises["random"] = random.isel(of_text).values.reshape(len(places), -1)
    for shift, (name, values) in zip((-0.15, 0.15), rises.items(), strict=True):
        color, marker = RANKING_LOOKS[name]
        spread = np.linspace(-0.1, 0.1, values.shape[1])
        alpha = 0.8 if name == "expansion" else 0.15
        x = np.broadcast_to(places[:, None] + shift + spread, values.shape)
        each.plot(x.ravel(), values.ravel(), marker, color=color, markersize=2, alpha=alpha, markeredgewidth=0)
        each.plot(places, values.mean(1), color=color, label=RANKING_LABELS[name])
    each.set(title="(a) each image of the dissertation's test", ylabel="increase of the loss [nats]")
    for name in (*flips["ranking"].values, "random"):
        color, marker = RANKING_LOOKS[name]
        over_images = (random.mean("draw") if name == "random" else ranked.sel(ranking=name)).mean("variant")
        error = over_images.std("image", ddof=1) / np.sqrt(flips.sizes["image"])
        look = {"color": color, "marker": marker, "markersize": 3, "elinewidth": 0.7, "capsize": 1.5}
        means.errorbar(places, over_images.mean("image"), error, label=RANKING_LABELS[name], **look)
    means.set(title="(b) means ± standard error over images", ylabel="increase of the loss [nats]")
    for ax in (each, means):
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
        ax.set_xlabel("number of flipped pixels")
        ax.set_xticks(places, [str(count) for count in flips["n_flips"].values])
    legend_below(fig, [each, means], columns=4)
    return fig


def _best(flips: xr.Dataset) -> int:
    """Return the index of the network of lowest validation loss among those in the store."""
    return int(flips.attrs["best_position"])


@figure(
    stores={"flips": Store("results/gradients/flips.zarr.zip", ("excess", "excess_error"))},
    chapter=4,
    caption=(
        "Excess of the loss by flips of ranked pixels over flips of as many other pixels, as mean over images and "
        "networks with 95% intervals over images. The other pixels are random pixels, the pixels that rank highest "
        "in other images (which are as early in the sequence), and random pixels if both choices exclude the first "
        "steps."
    ),
)
def fig_extra_flip_comparisons(flips: xr.Dataset) -> Figure:
    """Draw the excess of the loss by flips over each comparison, by number of flips and ranking.

    `flips` is the Dataset of `lyapunov_pkg.reproduction.gradients.input_flips`.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.2), layout="constrained")
    comparisons = flips["comparison"].values
    axes = fig.subplots(1, len(comparisons), sharey=True)
    places = np.arange(flips.sizes["n_flips"])
    rankings = [name for name in RANKING_LOOKS if name in flips["ranking"].values]
    for ax, letter, comparison in zip(axes, "abc", comparisons, strict=True):
        for index, name in enumerate(rankings):
            color, marker = RANKING_LOOKS[name]
            shown = flips.sel(comparison=comparison, ranking=name)
            look = {"color": color, "marker": marker, "markersize": 3, "elinewidth": 0.7, "capsize": 1.5}
            x = places + 0.08 * (index - (len(rankings) - 1) / 2)
            ax.errorbar(x, shown["excess"], 1.96 * shown["excess_error"], label=RANKING_LABELS[name], **look)
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
        ax.set(title=f"({letter}) {COMPARISON_TITLES[comparison]}", xlabel="number of flipped pixels")
        ax.set_xticks(places, [str(count) for count in flips["n_flips"].values], fontsize=6)
    axes[0].set_ylabel("excess of the loss [nats]")
    legend_below(fig, [axes[0]], columns=4)
    return fig


@figure(
    stores={"flips": Store("results/gradients/flips.zarr.zip", OUTPUTS)},
    caption=(
        "Images before and after flips of the pixels with the largest first R values, and the outputs of the "
        "network, also for random pixels."
    ),
)
def fig_4_5(flips: xr.Dataset) -> Figure:
    """Draw outputs before and after flips, for a recognised image and, if there is one, for an unrecognised image.

    `flips` is the Dataset of `lyapunov_pkg.reproduction.gradients.input_flips`.
    """
    return _outputs(flips, _examples(flips))


@figure(
    stores={"flips": Store("results/gradients/flips.zarr.zip", OUTPUTS)},
    caption="As figure 4.5, for other images.",
)
def fig_4_d(flips: xr.Dataset) -> Figure:
    """Draw `fig_4_5` for other images."""
    shown = set(_examples(flips))
    return _outputs(flips, [image for image in range(flips.sizes["image"]) if image not in shown][:4])


def _examples(flips: xr.Dataset) -> list[int]:
    """Return the first recognised and the first unrecognised image, or two of one kind if there is only one kind."""
    right = flips["logits"].sel(choice="none").argmax("class").values == flips["label"].values
    kinds = [np.flatnonzero(right), np.flatnonzero(~right)]
    return [int(kind[0]) for kind in kinds if len(kind)] if all(map(len, kinds)) else [0, 1][: len(right)]


def _outputs(flips: xr.Dataset, images: Sequence[int]) -> Figure:
    """Draw a row for each image: the original, the image with flips where states expand most, and the outputs."""
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.7 * len(images) + 0.6), layout="constrained")
    axes = fig.subplots(len(images), 3, squeeze=False, width_ratios=(1, 1, 3.8))
    colors = {"none": "black", "expansion": "#0072B2"}
    colors |= dict(zip(flips["choice"].values[2:], RANDOM_COLORS * flips.sizes["choice"], strict=False))
    for row, image in enumerate(images):
        of_image = flips.isel(image=image)
        original, flipped, bars = axes[row]
        for ax, values, title in (
            (original, of_image["input"], f"digit {of_image['label'].item()}"),
            (flipped, of_image["shown_input"], f"{flips.attrs['n_flips_shown']} flips, largest R"),
        ):
            ax.imshow(_image(values.values, flips), vmin=0, vmax=1)
            ax.set(title=title, xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        width = 0.85 / flips.sizes["choice"]
        for index, (choice, color) in enumerate(colors.items()):
            name = CHOICE_LABELS.get(choice, choice.replace("random", "random flips, draw"))
            x = flips["class"].values + (index - (len(colors) - 1) / 2) * width
            bars.bar(x, of_image["logits"].sel(choice=choice), width, color=color, label=name)
        bars.axhline(0, color="0.6", linewidth=0.6)
        bars.set(ylabel="output", xticks=flips["class"].values)
    axes[-1, 2].set_xlabel("digit")
    letter_panels(axes.flat)
    legend_below(fig, axes[:, 2], columns=3)
    return fig


def _image(values: np.ndarray, flips: xr.Dataset) -> np.ndarray:
    """Return the image (rows, columns) of pixels (time,) in the order of the sequence."""
    image = np.empty_like(values)
    image[flips["pixel"].values] = values
    return image.reshape(flips.attrs["image_shape"])
