"""Figures of chapter 4: Lyapunov vectors beside gradients, and inputs flipped where states expand."""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, pi
from string import ascii_lowercase

import numpy as np
import xarray as xr
from matplotlib import colormaps, rc_context
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.panels import legend_below
from lyapunov_pkg.reproduction.figures.presentation import RANKING_LABELS
from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH, PAPER_STYLE

Q_VECTORS = ("tangent", "dissertation")
VECTOR_LABELS = {
    "tangent": "Q of J Q",
    "dissertation": "Q of Jᵀ Q (eq. 4.11)",
    "settled": "Q of J Q, settled",
    "covariant": "covariant vectors",
}
# Standard deviations printed in figure 4.1 of the dissertation, before and after training, by group of Q vectors.
DISSERTATION_4_1 = {"first": (0.089, 0.200), "last": (0.089, 0.051), "random": (0.088, 0.067)}
EPOCH_COLORS = ("#E69F00", "#0072B2")
STEP_COLORS = ListedColormap(colormaps["plasma"](np.linspace(0, 0.92, 256)))
NULL_COLOR = "#D55E00"
RANKING_LOOKS = {
    "expansion": ("#0072B2", "o"),
    "mean_expansion": ("#56B4E9", "v"),
    "gradient": ("#009E73", "s"),
    "intensity": ("#CC79A7", "^"),
    "random": ("#E69F00", "D"),
}
CHOICE_LABELS = {"none": "as it is", "expansion": "flipped at the largest R values"}
RANDOM_COLORS = ("#B2182B", "#D6604D", "#F4A582", "#FDDB9D")  # red to yellow, as in the text's figure 4.5


@rc_context(PAPER_STYLE)
def fig_4_1(alignment: xr.Dataset) -> Figure:
    """Distribution of the alignment of the first singular vectors with first, last and random Q vectors.

    `alignment` is the Dataset of `reproduction.gradients.alignment`. Rows are the conventions of Q, and left and right
    singular vectors.
    """
    return _distributions(alignment, Q_VECTORS, "first", DISSERTATION_4_1)


@rc_context(PAPER_STYLE)
def fig_4_c2(alignment: xr.Dataset) -> Figure:
    """As `fig_4_1` for the last singular vectors."""
    return _distributions(alignment, Q_VECTORS, "last", {})


@rc_context(PAPER_STYLE)
def fig_extra_clv_alignment(alignment: xr.Dataset) -> Figure:
    """As `fig_4_1` for covariant vectors, beside Q vectors in the same pass over the sequence."""
    return _distributions(alignment, ("settled", "covariant"), "first", {})


def _distributions(
    alignment: xr.Dataset, vectors: Sequence[str], modes: str, printed: dict[str, tuple[float, float]]
) -> Figure:
    """Densities of alignment: a row for each kind of vectors and side, a column for each group of vectors."""
    null = alignment.attrs["null_std"]
    rows = [(name, side) for name in vectors for side in alignment["side"].values]
    groups = alignment["group"].values
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.5 * len(rows) + 0.7), layout="constrained")
    axes = fig.subplots(len(rows), len(groups), sharex=True, sharey="row")
    centres = alignment["alignment"].values
    edges = np.linspace(-1, 1, len(centres) + 1)
    for row, (name, side) in enumerate(rows):
        for column, group in enumerate(groups):
            ax = axes[row, column]
            shown = alignment.sel(vectors=name, side=side, modes=modes, group=group)
            for color, epoch in zip(EPOCH_COLORS, alignment["epoch"].values, strict=False):
                density = shown["alignment_density"].sel(epoch=epoch).mean("variant")
                ax.stairs(density, edges, color=color, label=f"epoch {epoch}", linewidth=1)
            random = f"random frames, σ = {null:.3f}"
            ax.plot(centres, _null_density(centres, alignment.attrs["hidden_size"]), **NULL_LOOK, label=random)
            ax.text(0.02, 0.98, _deviations(shown["alignment_std"]), transform=ax.transAxes, va="top", fontsize=6)
            if row == 0:
                note = "\ndissertation (128 units): {:.3f}, {:.3f}".format(*printed[group]) if group in printed else ""
                ax.set_title(f"{group} {alignment.attrs['n_vectors']} vectors{note}", fontsize=7)
        axes[row, 0].set_ylim(0, 1.4 * max(ax.get_ylim()[1] for ax in axes[row]))  # room for the numbers
        axes[row, 0].set_ylabel(f"{VECTOR_LABELS[name]}\n{side} singular vectors\ndensity", fontsize=7)
    reach = min(1, 8 * null)
    axes[0, 0].set_xlim(-reach, reach)
    for ax in axes[-1]:
        ax.set_xlabel(f"alignment with the {modes} {alignment.attrs['n_modes']}")
    legend_below(fig, axes.flat, columns=3)
    return fig


NULL_LOOK = {"color": NULL_COLOR, "linewidth": 0.8, "linestyle": "--"}


