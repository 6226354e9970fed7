"""Figures of chapter 3: PredNet, and the autoencoder embedding of Lyapunov spectra (AeLLE)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from lyapunov_pkg.plotting.panels import (
    ANNOTATION_SIZE,
    EXPONENT_LABEL,
    LOSS_LABEL,
    NOTE_SIZE,
    first_seed,
    held_out,
    label_spectrum_axes,
    legend_below,
    legend_under,
    note_outside,
    robust_limits,
    scatter_by_architecture,
    scatter_by_error,
    scatter_by_level,
    shade_predicted_low,
    shift_colors,
    shift_label,
    spectrum_line,
    stacked_histogram,
    threshold_line,
)
from lyapunov_pkg.plotting.presentation import (
    ARCHITECTURE_LABELS,
    CRITERION_LABELS,
    PREDICTOR_LABELS,
    STUDY_LABELS,
    in_display_order,
    shown_epochs,
)
from lyapunov_pkg.plotting.style import (
    DOUBLE_WIDTH,
    HIGH_ERROR_COLOR,
    LOW_ERROR_COLOR,
    PAPER_STYLE,
    architecture_style,
)
from lyapunov_pkg.spectra.statistics import (
    final_slope,
    initial_slope,
    maximum_exponent,
    number_above_zero,
    slope_width,
)

MEDIAN_LABEL = "median of PC1"
BEST_F1_LABEL = "threshold of best F1 (training part)"
SLOPE_FRACTION = 0.1  # of the indices, at either end
AELLE_PC1, AELLE_PC2 = "AeLLE PC1", "AeLLE PC2"
FEATURE_LOOKS = {
    "eigenvalues": ("Jacobian eigenvalues", LOW_ERROR_COLOR, "--"),
    "spectrum": ("Lyapunov spectra", HIGH_ERROR_COLOR, "-"),
}
SUMMARY_LABELS = {"last": "last epoch", "lowest": "lowest error"}
VERDICTS = {
    "spectrum": "spectra predict better",
    "eigenvalues": "eigenvalues predict better",
    "undecided": "no difference to be told",
}
CRITERION_LOOKS = {
    "aelle": (LOW_ERROR_COLOR, "o"),
    "architecture": ("#009E73", "v"),
    "loss_at_epoch": (HIGH_ERROR_COLOR, "D"),
    "random": ("black", "x"),
}
LOSS_UNIT = "nats"
EXAMPLE_QUANTILES = {"low": 0.1, "middle": 0.5, "high": 0.9}  # of the errors of free runs
EXAMPLE_SPACING = 3.2  # from one signal to the next; targets are in [-1, 1]
TEXT_ROWS, TEXT_COLUMNS = 10, 10  # of characters of an example
VISIBLE = {" ": "␣", "\n": "↵", "\t": "→", "\r": "←"}


class Plane(NamedTuple):
    """Two numbers of a network, each a variable (and its component), and who classifies by them: x first."""

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


@rc_context(PAPER_STYLE)
def fig_3_1(prednet: xr.Dataset) -> Figure:
    """Final validation loss against p, true and as PredNet predicts it from early spectra, and the errors of both
    PredNet and what knows no spectrum.

    `prednet` is the Dataset of the experiment of `lyapunov_pkg.aelle.prediction`.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.4), layout="constrained")
    true, predicted, errors = fig.subplots(1, 3, width_ratios=(1, 1, 1))
    predicted.sharey(true)
    p, loss = prednet["init_param"].values, prednet["final_loss"].values
    held_out_loss = prednet["held_out_prediction"].sel(predictor="prednet").values
    limits = robust_limits(np.append(loss, held_out_loss))
    share = 100 * prednet.attrs["spectrum_epoch"] / prednet.attrs["total_epochs"]
    titles = "(a) after training", f"(b) predicted at {share:.0f}% of training"
    for ax, values, title in zip((true, predicted), (loss, held_out_loss), titles, strict=True):
        scatter_by_level(ax, p, values, prednet["hidden_size"].values, "hidden size")
        ax.set(xlabel="initialisation parameter p", title=title, ylim=limits)
        note_outside(ax, y=values[np.isfinite(values)])
    true.set_ylabel(LOSS_LABEL)
    _errors_of_predictors(errors, prednet)
    legend_below(fig, (true, errors), columns=6)
    return fig


