"""Prediction of the final loss from spectra early in training, by PredNet (dissertation, figure 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from lyapunov_pkg.aelle.dense import Progress
from lyapunov_pkg.aelle.fitting import EXPONENT_FLOOR
from lyapunov_pkg.devices import one_thread
from lyapunov_pkg.labels import Label, describe, in_unit
from lyapunov_pkg.reproduction.prediction.networks import select_networks
from lyapunov_pkg.reproduction.prediction.prednet import PredNetSettings, train_prednet
from lyapunov_pkg.reproduction.splits import PARTS, Partition, networks_in, split_networks

ERRORS = ("mean_absolute_error", "rms_error", "r_squared")
DESCRIPTIONS = {
    "seed": Label("1", "seed of split and PredNet"),
    "predictor": Label("1", "what predicts the final loss"),
    "partition": Label("1", "part of the split"),
    "best_epoch": Label("epoch", "epoch of PredNet's training whose state was kept"),
    "r_squared": Label(
        "1", "share of the test part's variance of the loss that is explained; below 0: worse than its mean"
    ),
}
LOSSES = {
    "predicted_loss": "predicted final validation loss",
    "held_out_prediction": "mean predicted final validation loss over the seeds that hold the network out",
    "mean_absolute_error": "mean absolute error on the test part",
    "rms_error": "root mean square error on the test part",
}


@one_thread()
def prednet_experiment(
    spectra: xr.Dataset,
    settings: PredNetSettings,
    seeds: Sequence[int],
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    training_share: float = 0.4,
    spectrum_length: int | None = None,
    exponent_floor: float = EXPONENT_FLOOR,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return predictions of the final loss of unseen networks, from spectra during their training.

    PredNet is compared with three predictors that do not use spectra: the mean loss of the training part
    ("training_mean"), a linear regression on the hyperparameters p and log2 of the hidden size ("hyperparameters"), and
    a linear regression on the loss at the epoch of the spectra ("loss_at_epoch").

    Args:
        spectra: as in `networks.select_networks`, with init_param and hidden_size along variant.
        settings: settings of PredNet.
        seeds: one split and one PredNet each.
        fractions: shares of networks for training, validation (which chooses PredNet's epoch) and test.
        training_share: share of the epochs, rounded to an epoch, after which the spectra are used.
        spectrum_length: number of exponents of every spectrum, by linear interpolation; None: that of the longest
            spectrum.
        exponent_floor: lower exponents are replaced by this value.
        progress: reports the progress of PredNet's training, e.g. `lyapunov_pkg.progress.progress`.

    Returns:
        Dataset over seed, predictor and network: `predicted_loss`, the errors on the test part (`mean_absolute_error`,
        `rms_error`, `r_squared`), and `held_out_prediction` (predictor, network), the mean over the seeds with the
        network in their test part, NaN if there is none. Losses above the ceiling are replaced by the ceiling.
        Attributes: n_networks, n_diverged, spectrum_epoch, total_epochs.

    Raises:
        ValueError: `training_share` is outside [0, 1], the epoch has no spectra, or there are too few networks for the
            split.
    """
    networks = select_networks(spectra, exponent_floor, spectrum_length)
    networks = _after_share(networks, training_share)
    final_loss = np.minimum(networks["final_loss"].values, settings.loss_ceiling)
    partition = split_networks(networks.sizes["network"], fractions, seeds)
    prednet, best_epoch = _predict_by_prednet(networks, final_loss, partition, seeds, settings, progress)
    baselines = {
        name: _predict_by(model, features, final_loss, partition)
        for name, (model, features) in _without_spectra(networks, settings.loss_ceiling).items()
    }
    predictions = {"prednet": prednet} | baselines
    variables = _variables(np.stack(list(predictions.values()), axis=1), final_loss, partition)
    variables["best_epoch"] = ("seed", best_epoch)
    result = networks.drop_dims("exponent").assign(variables)
    result = result.assign_coords(seed=list(seeds), predictor=list(predictions))
    return describe(result, DESCRIPTIONS | in_unit(networks["final_loss"].attrs["units"], LOSSES))


