"""How well PredNet predicts the final loss of networks from their spectra early in training (dissertation, figure
3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from lyapunov_pkg.aelle.prednet import PredNetSettings, train_prednet
from lyapunov_pkg.aelle.samples import EXPONENT_FLOOR, PARTS, select_networks, split_networks
from lyapunov_pkg.store import describe

ERRORS = ("mean_absolute_error", "rms_error", "r_squared")
DESCRIPTIONS = {
    "seed": ("1", "seed of split and PredNet"),
    "predictor": ("1", "what predicts the final loss"),
    "partition": ("1", "part of the split"),
    "best_epoch": ("1", "epoch of PredNet's training whose state was kept"),
    "r_squared": ("1", "share of the test part's variance of the loss that is explained; below 0: worse than its mean"),
}


def prednet_experiment(
    spectra: xr.Dataset,
    settings: PredNetSettings,
    seeds: Sequence[int],
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    training_share: float = 0.4,
    spectrum_length: int | None = None,
    exponent_floor: float = EXPONENT_FLOOR,
    progress: Callable | None = None,
) -> xr.Dataset:
    """Predict the final loss of networks that PredNet has not seen, from spectra taken during their training.

    Beside PredNet stand three predictors that know no spectrum: "training_mean", the mean loss of the training part,
    and linear regressions on the hyperparameters p and log2 of the hidden size ("hyperparameters") and on the loss at
    the time of the spectra ("loss_at_epoch").

    Args:
        spectra: as `lyapunov_pkg.aelle.samples.select_networks` takes it, with init_param and hidden_size on variant.
        settings: of PredNet.
        seeds: one split and one PredNet each.
        fractions: networks for training, validation (which chooses PredNet's epoch) and test.
        training_share: spectra are those after this share of the epochs, rounded.
        spectrum_length: exponents of every spectrum, by linear interpolation; None: as many as the longest has.
        exponent_floor: exponents below it are set to it.
        progress: shows how far PredNet's training is, e.g. `lyapunov_pkg.progress.progress`.

    Returns:
        Dataset over seed, predictor and network: `predicted_loss`, the errors on the test part (`mean_absolute_error`,
        `rms_error`, `r_squared`), and `held_out_prediction` (predictor, network), the mean over those seeds in whose
        test part a network was; NaN where there is none. Losses above the ceiling count as the ceiling. Attributes:
        n_networks, n_diverged, spectrum_epoch, total_epochs.

    Raises:
        ValueError: `training_share` outside [0, 1], or too few networks for the split.
    """
    if not 0 <= training_share <= 1:
        raise ValueError(f"training_share is {training_share}; expected 0 (before training) to 1 (after it)")
    networks = select_networks(spectra, exponent_floor, spectrum_length)
    spectrum_epoch = round(training_share * networks.attrs["total_epochs"])
    networks = networks.isel(epoch=spectrum_epoch, drop=True)
    final_loss = np.minimum(networks["final_loss"].values, settings.loss_ceiling)
    partition = split_networks(networks.sizes["network"], fractions, seeds)
    hyperparameters = np.stack((networks["init_param"], np.log2(networks["hidden_size"])), axis=1)
    loss_at_epoch = np.minimum(networks["loss"].values, settings.loss_ceiling)[:, None]
    without_spectra = {
        "training_mean": (DummyRegressor(), hyperparameters),
        "hyperparameters": (LinearRegression(), hyperparameters),
        "loss_at_epoch": (LinearRegression(), loss_at_epoch),
    }
    prednet, best_epoch = _predict_by_prednet(networks, final_loss, partition, seeds, settings, progress)
    predictions = {
        "prednet": prednet,
        **{name: _predict_by(*model, final_loss, partition) for name, model in without_spectra.items()},
    }
    predicted = np.stack(list(predictions.values()), axis=1)
    per_predictor = ("seed", "predictor")
    errors = {name: (per_predictor, values) for name, values in _errors(predicted, final_loss, partition).items()}
    variables = errors | {
        "partition": (("seed", "network"), partition),
        "best_epoch": ("seed", best_epoch),
        "predicted_loss": ((*per_predictor, "network"), predicted),
        "held_out_prediction": (("predictor", "network"), _held_out_mean(predicted, partition)),
    }
    result = networks.drop_dims("exponent").assign(variables)
    result = result.assign_coords(seed=list(seeds), predictor=list(predictions)).assign_attrs(
        spectrum_epoch=spectrum_epoch
    )
    unit = networks["final_loss"].attrs["units"]
    of_loss = {
        "predicted_loss": (unit, "predicted final validation loss"),
        "held_out_prediction": (unit, "mean predicted final validation loss over the seeds that hold the network out"),
        "mean_absolute_error": (unit, "mean absolute error on the test part"),
        "rms_error": (unit, "root mean square error on the test part"),
    }
    return describe(result, DESCRIPTIONS | of_loss)


def _predict_by_prednet(
    networks: xr.Dataset,
    final_loss: np.ndarray,
    partition: np.ndarray,
    seeds: Sequence[int],
    settings: PredNetSettings,
    progress: Callable | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the losses (seed, network) that each seed's PredNet predicts, and the epochs whose states were kept."""
    exponents = networks["lyapunov_exponent"].values
    parts = []
    for part in PARTS[:2]:
        chosen = [np.flatnonzero(member == part) for member in partition]
        parts += [np.stack([values[index] for index in chosen]) for values in (exponents, final_loss)]
    prednet, history = train_prednet(*parts, seeds, settings, progress)
    return prednet.predict(exponents).numpy(), history.best_epoch


def _predict_by(
    model: RegressorMixin, features: np.ndarray, final_loss: np.ndarray, partition: np.ndarray
) -> np.ndarray:
    """Return what a model of features (network, k) predicts, fitted on each training part: (seed, network)."""
    return np.stack([model.fit(features[train], final_loss[train]).predict(features) for train in partition == "train"])


def _errors(predicted: np.ndarray, final_loss: np.ndarray, partition: np.ndarray) -> dict[str, np.ndarray]:
    """Return the errors (seed, predictor) of predictions (seed, predictor, network) on each seed's test part."""
    rows = []
    for member, test in zip(predicted, partition == "test", strict=True):
        error, variance = member[:, test] - final_loss[test], np.var(final_loss[test])
        mean_square = np.square(error).mean(axis=1)
        r_squared = 1 - mean_square / variance if variance > 0 else np.full(len(error), np.nan)
        rows.append((np.abs(error).mean(axis=1), np.sqrt(mean_square), r_squared))
    return dict(zip(ERRORS, np.stack(rows, axis=1), strict=True))


def _held_out_mean(predicted: np.ndarray, partition: np.ndarray) -> np.ndarray:
    """Return the mean (predictor, network) of predictions (seed, predictor, network) over the seeds with the network in
    their test part."""
    test = (partition == "test")[:, None]
    count = test.sum(axis=0)
    return np.where(count > 0, np.where(test, predicted, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