def _errors_of_predictors(ax: Axes, prednet: xr.Dataset) -> None:
    """Root mean square error of each predictor on the networks held out, a point for each seed, and their mean."""
    names = in_display_order(prednet["predictor"].values, PREDICTOR_LABELS)
    everything = prednet["rms_error"].values
    for row, name in enumerate(names):
        values = prednet["rms_error"].sel(predictor=name).values
        ax.plot(values, np.full(len(values), row), "o", color="0.7", label="a seed")
        ax.plot(values.mean(), row, "k|", markersize=10, label="mean over seeds")
        label = f"{PREDICTOR_LABELS.get(name, name)}: {values.mean():.3g}"
        ax.text(0, row - 0.25, label, transform=ax.get_yaxis_transform(), fontsize=ANNOTATION_SIZE)
    ax.set(xlabel="RMS error, networks held out [nats]", yticks=[], ylim=(len(names) - 0.6, -0.6))
    ax.set_xlim(-0.05 * everything.max(), 1.05 * everything.max())
    ax.spines["left"].set_visible(False)
    ax.set_title("(c) errors")


@rc_context(PAPER_STYLE)
def fig_3_2(eigenvalues: xr.Dataset) -> Figure:
    """Eigenvalues of the ASRNN's Jacobian for the largest gamma and the smallest and largest eps, by loss."""

    def draw(ax: Axes, networks: xr.Dataset, colors: np.ndarray) -> None:
        x, y = (networks[f"eigenvalue_{part}"].values for part in ("real", "imaginary"))
        for real, imaginary, color in zip(x, y, colors, strict=True):
            ax.scatter(real, imaginary, s=4, color=color, linewidths=0)
        ax.set(xlabel="real part of eigenvalue", ylabel="imaginary part of eigenvalue")

    return _asrnn_by_loss(eigenvalues, draw)


@rc_context(PAPER_STYLE)
def fig_3_3(spectra: xr.Dataset) -> Figure:
    """Lyapunov spectra of the ASRNN for the largest gamma and the smallest and largest eps, by loss."""

    def draw(ax: Axes, networks: xr.Dataset, colors: np.ndarray) -> None:
        exponents = networks["lyapunov_exponent"].isel(epoch=-1).values
        index = np.arange(1, exponents.shape[1] + 1)
        for own, color in zip(exponents, colors, strict=True):
            ax.plot(index, own, color=color, linewidth=0.7)
        label_spectrum_axes(ax, exponents)

    return _asrnn_by_loss(spectra, draw)


def _asrnn_by_loss(study: xr.Dataset, draw: Callable[[Axes, xr.Dataset, np.ndarray], None]) -> Figure:
    """A panel for the smallest and for the largest eps, at the largest gamma; `draw` gets their networks, worst first,
    and a colour for each, purple to yellow as the loss rises."""
    study = study.isel(variant=np.flatnonzero(~study["diverged"].values))
    study = study.isel(variant=np.argsort(-study["validation_loss"].isel(epoch=-1).values))
    loss, eps, gamma = (study[name].values for name in ("validation_loss", "eps", "gamma"))
    shown = {level: (eps == level) & (gamma == gamma.max()) for level in np.unique(eps)[[0, -1]]}
    scale = ScalarMappable(Normalize(*robust_limits(loss[np.any(list(shown.values()), axis=0), -1])), "viridis")

    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    axes = fig.subplots(1, len(shown), squeeze=False)[0]
    for ax, letter, (level, chosen) in zip(axes, "ab", shown.items(), strict=False):
        draw(ax, study.isel(variant=np.flatnonzero(chosen)), scale.to_rgba(loss[chosen, -1]))
        ax.set_title(f"({letter}) ε = {level:g}, γ = {gamma.max():g}: {chosen.sum()} networks")
    fig.colorbar(scale, ax=list(axes), label=LOSS_LABEL, extend="max")
    return fig


