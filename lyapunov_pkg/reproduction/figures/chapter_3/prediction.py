"""PredNet, and the spectra and eigenvalues for its predictions: figures 3.1 to 3.5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.panels import (
    ANNOTATION_SIZE,
    LOSS_LABEL,
    label_spectrum_axes,
    legend_below,
    note_outside,
    robust_limits,
    scatter_by_level,
    spectrum_line,
)
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, PREDICTOR_LABELS, in_display_order
from lyapunov_pkg.reproduction.figures.style import (
    DOUBLE_WIDTH,
    HIGH_ERROR_COLOR,
    LOW_ERROR_COLOR,
    Keywords,
    architecture_style,
)
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.records import Shards, Store, figure
from lyapunov_pkg.spectra.statistics import final_slope, initial_slope, maximum_exponent, number_above_zero, slope_width

ASRNN = ("validation_loss", "diverged", "eps", "gamma")
MAXIMUM_SPACING = 1.1  # indices, between the maxima of two architectures
END_LABEL = "a line ends: the next exponents are −∞"
SLOPE_FRACTION = 0.1  # of the indices, at either end
FEATURE_LOOKS = {
    "eigenvalues": ("Jacobian eigenvalues", LOW_ERROR_COLOR, "--"),
    "spectrum": ("Lyapunov spectra", HIGH_ERROR_COLOR, "-"),
}
SUMMARY_LABELS = {"last": "last epoch", "lowest": "lowest error"}
VERDICTS = {
    "spectrum": "spectra predict better",
    "eigenvalues": "eigenvalues predict better",
    "undecided": "no significant difference",
}


@figure(
    stores={
        "prednet": Store(
            "results/aelle/char_rnn_sizes_prednet.zarr.zip", ("final_loss", "held_out_prediction", "rms_error")
        )
    },
    caption=(
        "(a) Final validation loss of LSTMs on text against the initialisation parameter p. (b) PredNet's "
        "prediction of this loss from spectra early in training, for held-out networks, as mean over the seeds that "
        "hold a network out. (c) Errors on held-out networks, compared with predictors that do not use spectra."
    ),
)
def fig_3_1(prednet: xr.Dataset) -> Figure:
    """Draw final validation loss against p, true and predicted by PredNet, and the errors of all predictors.

    `prednet` is the Dataset of `lyapunov_pkg.reproduction.prediction.early_spectra.prednet_experiment`.
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
    """Draw the root mean square error of each predictor on held-out networks, for each seed and as mean."""
    names = in_display_order(prednet["predictor"].values, PREDICTOR_LABELS)
    everything = prednet["rms_error"].values
    for row, name in enumerate(names):
        values = prednet["rms_error"].sel(predictor=name).values
        ax.plot(values, np.full(len(values), row), "o", color="0.7", label="one seed")
        ax.plot(values.mean(), row, "k|", markersize=10, label="mean over seeds")
        label = f"{PREDICTOR_LABELS.get(name, name)}: {values.mean():.3g}"
        ax.text(0, row - 0.25, label, transform=ax.get_yaxis_transform(), fontsize=ANNOTATION_SIZE)
    ax.set(xlabel="RMS error on held-out networks [nats]", yticks=[], ylim=(len(names) - 0.6, -0.6))
    ax.set_xlim(-0.05 * everything.max(), 1.05 * everything.max())
    ax.spines["left"].set_visible(False)
    ax.set_title("(c) errors")


@figure(
    stores={
        "eigenvalues": Store("results/eigenvalues/asrnn.zarr.zip", ("eigenvalue_real", "eigenvalue_imaginary", *ASRNN))
    },
    caption="Eigenvalues of the ASRNN's Jacobian at one random state and input, by validation loss.",
)
def fig_3_2(eigenvalues: xr.Dataset) -> Figure:
    """Draw eigenvalues of the ASRNN's Jacobian for the largest gamma and the smallest and largest eps, by loss."""

    def draw(ax: Axes, networks: xr.Dataset, colors: np.ndarray) -> None:
        x, y = (networks[f"eigenvalue_{part}"].values for part in ("real", "imaginary"))
        for real, imaginary, color in zip(x, y, colors, strict=True):
            ax.scatter(real, imaginary, s=4, color=color, linewidths=0)
        ax.set(xlabel="real part of eigenvalue", ylabel="imaginary part of eigenvalue")

    return _asrnn_by_loss(eigenvalues, draw)


@figure(
    stores={"spectra": Shards("spectra", "asrnn", ("lyapunov_exponent", *ASRNN))},
    caption="Lyapunov spectra of the ASRNN, by validation loss.",
)
def fig_3_3(spectra: xr.Dataset) -> Figure:
    """Draw Lyapunov spectra of the ASRNN for the largest gamma and the smallest and largest eps, by loss."""

    def draw(ax: Axes, networks: xr.Dataset, colors: np.ndarray) -> None:
        exponents = networks["lyapunov_exponent"].isel(epoch=-1).values
        index = np.arange(1, exponents.shape[1] + 1)
        for own, color in zip(exponents, colors, strict=True):
            ax.plot(index, own, color=color, linewidth=0.7)
        label_spectrum_axes(ax, exponents)

    return _asrnn_by_loss(spectra, draw)


def _asrnn_by_loss(study: xr.Dataset, draw: Callable[[Axes, xr.Dataset, np.ndarray], None]) -> Figure:
    """Draw a panel for the smallest and for the largest eps, at the largest gamma.

    The arguments of `draw` are axes, the networks with the worst first, and their colours, from purple (low loss) to
    yellow (high loss)."""
    study = study.isel(variant=np.flatnonzero(networks_that_count(study)))
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


