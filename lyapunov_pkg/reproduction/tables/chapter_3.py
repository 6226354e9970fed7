"""Tables of chapter 3.

Scores are fractions of 1, as `<score>_mean` and `<score>_std` over the seeds of split and autoencoder (sample standard
deviation; empty for one seed). The dissertation's scores are those of a single run.
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
    STUDY_LABELS,
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
from lyapunov_pkg.reproduction.tables.variables import DIFFERENCE, SCORES
from lyapunov_pkg.reproduction.training.design import level_ends

QUALITY = ("reconstruction_error", "median_error", "r_squared")
ERRORS = ("mean_absolute_error", "rms_error", "r_squared")
HALVING = ("best_loss", "better_in_pool", "saved", "saved_in_all")


@table(
    stores={"pretrained": Store("results/aelle/smnist_pretrained.zarr.zip", (*SCORES, *DIFFERENCE, "partition"))},
    caption="Scores of pre-trained AeLLE, and of the loss at that epoch, on the test networks over training.",
)
def table_3_1(pretrained: xr.Dataset) -> pd.DataFrame:
    """Scores of pre-trained AeLLE, and of the loss at that epoch, on the test networks over training."""
    return _scores_over_training(pretrained, ("aelle", "loss_at_epoch", "loss_at_epoch_chosen"))


@table(
    stores={"pretrained": Store("results/aelle/smnist_pretrained.zarr.zip", (*SCORES, *DIFFERENCE, "partition"))},
    caption="Scores of every classifier on the test networks over training.",
)
def table_3_2(pretrained: xr.Dataset) -> pd.DataFrame:
    """Return the scores of every classifier on the test networks over training, also without the dissertation's."""
    return _scores_over_training(pretrained, in_display_order(pretrained["classifier"].values, CLASSIFIER_LABELS))


def _scores_over_training(pretrained: xr.Dataset, classifiers: Sequence[str]) -> pd.DataFrame:
    rows = []
    present = set(pretrained["classifier"].values)
    for epoch, percent in shown_epochs(pretrained):
        for classifier in (name for name in classifiers if name in present):
            scores = pretrained.sel(epoch=epoch, classifier=classifier)
            printed = DISSERTATION_3_1_AND_3_2.get((percent, classifier))
            rows.append(
                {"training_percent": percent, "classifier": _classifier_label(classifier)}
                | _all_scores(scores, printed)
                | _behind_aelle(scores)
            )
    return _with_note(rows, pretrained)


@table(
    stores={"pretrained": Store("results/aelle/smnist_pretrained.zarr.zip", ("orthant_f1",))},
    caption="F1 of the orthants of the first principal components of pre-trained AeLLE over training.",
)
def table_3_3(pretrained: xr.Dataset) -> pd.DataFrame:
    """Return F1 of the orthants of the first 1, 2, 4, ... principal components of pre-trained AeLLE over training."""
    rows = []
    for epoch, percent in shown_epochs(pretrained):
        for n_components in pretrained["n_components"].values:
            f1 = pretrained["orthant_f1"].sel(epoch=epoch, n_components=n_components)
            printed = DISSERTATION_3_3.get((percent, int(n_components)))
            row = {"training_percent": percent, "n_components": int(n_components)}
            rows.append(row | _over_seeds("f1", f1.values, printed))
    return _with_note(rows, pretrained)