def _deviations(stds: xr.DataArray) -> str:
    """Standard deviations (variant, epoch) as text, one line for each epoch."""
    lines = []
    for epoch, values in zip(stds["epoch"].values, stds.transpose("epoch", "variant").values, strict=True):
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        lines.append(f"epoch {epoch}: σ = {np.mean(values):.3f}{spread}")
    return "\n".join(lines)


def _null_density(x: np.ndarray, size: int) -> np.ndarray:
    """Density of the cosine of two independent directions, uniform on the sphere in `size` dimensions."""
    log_constant = lgamma(size / 2) - lgamma((size - 1) / 2) - 0.5 * np.log(pi)
    return np.exp(log_constant) * (1 - x**2) ** ((size - 3) / 2)


@rc_context(PAPER_STYLE)
def fig_4_2(alignment: xr.Dataset) -> Figure:
    """Standard deviation of alignment by index of the Q vector and step, for first and last singular vectors.

    `alignment` is the Dataset of `lyapunov_pkg.reproduction.gradients.alignment`; networks are averaged.
    """
    stds = np.sqrt(np.square(alignment["alignment_std_by_index"]).mean("variant"))
    rows = [(name, side) for name in Q_VECTORS for side in alignment["side"].values]
    columns = [(modes, epoch) for modes in alignment["modes"].values for epoch in alignment["epoch"].values]
    fig = Figure(figsize=(DOUBLE_WIDTH, 1.4 * len(rows) + 0.6), layout="constrained")
    axes = fig.subplots(len(rows), len(columns), sharex=True, sharey=True)
    steps = alignment["time"].values
    scale = Normalize(steps[0], steps[-1])
    for row, (name, side) in enumerate(rows):
        for column, (modes, epoch) in enumerate(columns):
            ax = axes[row, column]
            values = stds.sel(vectors=name, side=side, modes=modes, epoch=epoch).transpose("time", "exponent")
            index, step = np.meshgrid(values["exponent"], values["time"])
            ax.scatter(index, values, s=2, c=STEP_COLORS(scale(step.ravel())), linewidths=0)
            ax.axhline(alignment.attrs["null_std"], color="#009E73", linewidth=1, label="random frames, 1/√H")
            if row == 0:
                ax.set_title(f"{modes} {alignment.attrs['n_modes']} singular\nvectors, epoch {epoch}")
        axes[row, 0].set_ylabel(f"{VECTOR_LABELS[name]}\n{side} singular vectors\nσ of alignment", fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("index of Q vector")
    axes[0, 0].set_ylim(bottom=0)
    for step in (steps[0], steps[len(steps) // 2], steps[-1]):
        axes[0, 0].scatter([], [], s=8, color=STEP_COLORS(scale(step)), label=f"step {step}")
    legend_below(fig, axes.flat, columns=4)
    return fig


@rc_context(PAPER_STYLE)
def fig_4_b1(participation: xr.Dataset) -> Figure:
    """Training loss of the first epochs, and the participation ratio of the gradient by step at some moments.

    `participation` is the Dataset of `reproduction.gradients.participation`; error bars are the standard deviation
    over initial states and networks.
    """
    moments = participation["update"].values
    n_columns = -(-(len(moments) + 1) // 2)
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.8), layout="constrained")
    axes = fig.subplots(2, n_columns).flat
    per_epoch = participation.attrs["updates_per_epoch"]
    loss = participation["batch_loss"]
    course = axes[0]
    course.plot(loss["batch"].values / per_epoch, loss.mean("variant"), color="0.5", linewidth=0.7)
    for moment in moments:
        course.axvline(moment / per_epoch, color="#0072B2", linewidth=0.7, linestyle=":")
    course.set(title="(a) training", xlabel="epoch", ylabel="training loss [nats]", ylim=(0, None))
    for ax, letter, moment in zip(axes[1:], ascii_lowercase[1:], moments, strict=False):
        of_moment = participation["participation_ratio"].sel(update=moment)
        over = ["variant", "sequence"]
        ax.errorbar(
            participation["time"].values,
            of_moment.mean(over),
            of_moment.std(over),
            color="#0072B2",
            marker="o",
            markersize=2.5,
            elinewidth=0.8,
        )
        ax.plot(participation["time"].values, 1 / participation["time"].values, color="0.6", linewidth=0.7, zorder=0)
        ax.set(title=f"({letter}) epoch {moment / per_epoch:.3g}", xlabel="step", ylim=(0, 1.05))
    for ax in (axes[1], axes[n_columns]):
        ax.set_ylabel("participation ratio")
    for ax in axes[len(moments) + 1 :]:
        ax.remove()
    return fig


@rc_context(PAPER_STYLE)
def fig_4_3(flips: xr.Dataset) -> Figure:
    """The R values of one input: by step, with the running first exponent, and in descending order.

    `flips` is the Dataset of `lyapunov_pkg.reproduction.gradients.input_flips`.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 2.8), layout="constrained")
    by_step, ordered = fig.subplots(1, 2)
    time = flips["time"].values
    by_step.plot(time, flips["mean_log_r"].isel(n_averaged=0), color="0.6", linewidth=0.7, label="log r, first")
    by_step.plot(time, flips["running_exponent"], color="#D55E00", label="first finite-time exponent")
    by_step.set(title="(a) one input", xlabel="step", ylabel="log r [nats/step]")
    for color, n_averaged in zip(
        ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), flips["n_averaged"].values, strict=False
    ):
        values = np.sort(flips["mean_log_r"].sel(n_averaged=n_averaged).values)[::-1]
        name = "first R value" if n_averaged == 1 else f"mean of the first {n_averaged}"
        ordered.plot(time, values, color=color, label=name)
    ordered.set(title="(b) in descending order", xlabel="rank of the step", ylabel="mean log r [nats/step]")
    for ax in (by_step, ordered):
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
        ax.legend()
    return fig


@rc_context(PAPER_STYLE)
def fig_4_4(flips: xr.Dataset) -> Figure:
    """Rise of the loss by number of flipped pixels: every image flipped by R values or at random, and all means.

    `flips` is the Dataset of `lyapunov_pkg.reproduction.gradients.input_flips`.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.2), layout="constrained")
    each, means = fig.subplots(1, 2)
    places = np.arange(flips.sizes["n_flips"])
    ranked = flips["loss_ranked"] - flips["loss"]
    random = (flips["loss_random"] - flips["loss"]).transpose("n_flips", "image", "draw")
    rises = {"expansion": ranked.sel(ranking="expansion").transpose("n_flips", "image").values}
    rises["random"] = random.values.reshape(len(places), -1)
    for shift, (name, values) in zip((-0.15, 0.15), rises.items(), strict=True):
        color, marker = RANKING_LOOKS[name]
        spread = np.linspace(-0.1, 0.1, values.shape[1])
        alpha = 0.8 if name == "expansion" else 0.15
        x = np.broadcast_to(places[:, None] + shift + spread, values.shape)
        each.plot(x.ravel(), values.ravel(), marker, color=color, markersize=2, alpha=alpha, markeredgewidth=0)
        each.plot(places, values.mean(1), color=color, label=RANKING_LABELS[name])
    each.set(title="(a) every flipped image", ylabel="rise of the loss [nats]")
    for name in (*flips["ranking"].values, "random"):
        color, marker = RANKING_LOOKS[name]
        over_images = random.mean("draw") if name == "random" else ranked.sel(ranking=name)
        error = over_images.std("image", ddof=1) / np.sqrt(flips.sizes["image"])
        look = {"color": color, "marker": marker, "markersize": 3, "elinewidth": 0.7, "capsize": 1.5}
        means.errorbar(places, over_images.mean("image"), error, label=RANKING_LABELS[name], **look)
    means.set(title="(b) mean over images, with its standard error", ylabel="rise of the loss [nats]")
    for ax in (each, means):
        ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
        ax.set_xlabel("number of flipped pixels")
        ax.set_xticks(places, [str(count) for count in flips["n_flips"].values])
    legend_below(fig, [each, means], columns=5)
    return fig


