"""The dissertation's tables, from ours: a function takes a Dataset and returns a pandas DataFrame.

`<quantity>_dissertation` is the dissertation's number, where it gives one. Scores of chapter 3 are fractions of 1,
given as `<score>_mean` and `<score>_std` over the seeds of split and autoencoder (sample standard deviation; empty for
one seed); the dissertation's are of a single run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.plotting.presentation import (
    ARCHITECTURE_LABELS,
    CLASSIFIER_LABELS,
    CRITERION_LABELS,
    PREDICTOR_LABELS,
    RANKING_LABELS,
    SERIES_NAMES,
    STATISTIC_LABELS,
    in_display_order,
    shown_epochs,
)
from lyapunov_pkg.training.design import level_ends

SCORES = ("recall", "precision", "f1")

# The dissertation's numbers as printed. (dropout, learning rate, initialisation parameter) by colour.
DISSERTATION_2_A1 = {
    "blue": (0.034, 0.00301, 0.08),
    "orange": (0.000, 0.00319, 0.08),
    "green": (0.039, 0.00574, 0.08),
    "red": (0.028, 0.00055, 0.08),
    "purple": (0.014, 0.00153, 0.08),
    "brown": (0.106, 0.00485, 0.08),
}
DISSERTATION_2_A2 = {
    "blue": (0.0, 0.05, 0.476),
    "orange": (0.0, 0.05, 0.305),
    "green": (0.0, 0.05, 0.196),
    "red": (0.0, 0.05, 0.309),
    "purple": (0.0, 0.05, 0.059),
    "brown": (0.0, 0.05, 0.439),
}
# (recall, precision, F1), as fractions, by (training [%], classifier).
DISSERTATION_3_1_AND_3_2 = {
    (0, "lyapunov_mean"): (0.991, 0.556, 0.71),
    (0, "lyapunov_max"): (0.653, 0.903, 0.72),
    (0, "spectrum_pca"): (1.000, 0.559, 0.76),
    (0, "aelle"): (0.938, 0.770, 0.85),
    (10, "lyapunov_mean"): (0.977, 0.583, 0.73),
    (10, "lyapunov_max"): (0.607, 0.926, 0.74),
    (10, "spectrum_pca"): (0.968, 0.600, 0.74),
    (10, "aelle"): (0.915, 0.866, 0.89),
    (10, "loss_at_epoch"): (0.169, 0.951, 0.35),
    (20, "lyapunov_mean"): (0.976, 0.585, 0.73),
    (20, "lyapunov_max"): (0.595, 0.943, 0.73),
    (20, "spectrum_pca"): (0.966, 0.603, 0.74),
    (20, "aelle"): (0.918, 0.865, 0.90),
    (20, "loss_at_epoch"): (0.458, 0.977, 0.66),
    (50, "lyapunov_mean"): (0.964, 0.589, 0.73),
    (50, "lyapunov_max"): (0.588, 0.943, 0.72),
    (50, "spectrum_pca"): (0.949, 0.604, 0.74),
    (50, "aelle"): (0.886, 0.837, 0.86),
    (50, "loss_at_epoch"): (0.777, 0.973, 0.86),
}
# F1 by (training [%], number of principal components).
DISSERTATION_3_3 = {
    (0, 1): 0.81,
    (0, 2): 0.81,
    (0, 4): 0.84,
    (0, 10): 0.89,
    (50, 1): 0.84,
    (50, 2): 0.84,
    (50, 4): 0.87,
    (50, 10): 0.91,
}
# (hidden units, initialisation parameter from, to, networks). The text says 50 where its table says 30 for ASRNN.
DISSERTATION_A1 = {
    "rnn": (64, 0.1, 3.0, 200),
    "lstm": (64, 0.1, 3.0, 200),
    "gru": (64, 0.1, 3.0, 200),
    "asrnn": (64, 0.1, 30.0, 200),
    "cornn": (64, 0.1, 30.0, 200),
    "lipschitz": (64, 0.1, 20.0, 200),
    "noisy": (64, 0.1, 5.0, 200),
    "lem": (64, 0.1, 10.0, 200),
}
DISSERTATION_B4 = {
    "lyapunov_mean": (0.610, 0.609, 0.609),
    "lyapunov_max": (0.566, 0.567, 0.566),
    "spectrum_pca": (0.608, 0.608, 0.608),
    "aelle": (0.859, 0.859, 0.859),
}
DISSERTATION_B2 = {
    "lyapunov_mean": (0.702, 0.709, 0.705),
    "lyapunov_max": (0.501, 0.506, 0.504),
    "spectrum_pca": (0.706, 0.700, 0.703),
    "aelle": (0.721, 0.728, 0.724),
}
DISSERTATION_B3 = {
    "lyapunov_mean": (0.836, 0.833, 0.834),
    "lyapunov_max": (0.860, 0.858, 0.859),
    "spectrum_pca": (0.860, 0.860, 0.860),
    "aelle": (0.876, 0.877, 0.877),
}
# Per cent of the networks right of PC1's (median, mean).
DISSERTATION_D5 = {
    "rnn": (0.0, 0.0),
    "lstm": (19.8, 14.5),
    "gru": (18.6, 13.5),
    "asrnn": (5.5, 12.6),
    "cornn": (0.4, 17.9),
    "lipschitz": (23.9, 17.2),
    "noisy": (20.7, 16.1),
    "lem": (11.1, 8.2),
}
DISSERTATION_PIXELS = 784
# (difference of mean loss [nats], what is printed as its variance, p) by number of flipped pixels.
DISSERTATION_4_1 = {
    1: (-0.028, 0.009, 0.998),
    5: (-0.008, 0.084, 0.540),
    10: (0.025, 0.303, 0.468),
    20: (0.313, 0.341, 0.179),
    30: (0.260, 0.359, 0.234),
    50: (0.794, 0.523, 0.065),
    75: (0.814, 0.475, 0.043),
    100: (1.050, 0.530, 0.024),
    200: (1.363, 0.824, 0.049),
}

SMALL = 0.2  # numbers below it are given in thousandths

COLUMN_LABELS = {
    "quantity": "quantity",
    "performance": "correlated with",
    "pearson": "Pearson's r",
    "spearman": "Spearman's ρ",
    "n_used": "networks",
    "n_diverged": "diverged",
    "color": "colour",
    "dropout": "dropout",
    "learning_rate": "learning rate",
    "init_param": "init. parameter",
    "best_epoch": "best epoch",
    "validation_loss": "validation loss",
    "maximum_exponent": "LE max [nats/step]",
    "mean_exponent": "LE mean [nats/step]",
    "ranking": "flipped",
    "n_flips": "k",
    "mean_excess": "μ - μ rand [nats]",
    "standard_error": "standard error [nats]",
    "p_pooled": "p, images independent",
    "p_paired": "p, paired by image",
    "p_holm": "p, paired, Holm",
    "effect_size": "effect size d",
    "up_share": "up flips",
    "training_percent": "training [%]",
    "classifier": "classifier",
    "n_components": "principal components",
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "task": "task",
    "architecture": "architecture",
    "hidden_size": "hidden size",
    "init_param_low": "init. parameter from",
    "init_param_high": "init. parameter to",
    "networks": "networks",
    "loss": "loss",
    "right_of_median": "right of median of PC1 [%]",
    "right_of_mean": "right of mean of PC1 [%]",
    "predictor": "predictor",
    "mean_absolute_error": "mean absolute error [nats]",
    "rms_error": "RMS error [nats]",
    "r_squared": "R²",
    "pool_size": "networks started",
    "criterion": "stopped by",
    "budget": "training [epochs]",
    "best_loss": "final loss of the best survivor [nats]",
    "better_in_pool": "better ones stopped [%]",
    "saved": "saved for the same loss [%]",
    "saved_in_all": "saved, with the training of AeLLE's networks [%]",
}


def table_2_a1(char_rnn: xr.Dataset) -> pd.DataFrame:
    """Hyperparameters of the CharRNN networks highlighted in figures 2.7 and 2.8, beside the dissertation's."""
    return _highlighted_networks(char_rnn, DISSERTATION_2_A1)