@table(
    stores={study: Groups(study) for study in ("target_learning", "char_rnn_sizes", "smnist")},
    caption="Networks that are trained in chapter 3, compared with the dissertation's.",
)
def table_3_a1(**studies: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the networks that are trained on each task, and the dissertation's.

    A study is given by the settings of each of its groups (`reproduction.training.design.Group`), with the number of
    its `networks`.
    """
    columns = ("hidden_size", "init_param_low", "init_param_high", "networks")
    rows = []
    for study, groups in studies.items():
        for name in in_display_order([group["architecture"] for group in groups], ARCHITECTURE_LABELS):
            ours: tuple[Any, ...] = _of_groups([group for group in groups if group["architecture"] == name])
            printed: tuple[Any, ...] = DISSERTATION_A1.get((study, name), ("–", np.nan, np.nan, np.nan))
            loss = "mean absolute error" if study == "target_learning" else "cross entropy"
            row: dict[str, Any] = {
                "task": STUDY_LABELS[study],
                "architecture": ARCHITECTURE_LABELS.get(name, name),
                "loss": loss,
            }
            row |= dict(zip(columns, ours, strict=True))
            rows.append(row | {f"{column}_dissertation": cell for column, cell in zip(columns, printed, strict=True)})
    return pd.DataFrame(rows)


def _of_groups(groups: Sequence[Mapping[str, Any]]) -> tuple[str, float, float, int]:
    """Return hidden sizes, range of the initialisation parameter and total number of networks of groups."""
    sizes = sorted({group["hidden_size"] for group in groups})
    lows, highs = zip(*(level_ends(group["init_param"]) for group in groups), strict=True)
    return ", ".join(map(str, sizes)), min(lows), max(highs), sum(group["networks"] for group in groups)


@table(
    stores={"final": Store("results/aelle/target_learning_final.zarr.zip", (*SCORES, *DIFFERENCE, "partition"))},
    caption=(
        "Target learning: scores on the test networks of classifiers of the trained networks' spectra; thresholds are"
        " medians."
    ),
)
def table_3_b2(final: xr.Dataset) -> pd.DataFrame:
    """Return scores on the test networks of target learning of classifiers of spectra, with medians as thresholds."""
    return scores_of_classifiers(final, DISSERTATION_B2)


@table(
    stores={"final": Store("results/aelle/char_rnn_sizes_final.zarr.zip", (*SCORES, *DIFFERENCE, "partition"))},
    caption=(
        "CharRNN: scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."
    ),
)
def table_3_b3(final: xr.Dataset) -> pd.DataFrame:
    """CharRNN: scores on the test networks of classifiers of the trained networks' spectra; thresholds are medians."""
    return scores_of_classifiers(final, DISSERTATION_B3)


@table(
    stores={"final": Store("results/aelle/smnist_final.zarr.zip", (*SCORES, *DIFFERENCE, "partition"))},
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
    """Return the scores of every classifier of the trained networks, and the dissertation's if it has any."""
    rows = []
    for classifier in in_display_order(final["classifier"].values, CLASSIFIER_LABELS):
        found = final.sel(classifier=classifier)
        row: dict[str, Any] = {"classifier": _classifier_label(classifier)}
        if printed is None:
            for score in SCORES:
                row |= _mean_and_spread(score, found[score].values)
        else:
            row |= _all_scores(found, printed.get(classifier))
        rows.append(row | _behind_aelle(found))
    return _with_note(rows, final)


@table(
    stores={"prednet": Store("results/aelle/char_rnn_sizes_prednet.zarr.zip", ERRORS)},
    chapter=3,
    caption=(
        "Errors on held-out networks of PredNet, which predicts the final loss from spectra early in training, and "
        "of predictors that do not use spectra."
    ),
)
def table_extra_prednet(prednet: xr.Dataset) -> pd.DataFrame:
    """Return the errors of PredNet, and of predictors without spectra, for the losses of held-out networks."""
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
        "Successive halving of networks after 0, 1 and 2 epochs by AeLLE's prediction, by the present loss and by "
        "chance: the best survivor, and the saved training."
    ),
)
def table_extra_pruning(pruning: xr.Dataset) -> pd.DataFrame:
    """Return the best survivors of successive halving, by pool size and criterion, and the saved training."""
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
        "Percentage of each architecture among the networks above the median of AeLLE's first principal component, "
        "and above its mean."
    ),
)
def table_3_d5(final: xr.Dataset) -> pd.DataFrame:
    """Return the percentage of each architecture among the networks above AeLLE PC1's median, and above its mean."""
    rows = []
    for name in in_display_order(final["share_architecture"].values, ARCHITECTURE_LABELS):
        shares, printed = final.sel(share_architecture=name), DISSERTATION_D5.get(name, (np.nan, np.nan))
        row: dict[str, Any] = {"architecture": ARCHITECTURE_LABELS.get(name, name)}
        median = _over_seeds("right_of_median", shares["share_above_median"].values, printed[0])
        mean = _over_seeds("right_of_mean", shares["share_above_mean"].values, printed[1])
        rows.append(row | median | mean)
    return _with_note(rows, final)