@rc_context(PAPER_STYLE)
def fig_4_5(flips: xr.Dataset) -> Figure:
    """Outputs before and after flips, of an image that is recognised and, if there is one, of one that is not.

    `flips` is the Dataset of `lyapunov_pkg.reproduction.gradients.input_flips`.
    """
    return _outputs(flips, _examples(flips))


@rc_context(PAPER_STYLE)
def fig_4_d(flips: xr.Dataset) -> Figure:
    """As `fig_4_5` for further images."""
    shown = set(_examples(flips))
    return _outputs(flips, [image for image in range(flips.sizes["image"]) if image not in shown][:4])


def _examples(flips: xr.Dataset) -> list[int]:
    """The first image whose digit is recognised, and the first whose digit is not; two of one kind, if all are so."""
    right = flips["logits"].sel(choice="none").argmax("class").values == flips["label"].values
    kinds = [np.flatnonzero(right), np.flatnonzero(~right)]
    return [int(kind[0]) for kind in kinds if len(kind)] if all(map(len, kinds)) else [0, 1][: len(right)]


def _outputs(flips: xr.Dataset, images: Sequence[int]) -> Figure:
    """One row for each image: as it is, flipped where states expand most, and the outputs of the network."""
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
            name = CHOICE_LABELS.get(choice, choice.replace("random", "random flips,"))
            x = flips["class"].values + (index - (len(colors) - 1) / 2) * width
            bars.bar(x, of_image["logits"].sel(choice=choice), width, color=color, label=name)
        bars.axhline(0, color="0.6", linewidth=0.6)
        bars.set(ylabel="output", xticks=flips["class"].values)
    axes[-1, 2].set_xlabel("digit")
    legend_below(fig, axes[:, 2], columns=3)
    return fig


def _image(values: np.ndarray, flips: xr.Dataset) -> np.ndarray:
    """The image (rows, columns) of pixels (time,) in the order of the sequence."""
    image = np.empty_like(values)
    image[flips["pixel"].values] = values
    return image.reshape(flips.attrs["image_shape"])