@figure(
    stores={
        "prednets": Store(
            "results/aelle/asrnn_eigenvalue_prednets.zarr.zip",
            ("validation_error", "baseline_error", "difference", "difference_low", "difference_high", "better"),
        )
    },
    caption=(
        "(a) Validation error of PredNets that predict the loss of ASRNNs from eigenvalues and from spectra. (b) "
        "The difference, and the feature with the better predictions."
    ),
)
def fig_3_4(prednets: xr.Dataset) -> Figure:
    """Draw validation errors of PredNets on eigenvalues and on spectra during training, and their final difference.

    `prednets` is the Dataset of `lyapunov_pkg.reproduction.prediction.eigenvalue_comparison.eigenvalue_experiment`.
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
    curves.set(xlabel="epoch of PredNet's training", ylabel="validation mean square error [nats²]", ylim=(0, None))
    curves.set_title(f"(a) mean ± standard deviation over {prednets.sizes['seed']} seeds")
    _differences_of_errors(differences, prednets)
    legend_below(fig, (curves,), columns=3)
    return fig


def _differences_of_errors(ax: Axes, prednets: xr.Dataset) -> None:
    """Draw the excess error of eigenvalues over spectra, with its interval and its interpretation."""
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
    ax.set(xlabel="error, eigenvalues − spectra [nats²]", title="(b) difference, with 95% interval")
    ax.spines["left"].set_visible(False)


@figure(
    stores={"spectra": Shards("spectra", "smnist", ("lyapunov_exponent", "validation_loss", "diverged"))},
    caption=(
        "Lyapunov spectra of the network of median final loss for each architecture, before and after training. (a) "
        "names the features that the text discusses. (b, c) Markers to the left of the first index are the maxima. "
        "They are next to each other, because many are close to zero. Ticks on the line at zero show the number of "
        "exponents above zero. A line ends at a cross if the following exponents are −∞, because float64 cannot "
        "resolve their directions."
    ),
)
def fig_3_5(spectra: xr.Dataset) -> Figure:
    """Draw spectra of the network of median final loss for each architecture, before and after training.

    `spectra` is the Dataset of all spectra (variant, epoch, exponent). Features are marked. Panel (a) names them on the
    spectrum whose share of positive exponents is closest to one half.

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
        for number, (name, spectrum) in enumerate(zip(architectures, exponents, strict=True)):
            spectrum_line(ax, spectrum, name)
            _mark_features(ax, spectrum, name, number)
        label_spectrum_axes(ax, exponents, also=before if ax is axes[2] else after)
        ax.set_title(title)
        ax.set_xlim(left=MAXIMUM_SPACING * -(len(architectures) + 1))
        ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= exponents.shape[1]])
    axes[2].set_ylabel("")
    legend_below(fig, axes[1:], columns=5)
    return fig


def _mark_features(ax: Axes, exponents: np.ndarray, architecture: str, number: int) -> None:
    """Mark the maximum of a spectrum, in its own column on the left, the number of positive exponents, and its end."""
    style = architecture_style(architecture)
    ax.plot(-MAXIMUM_SPACING * (number + 0.5), maximum_exponent(exponents), color=style.color, marker=style.marker)
    ax.plot(number_above_zero(exponents), 0, color=style.color, marker="|", markersize=7)
    finite = np.flatnonzero(np.isfinite(exponents))
    if 0 < len(finite) < len(exponents):
        look: Keywords = {"color": style.color, "marker": "x", "markersize": 5, "linestyle": "none", "zorder": 3}
        ax.plot(finite[-1] + 1, exponents[finite[-1]], **look)
        ax.plot([], [], **look | {"color": "0.3"}, label=END_LABEL)


def _median_loss_variants(spectra: xr.Dataset) -> list[int]:
    """Return the index of each architecture's network of median final loss, without diverged networks."""
    loss = spectra["validation_loss"].isel(epoch=-1).values
    architecture = spectra["architecture"].values
    usable = networks_that_count(spectra)
    if not usable.any():
        raise ValueError(f"all {len(usable)} networks diverged; expected at least one with a spectrum and a loss")
    chosen = []
    for name in in_display_order(architecture[usable], ARCHITECTURE_LABELS):
        members = np.flatnonzero(usable & (architecture == name))
        chosen.append(int(members[np.argsort(loss[members])[(len(members) - 1) // 2]]))
    return chosen


def _name_features(ax: Axes, exponents: np.ndarray, architecture: str) -> None:
    """Draw a spectrum (d,), and name its maximum, initial and final slope and number of positive exponents."""
    style, width = architecture_style(architecture), slope_width(len(exponents), SLOPE_FRACTION)
    index = np.arange(1, len(exponents) + 1)
    n_above, zero = int(number_above_zero(exponents)), np.zeros(2)
    ax.plot(index, exponents, color=style.color, label=style.label)
    ax.plot(1, exponents[0], "ko", label=f"maximum {maximum_exponent(exponents):.2g}")
    ends = (
        ("initial slope", slice(width + 1), initial_slope, "-"),
        ("final slope", slice(-width - 1, None), final_slope, ":"),
    )
    for name, part, slope, line in ends:
        label = f"{name} {slope(exponents, SLOPE_FRACTION):.2g}".replace("-", "−")
        ax.plot(index[part], exponents[part], line, color="black", linewidth=3, label=label)
    ax.plot((1, max(n_above, 1)), zero, color="black", marker="|", markersize=7, label=f"{n_above} above zero")
    label_spectrum_axes(ax, exponents)
    ax.legend(loc="lower left", borderaxespad=0.2)