@rc_context(PAPER_STYLE)
def fig_3_4(prednets: xr.Dataset) -> Figure:
    """Validation error of PredNets on eigenvalues and on spectra as they are trained, and how far apart they end.

    `prednets` is the Dataset of `lyapunov_pkg.aelle.prediction.eigenvalue_experiment`.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    curves, differences = fig.subplots(1, 2, width_ratios=(1.6, 1))
    epochs = prednets["prednet_epoch"].values
    for feature, (label, color, line) in FEATURE_LOOKS.items():
        errors = prednets["validation_error"].sel(feature=feature)
        mean, deviation = errors.mean("seed").values, errors.std("seed", ddof=1).values
        curves.plot(epochs, mean, color=color, linestyle=line, label=label)
        curves.fill_between(epochs, mean - deviation, mean + deviation, color=color, alpha=0.2, linewidth=0)
    baseline = float(prednets["baseline_error"].mean())
    curves.axhline(baseline, color="0.4", linewidth=1, linestyle=":", label="mean of the training networks")
    curves.set(xlabel="epoch of PredNet's training", ylabel="mean square error, validation [nats²]", ylim=(0, None))
    curves.set_title(f"(a) mean ± standard deviation over {prednets.sizes['seed']} seeds")
    _differences_of_errors(differences, prednets)
    legend_below(fig, (curves,), columns=3)
    return fig


def _differences_of_errors(ax: Axes, prednets: xr.Dataset) -> None:
    """By which error eigenvalues are behind spectra, with its interval, and what follows from it in words."""
    for row, summary in enumerate(prednets["summary"].values):
        of_summary = prednets.sel(summary=summary)
        low, mean, high = (float(of_summary[f"difference{end}"]) for end in ("_low", "", "_high"))
        ax.plot((low, high), (row, row), color="black")
        ax.plot(mean, row, "ko")
        verdict = VERDICTS[str(of_summary["better"].values)]
        ax.text(
            *(0, row - 0.15, f"{SUMMARY_LABELS[str(summary)]}: {verdict}"),
            transform=ax.get_yaxis_transform(),
            bbox={"color": "white", "pad": 1},  # over the line at zero
        )
    ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    ax.set(yticks=[], ylim=(prednets.sizes["summary"] - 0.5, -0.5))
    ax.set(xlabel="error from eigenvalues − from spectra [nats²]", title="(b) difference, with 95% interval")
    ax.spines["left"].set_visible(False)


@rc_context(PAPER_STYLE)
def fig_3_5(spectra: xr.Dataset) -> Figure:
    """Spectra of one network per architecture (that of median final loss) before and after training, features marked.

    `spectra` is the Dataset of all spectra (variant, epoch, exponent). Panel (a) names the features on the spectrum of
    which most nearly half the exponents are positive.

    Raises:
        ValueError: all networks diverged.
    """
    shown = spectra.isel(variant=_median_loss_variants(spectra))
    architectures = [str(name) for name in shown["architecture"].values]
    before, after = (shown["lyapunov_exponent"].isel(epoch=epoch).values for epoch in (0, -1))
    named = int(np.argmin(np.abs(number_above_zero(after) - after.shape[1] / 2)))

    fig = Figure(figsize=(DOUBLE_WIDTH, 3.2), layout="constrained")
    axes = fig.subplots(1, 3)
    axes[2].sharey(axes[1])
    _name_features(axes[0], after[named], architectures[named])
    axes[0].set_title("(a) features of a spectrum")
    for ax, exponents, title in ((axes[1], before, "(b) before training"), (axes[2], after, "(c) after training")):
        for name, spectrum in zip(architectures, exponents, strict=True):
            spectrum_line(ax, spectrum, name)
            style = architecture_style(name)
            ax.plot(1, maximum_exponent(spectrum), color=style.color, marker=style.marker)
            ax.plot(number_above_zero(spectrum), 0, color=style.color, marker="|", markersize=7)
        label_spectrum_axes(ax, exponents, also=before if ax is axes[2] else after)
        ax.set_title(title)
    axes[2].set_ylabel("")
    legend_below(fig, axes[1:2], columns=8)
    return fig


def _median_loss_variants(spectra: xr.Dataset) -> list[int]:
    """Position of each architecture's network of median final loss, among those that have not diverged."""
    loss = spectra["validation_loss"].isel(epoch=-1).values
    architecture = spectra["architecture"].values
    undefined = np.isnan(spectra["lyapunov_exponent"].values).any(axis=(1, 2))
    usable = ~spectra["diverged"].values & ~undefined & np.isfinite(loss)
    if not usable.any():
        raise ValueError(f"all {len(usable)} networks diverged; expected at least one with a spectrum and a loss")
    chosen = []
    for name in in_display_order(architecture[usable], ARCHITECTURE_LABELS):
        members = np.flatnonzero(usable & (architecture == name))
        chosen.append(int(members[np.argsort(loss[members])[(len(members) - 1) // 2]]))
    return chosen


def _name_features(ax: Axes, exponents: np.ndarray, architecture: str) -> None:
    """A spectrum (d,) with its maximum, initial and final slope and number of positive exponents drawn and named."""
    style, width = architecture_style(architecture), slope_width(len(exponents), SLOPE_FRACTION)
    index = np.arange(1, len(exponents) + 1)
    n_above, zero = int(number_above_zero(exponents)), np.zeros(2)
    ax.plot(index, exponents, color=style.color, label=style.label)
    ax.plot(1, exponents[0], "ko", label=f"maximum {maximum_exponent(exponents):.2g}")
    for part, slope, line in ((slice(width + 1), initial_slope, "-"), (slice(-width - 1, None), final_slope, ":")):
        label = f"{slope.__name__.replace('_', ' ')} {slope(exponents, SLOPE_FRACTION):.2g}".replace("-", "−")
        ax.plot(index[part], exponents[part], line, color="black", linewidth=3, label=label)
    ax.plot((1, max(n_above, 1)), zero, color="black", marker="|", markersize=7, label=f"{n_above} above zero")
    label_spectrum_axes(ax, exponents)
    ax.legend(loc="lower left", borderaxespad=0.2)


@rc_context(PAPER_STYLE)
def fig_3_6(final: xr.Dataset) -> Figure:
    """The autoencoder drawn with a spectrum of a test network, and AeLLE of the test networks with the classifier on
    PC1."""
    data, seeds = first_seed(final)
    networks = held_out(data)
    verdict = data.sel(classifier="aelle")
    threshold = float(verdict["threshold"])
    x, y = networks["aelle_component"].values[:, :2].T

    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    diagram, embedding = fig.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_autoencoder(diagram, networks.isel(network=0), data.attrs["encoder_widths"])
    _set_aelle_axes(embedding, np.stack((x, y)), [threshold])
    shade_predicted_low(embedding, threshold, bool(verdict["low_is_above"]))
    scatter_by_error(embedding, x, y, networks["low_error"].values)
    threshold_line(embedding, threshold, MEDIAN_LABEL)
    note_outside(embedding, x, y)
    embedding.set_title(f"(b) {len(x)} test networks{seeds}: F1 {float(verdict['f1']):.2f}")
    legend_under(embedding, columns=2)
    return fig


def _draw_autoencoder(ax: Axes, network: xr.Dataset, widths: Sequence[int]) -> None:
    """Layers of the autoencoder as bars whose height goes with their width, between a spectrum and its
    reconstruction."""
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


@rc_context(PAPER_STYLE)
def fig_3_7(final: xr.Dataset, free_runs: xr.Dataset) -> Figure:
    """Free runs of low, middle and high error, AeLLE of the test networks by error with PC1's median, and of all
    networks by g.

    `final` is the final experiment's Dataset, `free_runs` the training store (target and free_output (variant, time),
    validation_loss (variant, epoch), diverged (variant)).
    """

    def by_gain(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        scatter_by_level(ax, x, y, final["init_param"].values, "g")

    return _aelle_beside_an_example(final, free_runs, _example_free_runs, by_gain, columns=4)


@rc_context(PAPER_STYLE)
def fig_3_8(final: xr.Dataset, text: xr.Dataset) -> Figure:
    """A text of the task, AeLLE of the test networks by error with PC1's median, and of all networks by hidden size.

    `final` is the final experiment's Dataset, `text` the task's (test_input and test_target (test_sample, time),
    alphabet).
    """

    def by_size(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        scatter_by_level(ax, x, y, final["hidden_size"].values, "hidden size")

    return _aelle_beside_an_example(final, text, _example_text, by_size, columns=2)


@rc_context(PAPER_STYLE)
def fig_3_9(final: xr.Dataset, examples: xr.Dataset) -> Figure:
    """An input of the task, AeLLE of the test networks by error with PC1's median, and of all networks by architecture.

    `final` is the final experiment's Dataset, `examples` the task's (test_input (test_sample, time, feature)).
    """

    def by_architecture(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
        scatter_by_architecture(ax, x, y, final["architecture"].values)

    return _aelle_beside_an_example(final, examples, _example_image, by_architecture, columns=3)


def _aelle_beside_an_example(
    final: xr.Dataset,
    examples: xr.Dataset,
    draw_example: Callable[[Axes, xr.Dataset], None],
    scatter: Callable[[Axes, np.ndarray, np.ndarray], None],
    columns: int,
) -> Figure:
    """An example of the task; AeLLE of the test networks by error under its histogram; AeLLE of all networks, drawn by
    `scatter`, with a legend of so many columns."""
    data, seeds = first_seed(final)
    networks = held_out(data)
    x, y = networks["aelle_component"].values[:, :2].T
    everything = data["aelle_component"].values[:, :2].T
    median = float(data["threshold"].sel(classifier="aelle"))
    low_error = networks["low_error"].values

    fig = Figure(figsize=(DOUBLE_WIDTH, 3.1), layout="constrained")
    grid = fig.add_gridspec(2, 3, height_ratios=(1, 3), width_ratios=(0.8, 1, 1))
    draw_example(fig.add_subplot(grid[:, 0]), examples)
    by_error = fig.add_subplot(grid[1, 1])
    histogram = fig.add_subplot(grid[0, 1], sharex=by_error)
    whole = fig.add_subplot(grid[:, 2], sharex=by_error, sharey=by_error)

    scatter_by_error(by_error, x, y, low_error)
    scatter(whole, *everything)
    for ax, points in ((by_error, (x, y)), (whole, everything)):
        _set_aelle_axes(ax, everything, [median])
        note_outside(ax, *points)
    threshold_line(by_error, median, MEDIAN_LABEL)
    threshold_line(whole, median, "")
    stacked_histogram(histogram, x, low_error, by_error.get_xlim())
    threshold_line(histogram, median, "")
    histogram.tick_params(labelbottom=False)
    histogram.set(title=f"(b) {len(x)} test networks{seeds}")
    whole.set_title(f"(c) all {data.sizes['network']} networks")
    legend_under(by_error, columns=2)
    legend_under(whole, columns=columns)
    return fig


def _set_aelle_axes(ax: Axes, points: np.ndarray, include_x: Iterable[float] = ()) -> None:
    """Labels of the AeLLE plane, and limits for `points` (2, ...)."""
    limits = robust_limits(points[0], include_x), robust_limits(points[1])
    ax.set(xlabel=AELLE_PC1, ylabel=AELLE_PC2, xlim=limits[0], ylim=limits[1])
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))


def _example_image(ax: Axes, examples: xr.Dataset) -> None:
    image, label = examples["test_input"].values[0], int(examples["test_label"].values[0])
    steps, features = image.shape
    ax.imshow(image, cmap="gray_r", extent=(0.5, features + 0.5, steps + 0.5, 0.5))
    ax.set(xlabel="input feature (column)", ylabel="time step (row)", title=f"(a) an input; its label: {label}")


def _example_free_runs(ax: Axes, free_runs: xr.Dataset) -> None:
    """Target and output over the last period of free runs whose errors are certain quantiles of all, one below
    another."""
    error = free_runs["validation_loss"].isel(epoch=-1).where(~free_runs["diverged"]).values
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
    """The last characters of a sequence, row by row, the one to be predicted after them shaded."""
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
        f1 = float(aelle["f1"].sel(epoch=epoch))
        ax.set(xlim=x_limits, ylim=y_limits, xlabel=AELLE_PC1, title=f"{percent:.0f}% of training:\nF1 {f1:.2f}")
        shade_predicted_low(ax, threshold, low_is_above)
        scatter_by_error(ax, x, y, networks["low_error"].values)
        threshold_line(ax, threshold, BEST_F1_LABEL)
        note_outside(ax, x, y)
    axes[0].set_ylabel(AELLE_PC2)
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes, columns=4)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_11(pretrained: xr.Dataset) -> Figure:
    """Distributions of LE mean, LE max, LE PC1 and AeLLE PC1 of the test networks over training, with thresholds."""
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
            threshold_line(ax, threshold, BEST_F1_LABEL)
            note_outside(ax, x)
            ax.set_xlabel(label)
        for ax in row[1:]:
            ax.set_ylabel("")
    for ax, (_, percent) in zip(axes[0], epochs, strict=True):
        ax.set_title(f"{percent:.0f}% of training")
    fig.suptitle(f"{networks.sizes['network']} test networks{seeds}", fontsize=8)
    legend_below(fig, axes[-1], columns=3)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_12(final: xr.Dataset) -> Figure:
    """One network per architecture, that of its median final loss: spectrum, place in AeLLE, final loss."""
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
    _set_aelle_axes(embedding, everything[:, :2].T)
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


@rc_context(PAPER_STYLE)
def fig_3_13(final: xr.Dataset) -> Figure:
    """AeLLE by architecture, and where changes of the predicted loss move the test networks (eq. 3.7)."""
    data, seeds = first_seed(final)
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.3), layout="constrained")
    by_architecture, by_shift = fig.subplots(1, 2, sharex=True, sharey=True)
    places = data["aelle_component"].values[:, :2].T
    scatter_by_architecture(by_architecture, *places, data["architecture"].values)
    by_architecture.set_title(f"(a) all {data.sizes['network']} networks{seeds}")

    moved = held_out(data)["shifted_component"].transpose("component", "network", "loss_shift")[:2]
    for shift, color in shift_colors(data["loss_shift"].values).items():
        points = moved.sel(loss_shift=shift).values
        by_shift.scatter(*points, s=6, color=color, linewidths=0, label=shift_label(shift))
    by_shift.set_title("(b) test networks, predicted loss changed by ΔT [nats]")
    moved = moved.values.reshape(2, -1)
    for ax, points in ((by_architecture, places), (by_shift, moved)):
        _set_aelle_axes(ax, np.concatenate([places, moved], axis=1))
        note_outside(ax, *points)
    legend_under(by_architecture, columns=4)
    legend_under(by_shift, columns=3)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_14(final: xr.Dataset) -> Figure:
    """Decoded spectra of one network per architecture, its latent point moved along the predicted loss by Delta T."""
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
    for ax in axes.flat[len(architectures) :]:
        ax.remove()
    fig.supylabel(EXPONENT_LABEL, fontsize=8)
    fig.suptitle(f"spectra decoded after a change ΔT of the predicted loss [nats]{seeds}", fontsize=8)
    legend_below(fig, axes.flat[:1], columns=8)
    return fig


@rc_context(PAPER_STYLE)
def fig_3_15(final: xr.Dataset) -> Figure:
    """AeLLE by architecture with points whose predicted loss is zero, and the spectra decoded from these."""
    data, seeds = first_seed(final)
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.3), layout="constrained")
    embedding, spectra = fig.subplots(1, 2)
    places, zero_loss = (data[name].values[:, :2].T for name in ("aelle_component", "zero_loss_component"))
    scatter_by_architecture(embedding, *places, data["architecture"].values)
    embedding.scatter(*zero_loss, s=14, color="0.3", marker="x", linewidths=0.7, label="predicted loss zero")
    everything = np.concatenate([places, zero_loss], axis=1)
    _set_aelle_axes(embedding, everything)
    note_outside(embedding, *everything)
    embedding.set_title(f"(a) all {data.sizes['network']} networks{seeds}")

    decoded = data["zero_loss_exponent"].values
    spectra.plot(np.arange(1, decoded.shape[1] + 1), decoded.T, color="0.3", linewidth=0.6, alpha=0.5)
    label_spectrum_axes(spectra, decoded)
    spectra.set_title(f"(b) {len(decoded)} decoded spectra of predicted loss zero")
    legend_below(fig, (embedding,), columns=5)
    return fig