def _variables(predicted: NDArray, final_loss: NDArray, partition: Partition) -> dict[str, Any]:
    """Return variables of the split, the predictions (seed, predictor, network) and their errors."""
    per_predictor = ("seed", "predictor")
    errors = {name: (per_predictor, values) for name, values in _errors(predicted, final_loss, partition).items()}
    return errors | {
        "partition": (("seed", "network"), partition),
        "predicted_loss": ((*per_predictor, "network"), predicted),
        "held_out_prediction": (("predictor", "network"), _held_out_mean(predicted, partition)),
    }


def _after_share(networks: xr.Dataset, training_share: float) -> xr.Dataset:
    """Return networks after a share of their training, with the epoch as attribute spectrum_epoch."""
    if not 0 <= training_share <= 1:
        raise ValueError(f"training_share is {training_share}; expected 0 (before training) to 1 (after it)")
    epoch = round(training_share * networks.attrs["total_epochs"])
    if epoch not in networks["epoch"].values:
        raise ValueError(
            f"spectra are of the epochs {networks['epoch'].values.tolist()}; expected {epoch}, "
            f"{training_share:.0%} of the training, among them"
        )
    return networks.sel(epoch=epoch, drop=True).assign_attrs(spectrum_epoch=epoch)


def _without_spectra(networks: xr.Dataset, loss_ceiling: float) -> dict[str, tuple[RegressorMixin, NDArray]]:
    """Return the predictors that do not use spectra, each with a model and its features (network, k)."""
    hyperparameters = np.stack((networks["init_param"], np.log2(networks["hidden_size"])), axis=1)
    loss_at_epoch = np.minimum(networks["loss"].values, loss_ceiling)[:, None]
    return {
        "training_mean": (DummyRegressor(), hyperparameters),
        "hyperparameters": (LinearRegression(), hyperparameters),
        "loss_at_epoch": (LinearRegression(), loss_at_epoch),
    }


def _predict_by_prednet(
    networks: xr.Dataset,
    final_loss: NDArray,
    partition: Partition,
    seeds: Sequence[int],
    settings: PredNetSettings,
    progress: Progress | None,
) -> tuple[NDArray, NDArray]:
    """Return the losses (seed, network) predicted by each seed's PredNet, and the epochs of the kept states."""
    exponents = networks["lyapunov_exponent"].values
    train, validation = (networks_in(partition, part) for part in PARTS[:2])
    prednet, history = train_prednet(
        exponents[train], final_loss[train], exponents[validation], final_loss[validation], seeds, settings, progress
    )
    return prednet.predict(exponents).numpy(), history.best_epoch


def _predict_by(model: RegressorMixin, features: NDArray, final_loss: NDArray, partition: Partition) -> NDArray:
    """Return the predictions (seed, network) of a model of features (network, k), fitted on each training part."""
    return np.stack([model.fit(features[train], final_loss[train]).predict(features) for train in partition == "train"])


def _errors(predicted: NDArray, final_loss: NDArray, partition: Partition) -> dict[str, NDArray]:
    """Return the errors (seed, predictor) of predictions (seed, predictor, network) on each seed's test part."""
    rows = []
    for member, test in zip(predicted, partition == "test", strict=True):
        error, variance = member[:, test] - final_loss[test], np.var(final_loss[test])
        mean_square = np.square(error).mean(axis=1)
        r_squared = 1 - mean_square / variance if variance > 0 else np.full(len(error), np.nan)
        rows.append((np.abs(error).mean(axis=1), np.sqrt(mean_square), r_squared))
    return dict(zip(ERRORS, np.stack(rows, axis=1), strict=True))


def _held_out_mean(predicted: NDArray, partition: Partition) -> NDArray:
    """Return the mean of predictions (seed, predictor, network) over the seeds that test a network."""
    test = (partition == "test")[:, None]
    count = test.sum(axis=0)
    return np.where(count > 0, np.where(test, predicted, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