def _behind_aelle(found: xr.Dataset) -> dict[str, float]:
    """Return AeLLE's F1 minus that of a classifier as columns, with its interval; NaN for AeLLE itself."""
    itself = found["classifier"].item() == "aelle"
    return {name: np.nan if itself else float(found[name]) for name in DIFFERENCE}


@table(
    stores={
        study: Store(f"results/aelle/{study}.zarr.zip", (*QUALITY, "autoencoder_works"))
        for study in ("smnist_final", "smnist_pretrained", "target_learning_final", "char_rnn_sizes_final")
    },
    chapter=3,
    caption=(
        "Errors of the autoencoders' reconstructions, compared with the median spectrum of the training part, and "
        "R² of the predicted losses."
    ),
)
def table_extra_autoencoder(**experiments: xr.Dataset) -> pd.DataFrame:
    """Return errors of reconstruction, those of the median spectrum, and R² of the predicted loss, by part."""
    rows = []
    for name, experiment in experiments.items():
        study, _, kind = name.rpartition("_")
        for part in ("train", "test"):
            row: dict[str, Any] = {"task": STUDY_LABELS.get(study, study), "experiment": kind, "part": part}
            for quantity in QUALITY:
                row |= _mean_and_spread(quantity, experiment[quantity].sel(part=part).values)
            row["works"] = f"{int(experiment['autoencoder_works'].sum())} of {experiment.sizes['seed']} seeds"
            rows.append(row)
    frame = pd.DataFrame(rows)
    frame.attrs["decimals"] = 4  # spectra of target learning hardly differ
    frame.attrs["note"] = (
        "Mean ± standard deviation over seeds of split and autoencoder. An autoencoder works if its error on the test "
        "part is at most half of that of the median spectrum, and R² there is above zero."
    )
    return frame


def _with_note(
    rows: list[dict[str, Any]], experiment: xr.Dataset, seeded: str = "split and autoencoder"
) -> pd.DataFrame:
    """Return the rows as a table, with a note on seeds and networks for Markdown."""
    frame = pd.DataFrame(rows)
    networks, diverged = experiment.attrs["n_networks"], experiment.attrs["n_diverged"]
    frame.attrs["note"] = (
        f"Mean ± standard deviation over seeds of {seeded} ({experiment.sizes['seed']} of them); {networks} "
        f"networks, and {diverged} that diverged and were left out."
    )
    if "partition" in experiment:
        n_test = int((experiment["partition"].isel(seed=0) == "test").sum())
        frame.attrs["note"] += (
            f" {n_test} networks are for testing. AeLLE's F1 minus that of a classifier has a 95% interval over the "
            "splits, corrected for their overlap (Nadeau & Bengio 2003)."
        )
    return frame


def _classifier_label(classifier: str) -> str:
    return CLASSIFIER_LABELS.get(classifier, classifier)


def _all_scores(scores: xr.Dataset, printed: tuple[float, float, float] | None) -> dict[str, float]:
    """Return columns of recall, precision and F1 of one classifier. `scores` has only the dimension seed."""
    columns: dict[str, float] = {}
    for score, number in zip(SCORES, printed or (None,) * len(SCORES), strict=True):
        columns |= _over_seeds(score, scores[score].values, number)
    return columns


def _over_seeds(name: str, values: np.ndarray, printed: float | None) -> dict[str, float]:
    """Return mean and standard deviation of `values` (seed,) without NaN, and the dissertation's number."""
    printed = np.nan if printed is None else printed
    return _mean_and_spread(name, values) | {f"{name}_dissertation": printed}


def _mean_and_spread(name: str, values: np.ndarray) -> dict[str, float]:
    over_seeds = pd.Series(np.atleast_1d(values), dtype=float)
    return {f"{name}_mean": over_seeds.mean(), f"{name}_std": over_seeds.std()}