def table_2_a2(mocap: xr.Dataset) -> pd.DataFrame:
    """Hyperparameters of the Mocap networks highlighted in figure 2.7, beside the dissertation's."""
    return _highlighted_networks(mocap, DISSERTATION_2_A2)


def _highlighted_networks(
    correlations: xr.Dataset, dissertation: Mapping[str, tuple[float, float, float]]
) -> pd.DataFrame:
    """A row for each colour: hyperparameters, and the network's loss and spectrum at its best epoch."""
    highlighted = correlations.isel(network=correlations["highlighted_network"].values)
    at_best = highlighted.sel(epoch=highlighted["best_epoch"])
    hyperparameters = ("dropout", "learning_rate", "init_param")
    rows = []
    for position, color in enumerate(SERIES_NAMES[: at_best.sizes["network"]]):
        network = at_best.isel(network=position)
        row = {"color": color} | {name: network[name].item() for name in (*hyperparameters, "best_epoch")}
        row["validation_loss"] = network["validation_loss"].item()
        for statistic in ("maximum_exponent", "mean_exponent"):
            row[statistic] = network["spectrum_statistic"].sel(statistic=statistic).item()
        printed = zip(hyperparameters, dissertation[color], strict=True)
        rows.append(row | {f"{name}_dissertation": number for name, number in printed})
    frame = pd.DataFrame(rows)
    statistic = STATISTIC_LABELS[correlations.attrs["highlighted_by"]][0]
    frame.attrs["note"] = (
        f"Ours stand at evenly spaced ranks of {statistic}, from the smallest to the largest, of "
        f"{correlations.attrs['n_networks']} networks; the dissertation's were chosen by eye, so that networks of the "
        "same colour have nothing but their colour in common."
    )
    return frame


