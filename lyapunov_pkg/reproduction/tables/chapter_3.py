"""Tables of chapter 3.

Scores are fractions of 1, given as `<score>_mean` and `<score>_std` over the seeds of split and autoencoder (sample
standard deviation; empty for one seed); the dissertation's are of a single run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.figures.presentation import (
    ARCHITECTURE_LABELS,
    CLASSIFIER_LABELS,
    CRITERION_LABELS,
    PREDICTOR_LABELS,
    in_display_order,
    shown_epochs,
)
from lyapunov_pkg.reproduction.records import Groups, Store, table
from lyapunov_pkg.reproduction.tables.dissertation import (
    DISSERTATION_3_1_AND_3_2,
    DISSERTATION_3_3,
    DISSERTATION_A1,
    DISSERTATION_B2,
    DISSERTATION_B3,
    DISSERTATION_B4,
    DISSERTATION_D5,
)
from lyapunov_pkg.reproduction.tables.variables import SCORES
from lyapunov_pkg.reproduction.training.design import level_ends

ERRORS = ("mean_absolute_error", "rms_error", "r_squared")
HALVING = ("best_loss", "better_in_pool", "saved", "saved_in_all")


@table(
    stores={"pretrained": Store("results/aelle/smnist_pretrained.zarr.zip", SCORES)},
    caption="Scores of pre-trained AeLLE, and of the loss at that epoch, on the test networks over training.",
)
def table_3_1(pretrained: xr.Dataset) -> pd.DataFrame:
    """Scores of pre-trained AeLLE, and of the loss at that epoch, on the test networks over training."""
    return _scores_over_training(pretrained, ("aelle", "loss_at_epoch"))


@table(
    stores={"pretrained": Store("results/aelle/smnist_pretrained.zarr.zip", SCORES)},
    caption="Scores of every classifier on the test networks over training.",
)
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


@table(
    stores={"pretrained": Store("results/aelle/smnist_pretrained.zarr.zip", ("orthant_f1",))},
    caption="F1 of the orthants of the first principal components of pre-trained AeLLE over training.",
)
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


@table(
    stores={"groups": Groups("smnist")},
    caption="Who is trained on sequential MNIST, beside the dissertation's networks.",
)
def table_3_a1(groups: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Who is trained on sequential MNIST, beside the dissertation's networks.

    `groups` has the settings of each group (`reproduction.training.design.Group`), with the number of its `networks`.
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


@table(
    stores={"final": Store("results/aelle/target_learning_final.zarr.zip", SCORES)},
    caption=(
        "Target learning: scores on the test networks of classifiers of the trained networks' spectra; thresholds are"
        " medians."
    ),
)
def table_3_b2(final: xr.Dataset) -> pd.DataFrame:
    """Target learning: scores on the test networks of classifiers of the trained networks' spectra, by medians."""
    return scores_of_classifiers(final, DISSERTATION_B2)


@table(
    stores={"final": Store("results/aelle/char_rnn_sizes_final.zarr.zip", SCORES)},
    caption=(
        "CharRNN: scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."
    ),
)
def table_3_b3(final: xr.Dataset) -> pd.DataFrame:
    """CharRNN: scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."""
    return scores_of_classifiers(final, DISSERTATION_B3)


@table(
    stores={"final": Store("results/aelle/smnist_final.zarr.zip", SCORES)},
    caption=(
        "SMNIST: scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."
    ),
)
def table_3_b4(final: xr.Dataset) -> pd.DataFrame:
    """SMNIST: scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."""
    return scores_of_classifiers(final, DISSERTATION_B4)


def scores_of_classifiers(
    final: xr.Dataset, printed: Mapping[str, tuple[float, float, float]] | None = None
) -> pd.DataFrame:
    """Return the scores of every classifier of the trained networks, beside the dissertation's where it has any."""
    rows = []
    for classifier in in_display_order(final["classifier"].values, CLASSIFIER_LABELS):
        found = final.sel(classifier=classifier)
        if printed is None:
            scores = {
                key: value for score in SCORES for key, value in _mean_and_spread(score, found[score].values).items()
            }
        else:
            scores = _all_scores(found, printed.get(classifier))
        rows.append({"classifier": _classifier_label(classifier)} | scores)
    return _with_note(rows, final)


@table(
    stores={"prednet": Store("results/aelle/char_rnn_sizes_prednet.zarr.zip", ERRORS)},
    chapter=3,
    caption=(
        "Errors on networks held out of PredNet, which predicts the final loss from spectra early in training, and of"
        " predictors that know no spectrum."
    ),
)
def table_extra_prednet(prednet: xr.Dataset) -> pd.DataFrame:
    """Errors of PredNet and of what knows no spectrum in predicting the final losses of networks held out."""
    rows = []
    for predictor in in_display_order(prednet["predictor"].values, PREDICTOR_LABELS):
        row: dict[str, Any] = {"predictor": PREDICTOR_LABELS.get(predictor, predictor)}
        for error in ERRORS:
            row |= _mean_and_spread(error, prednet[error].sel(predictor=predictor).values)
        rows.append(row)
    return _with_note(rows, prednet, "split and PredNet")


@table(
    stores={"pruning": Store("results/aelle/smnist_pruning.zarr.zip", (*HALVING, "budget"))},
    chapter=3,
    caption=(
        "Successive halving of networks after 0, 1 and 2 epochs by AeLLE's prediction, by the loss so far and by "
        "chance: the best survivor, and what was saved."
    ),
)
def table_extra_pruning(pruning: xr.Dataset) -> pd.DataFrame:
    """The best survivors of successive halving, by pool size and by what networks are stopped by, and what is saved."""
    rows = []
    for size in pruning["pool_size"].values:
        for criterion in in_display_order(pruning["criterion"].values, CRITERION_LABELS):
            found = pruning.sel(pool_size=size, criterion=criterion)
            row: dict[str, Any] = {"pool_size": int(size), "criterion": CRITERION_LABELS[criterion]}
            row["budget"] = int(found["budget"])
            for name in HALVING:
                row |= _mean_and_spread(name, found[name].values)
            rows.append(row)
    return _with_note(rows, pruning)


@table(
    stores={"final": Store("results/aelle/smnist_final.zarr.zip", ("share_above_median", "share_above_mean"))},
    caption=(
        "Of the networks right of the median of AeLLE's first principal component, and of its mean: the percentage of"
        " each architecture."
    ),
)
def table_3_d5(final: xr.Dataset) -> pd.DataFrame:
    """Of the networks right of AeLLE PC1's median, and of its mean: the percentage of each architecture."""
    rows = []
    for name in in_display_order(final["share_architecture"].values, ARCHITECTURE_LABELS):
        shares, printed = final.sel(share_architecture=name), DISSERTATION_D5.get(name, (np.nan, np.nan))
        row: dict[str, Any] = {"architecture": ARCHITECTURE_LABELS.get(name, name)}
        median = _over_seeds("right_of_median", shares["share_above_median"].values, printed[0])
        mean = _over_seeds("right_of_mean", shares["share_above_mean"].values, printed[1])
        rows.append(row | median | mean)
    return _with_note(rows, final)


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
    columns: dict[str, float] = {}
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