@rc_context(PAPER_STYLE)
def fig_extra_pruning(pruning: xr.Dataset) -> Figure:
    """Final loss of the best survivor of halving against the training spent, and what is saved for the same loss.

    `pruning` is the Dataset of `lyapunov_pkg.aelle.pruning`. Bands and bars are standard deviations over seeds.
    """
    fig = Figure(figsize=(DOUBLE_WIDTH, 3.0), layout="constrained")
    losses, saved = fig.subplots(1, 2)
    shown = pruning["complete_budget"] <= 1.5 * pruning["budget"].max()
    complete = pruning["complete_loss"].isel(n_complete=np.flatnonzero(shown))
    budget, mean, deviation = pruning["complete_budget"].values[shown], *_over_seeds(complete)
    losses.plot(budget, mean, color="0.4", label="none is stopped")
    losses.fill_between(budget, mean - deviation, mean + deviation, color="0.4", alpha=0.2, linewidth=0)
    for name in in_display_order(pruning["criterion"].values, CRITERION_LABELS):
        of_name, (color, marker) = pruning.sel(criterion=name), CRITERION_LOOKS[name]
        look = {"color": color, "marker": marker, "capsize": 2, "label": f"halving by {CRITERION_LABELS[name]}"}
        losses.errorbar(pruning["budget"], *_over_seeds(of_name["best_loss"]), **look)
        saved.errorbar(pruning["pool_size"], *_over_seeds(of_name["saved"]), **look)
    look |= {"color": CRITERION_LOOKS["aelle"][0], "marker": "s", "linestyle": "--"}
    look["label"] = "by AeLLE, with the networks that it learns from"
    saved.errorbar(pruning["pool_size"], *_over_seeds(pruning["saved_in_all"].sel(criterion="aelle")), **look)
    losses.set(xlabel="training of all networks [epochs]", ylabel=f"final loss of the best [{LOSS_UNIT}]")
    losses.set_title(f"(a) pools of {', '.join(map(str, pruning['pool_size'].values))} networks")
    saved.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    saved.set(xlabel="networks in the pool", ylabel="training saved for the same loss [%]", xscale="log")
    saved.set_xticks(pruning["pool_size"].values, labels=pruning["pool_size"].values, minor=False)
    saved.set_xticks([], minor=True)
    saved.set_title("(b) against stopping none")
    legend_below(fig, (losses, saved), columns=3)
    return fig