def table_extra_correlations(char_rnn: xr.Dataset, mocap: xr.Dataset) -> pd.DataFrame:
    """Correlation of every statistic of the spectrum with performance, with 95% confidence intervals, for each task."""
    names = {name: label for name, (label, _) in STATISTIC_LABELS.items()}
    names |= {name: name.replace("_", " ") for name in ("validation_loss", "validation_accuracy")}
    rows = []
    for task, correlations in (("CharRNN", char_rnn), ("Mocap", mocap)):
        for pair in range(correlations.sizes["pair"]):
            found = correlations.isel(pair=pair)
            row = {"task": task} | {name: names[found[name].item()] for name in ("quantity", "performance")}
            for coefficient in ("pearson", "spearman"):
                row |= {name: found[name].item() for name in (coefficient, f"{coefficient}_low", f"{coefficient}_high")}
            rows.append(row | {"n_used": found["n_used"].item(), "n_diverged": correlations.attrs["n_diverged"]})
    frame = pd.DataFrame(rows)
    frame.attrs["note"] = (
        "At the epoch of lowest validation loss of each network, with 95% confidence intervals: Pearson's by Fisher's "
        "transformation, Spearman's by the bootstrap. A dash: a quantity that is the same for all networks, or fewer "
        f"than four networks. Near zero: within {char_rnn.attrs['near_zero']:g} nats/step of it. Exponents below "
        f"{char_rnn.attrs['exponent_floor']:g} nats/step count as it."
    )
    return frame


def table_3_1(pretrained: xr.Dataset) -> pd.DataFrame:
    """Scores of pre-trained AeLLE, and of the loss at that epoch, on the test networks over training."""
    return _scores_over_training(pretrained, ("aelle", "loss_at_epoch"))


def table_3_2(pretrained: xr.Dataset) -> pd.DataFrame:
    """Scores of every classifier on the test networks over training, also of those that the dissertation has not."""
    return _scores_over_training(pretrained, in_display_order(pretrained["classifier"].values, CLASSIFIER_LABELS))


def _scores_over_training(pretrained: xr.Dataset, classifiers: Sequence[str]) -> pd.DataFrame:
    rows = []
    for epoch, percent in shown_epochs(pretrained):
        for classifier in classifiers:
            scores = pretrained.sel(epoch=epoch, classifier=classifier)
            printed = DISSERTATION_3_1_AND_3_2.get((percent, classifier))
            rows.append(
                {"training_percent": percent, "classifier": _classifier_label(classifier)}
                | _all_scores(scores, printed)
            )
    return _with_note(rows, pretrained)


def table_3_3(pretrained: xr.Dataset) -> pd.DataFrame:
    """F1 of the orthants of the first 1, 2, 4, ... principal components of pre-trained AeLLE over training."""
    rows = []
    for epoch, percent in shown_epochs(pretrained):
        for n_components in pretrained["n_components"].values:
            f1 = pretrained["orthant_f1"].sel(epoch=epoch, n_components=n_components)
            printed = DISSERTATION_3_3.get((percent, int(n_components)))
            row = {"training_percent": percent, "n_components": int(n_components)}
            rows.append(row | _over_seeds("f1", f1.values, printed))
    return _with_note(rows, pretrained)


def table_3_a1(groups: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Who is trained on sequential MNIST, beside the dissertation's networks.

    `groups` has the settings of each group (`lyapunov_pkg.training.design.Group`), with the number of its `networks`.
    """
    columns = ("hidden_size", "init_param_low", "init_param_high", "networks")
    order = in_display_order([group["architecture"] for group in groups], ARCHITECTURE_LABELS)
    rows = []
    for group in sorted(groups, key=lambda group: order.index(group["architecture"])):
        name = group["architecture"]
        ours = (group["hidden_size"], *level_ends(group["init_param"]), group["networks"])
        printed = DISSERTATION_A1.get(name, (np.nan,) * len(columns))
        row = {"task": "SMNIST", "architecture": ARCHITECTURE_LABELS.get(name, name), "loss": "cross entropy"}
        row |= dict(zip(columns, ours, strict=True))
        rows.append(row | {f"{column}_dissertation": number for column, number in zip(columns, printed, strict=True)})
    return pd.DataFrame(rows)


def table_3_b2(final: xr.Dataset) -> pd.DataFrame:
    """Target learning: scores on the test networks of classifiers of the trained networks' spectra, by medians."""
    return _scores_of_classifiers(final, DISSERTATION_B2)


def table_3_b3(final: xr.Dataset) -> pd.DataFrame:
    """CharRNN: scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."""
    return _scores_of_classifiers(final, DISSERTATION_B3)


def table_3_b4(final: xr.Dataset) -> pd.DataFrame:
    """SMNIST: scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."""
    return _scores_of_classifiers(final, DISSERTATION_B4)


def _scores_of_classifiers(final: xr.Dataset, printed: Mapping[str, tuple[float, float, float]]) -> pd.DataFrame:
    rows = []
    for classifier in in_display_order(final["classifier"].values, CLASSIFIER_LABELS):
        scores = _all_scores(final.sel(classifier=classifier), printed.get(classifier))
        rows.append({"classifier": _classifier_label(classifier)} | scores)
    return _with_note(rows, final)


def table_extra_prednet(prednet: xr.Dataset) -> pd.DataFrame:
    """Errors of PredNet and of what knows no spectrum in predicting the final losses of networks held out."""
    rows = []
    for predictor in in_display_order(prednet["predictor"].values, PREDICTOR_LABELS):
        row = {"predictor": PREDICTOR_LABELS.get(predictor, predictor)}
        for error in ("mean_absolute_error", "rms_error", "r_squared"):
            row |= _mean_and_spread(error, prednet[error].sel(predictor=predictor).values)
        rows.append(row)
    return _with_note(rows, prednet, "split and PredNet")


def table_extra_pruning(pruning: xr.Dataset) -> pd.DataFrame:
    """The best survivors of successive halving, by pool size and by what networks are stopped by, and what is saved."""
    rows = []
    for size in pruning["pool_size"].values:
        for criterion in in_display_order(pruning["criterion"].values, CRITERION_LABELS):
            found = pruning.sel(pool_size=size, criterion=criterion)
            row = {"pool_size": int(size), "criterion": CRITERION_LABELS[criterion], "budget": int(found["budget"])}
            for name in ("best_loss", "better_in_pool", "saved", "saved_in_all"):
                row |= _mean_and_spread(name, found[name].values)
            rows.append(row)
    return _with_note(rows, pruning)


def table_3_d5(final: xr.Dataset) -> pd.DataFrame:
    """Of the networks right of AeLLE PC1's median, and of its mean: the percentage of each architecture."""
    rows = []
    for name in in_display_order(final["share_architecture"].values, ARCHITECTURE_LABELS):
        shares, printed = final.sel(share_architecture=name), DISSERTATION_D5.get(name, (np.nan, np.nan))
        median = _over_seeds("right_of_median", shares["share_above_median"].values, printed[0])
        mean = _over_seeds("right_of_mean", shares["share_above_mean"].values, printed[1])
        rows.append({"architecture": ARCHITECTURE_LABELS.get(name, name)} | median | mean)
    return _with_note(rows, final)


def table_4_1(flips: xr.Dataset) -> pd.DataFrame:
    """Rise of the loss by flips of ranked pixels over that by random flips, with one-sided tests, by ranking and k.

    The dissertation's numbers stand beside those of sequences as long as its own.
    """
    columns = ("mean_excess", "standard_error", "p_pooled")
    rows = []
    for ranking in in_display_order(flips["ranking"].values, RANKING_LABELS):
        is_printed = ranking == "expansion" and flips.sizes["time"] == DISSERTATION_PIXELS
        for count in flips["n_flips"].values:
            found = flips.sel(ranking=ranking, n_flips=count)
            printed = DISSERTATION_4_1.get(int(count)) if is_printed else None
            row = {"ranking": RANKING_LABELS[ranking], "n_flips": count}
            for name, number in zip(columns, printed or (np.nan,) * len(columns), strict=True):
                row |= {name: found[name].item(), f"{name}_dissertation": number}
            rows.append(row | {name: found[name].item() for name in ("p_paired", "p_holm", "effect_size", "up_share")})
    frame = pd.DataFrame(rows).round(4)
    shown = flips.attrs["n_flips_shown"]
    early = 100 * flips.attrs["early_share"]
    sizes, random_share = flips.sizes, flips["up_share_random"].mean().item()
    frame.attrs["note"] = (
        f"{sizes['image']} images of {sizes['time']} pixels, {sizes['draw']} random choices of pixels for each; the "
        f"network's validation accuracy is {flips.attrs['validation_accuracy']:.3f}. Tests are one-sided; Holm's "
        f"correction is for the {sizes['n_flips']} numbers of flips. Up flips: share of flips from 0 to 1, of random "
        f"ones {random_share:.2f}. Of the {shown} pixels of largest R value {early:.0f}% are "
        f"among the first {shown} steps. The dissertation, of {DISSERTATION_PIXELS} pixels, calls its standard errors "
        "variances (docs/differences.md)."
    )
    return frame


def _with_note(
    rows: list[dict[str, Any]], experiment: xr.Dataset, seeded: str = "split and autoencoder"
) -> pd.DataFrame:
    """The rows as a table, with a note on seeds and networks that goes under it in Markdown."""
    frame = pd.DataFrame(rows)
    networks, diverged = experiment.attrs["n_networks"], experiment.attrs["n_diverged"]
    frame.attrs["note"] = (
        f"Mean ± standard deviation over seeds of {seeded} ({experiment.sizes['seed']} of them); "
        f"{networks} networks, {diverged} more left out because they diverged."
    )
    return frame


def _classifier_label(classifier: str) -> str:
    return CLASSIFIER_LABELS.get(classifier, classifier)


def _all_scores(scores: xr.Dataset, printed: tuple[float, float, float] | None) -> dict[str, float]:
    """Columns of recall, precision and F1 of one classifier; `scores` has the dimension seed alone."""
    columns = {}
    for score, number in zip(SCORES, printed or (None,) * len(SCORES), strict=True):
        columns |= _over_seeds(score, scores[score].values, number)
    return columns


def _over_seeds(name: str, values: np.ndarray, printed: float | None) -> dict[str, float]:
    """Mean and standard deviation of `values` (seed,) without NaN, and the dissertation's number."""
    printed = np.nan if printed is None else printed
    return _mean_and_spread(name, values) | {f"{name}_dissertation": printed}


def _mean_and_spread(name: str, values: np.ndarray) -> dict[str, float]:
    over_seeds = pd.Series(np.atleast_1d(values), dtype=float)
    return {f"{name}_mean": over_seeds.mean(), f"{name}_std": over_seeds.std()}


def write_table(frame: pd.DataFrame, csv_path: Path | str, markdown_path: Path | str) -> None:
    """Write `frame` as CSV, all numbers in full, and as Markdown for readers ("0.85 ± 0.02")."""
    frame.to_csv(csv_path, index=False)
    table = readable(frame).to_markdown(index=False, disable_numparse=True)
    note = f"\n{frame.attrs['note']}\n" if "note" in frame.attrs else ""
    Path(markdown_path).write_text(f"{table}\n{note}", encoding="utf-8")


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` as text, missing numbers as a dash.

    `x_mean` and `x_std` become one column "mean ± standard deviation"; `x`, `x_low` and `x_high` one "x [low, high]".
    """
    columns = {}
    for name in frame.columns:
        if name.endswith("_mean"):
            stem = name.removesuffix("_mean")
            columns[_heading(stem)] = _mean_and_std(frame[name], frame[f"{stem}_std"])
        elif f"{name}_low" in frame:
            columns[_heading(name)] = _with_interval(frame[name], frame[f"{name}_low"], frame[f"{name}_high"])
        elif not name.endswith("_std") and not _is_end_of_interval(name, frame):
            columns[_heading(name)] = _as_printed(frame[name])
    return pd.DataFrame(columns)


def _heading(name: str) -> str:
    stem = name.removesuffix("_dissertation")
    return COLUMN_LABELS[stem] + (" (dissertation)" if stem != name else "")


def _is_end_of_interval(name: str, frame: pd.DataFrame) -> bool:
    stem = name.removesuffix("_low").removesuffix("_high")
    return stem != name and stem in frame


def _with_interval(values: pd.Series, lows: pd.Series, highs: pd.Series) -> list[str]:
    return [
        "–" if pd.isna(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
        for value, low, high in zip(values, lows, highs, strict=True)
    ]


def _as_printed(column: pd.Series) -> list[str]:
    """Text as it is; numbers with as many decimals as any in the column needs for four significant digits."""
    if not pd.api.types.is_numeric_dtype(column):
        return [str(value) for value in column]
    shortest = [np.format_float_positional(value, precision=4, fractional=False, trim="-") for value in column.dropna()]
    decimals = max((len(number.partition(".")[2]) for number in shortest), default=0)
    return ["–" if pd.isna(value) else f"{value:.{decimals}f}" for value in column]


def _mean_and_std(means: pd.Series, stds: pd.Series) -> list[str]:
    largest = means.abs().max()
    decimals = 3 if largest < SMALL else 2 if largest <= 1 else 1  # small errors, fractions, percentages
    texts = []
    for mean, std in zip(means, stds, strict=True):
        spread = "" if pd.isna(std) else f" ± {std:.{decimals}f}"
        texts.append("–" if pd.isna(mean) else f"{mean:.{decimals}f}{spread}")
    return texts