def _over_seeds(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over seeds; of one seed, 0."""
    return values.mean("seed").values, values.std("seed", ddof=min(1, values.sizes["seed"] - 1)).values


@rc_context(PAPER_STYLE)
def fig_3_b1(final: xr.Dataset) -> Figure:
    """Target learning: LE mean and max, first components of the spectra, and AeLLE of the test networks by error."""
    return _statistics_and_aelle(final)


@rc_context(PAPER_STYLE)
def fig_3_b2(final: xr.Dataset) -> Figure:
    """CharRNN: LE mean and max, first components of the raw spectra, and AeLLE of the test networks by error."""
    return _statistics_and_aelle(final)


@rc_context(PAPER_STYLE)
def fig_3_b3(final: xr.Dataset) -> Figure:
    """SMNIST: LE mean and max, first components of the raw spectra, and AeLLE of the test networks by error."""
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


@rc_context(PAPER_STYLE)
def fig_3_b4(**finals: xr.Dataset) -> Figure:
    """LE mean and max, first components of the raw spectra, and AeLLE of the test networks by error, study by study.

    `finals` are the final experiments' Datasets by the name of their study, each a column.
    """
    studies = in_display_order(finals, STUDY_LABELS)
    fig = Figure(figsize=(DOUBLE_WIDTH, 6.4), layout="constrained")
    axes = fig.subplots(len(PLANES), len(studies), squeeze=False)
    for column, study in zip(axes.T, studies, strict=True):
        data, seeds = first_seed(finals[study])
        for ax, plane in zip(column, PLANES, strict=True):
            _scatter_plane(ax, data, plane)
            ax.set_title(_f1_of_plane(data, plane), fontsize=NOTE_SIZE)
        heading = f"{STUDY_LABELS.get(study, study)}\n{held_out(data).sizes['network']} test networks{seeds}"
        column[0].set_title(f"{heading}\n{_f1_of_plane(data, PLANES[0])}", fontsize=NOTE_SIZE)
    legend_below(fig, axes.flat, columns=3)
    return fig


def _f1_of_plane(data: xr.Dataset, plane: Plane) -> str:
    f1 = data["f1"].to_series()
    return "F1 " + ", ".join(f"{f1[name]:.2f}{note}" for name, note in plane.scored)


def _scatter_plane(ax: Axes, data: xr.Dataset, plane: Plane) -> None:
    """Test networks of one seed by error in a plane of two numbers, with the medians that classify them."""
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
