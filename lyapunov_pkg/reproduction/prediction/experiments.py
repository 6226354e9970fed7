"""How well PredNet predicts the final loss of networks: from spectra early in training (dissertation, figure 3.1), and
from spectra against eigenvalues after it (figure 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from scipy.stats import t as student_t
from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from lyapunov_pkg.labels import describe
from lyapunov_pkg.reproduction.prediction.prednet import PredNet, PredNetHistory, PredNetSettings, train_prednet
from lyapunov_pkg.reproduction.prediction.samples import (
    EXPONENT_FLOOR,
    PARTS,
    networks_in,
    select_networks,
    split_networks,
)

CONFIDENCE = 0.95
ERRORS = ("mean_absolute_error", "rms_error", "r_squared")
SUMMARIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "last": lambda errors: errors[..., -1],
    "lowest": lambda errors: errors.min(axis=-1),
}
SQUARED = {
    "train_error": "mean square error of PredNet on its training part",
    "validation_error": "mean square error of PredNet on the validation part",
    "baseline_error": "mean square error of the training part's mean on the validation part",
    "difference": "mean square error from eigenvalues minus that from spectra, mean over seeds",
    "difference_low": "lower end of the 95 % interval of the difference",
    "difference_high": "upper end of the 95 % interval of the difference",
}
COMPARISON_DESCRIPTIONS = {
    "seed": ("1", "seed of split and PredNet"),
    "feature": ("1", "what PredNet predicts from"),
    "prednet_epoch": ("epoch", "steps of PredNet's training"),
    "summary": ("1", "which error of a curve: that after the last epoch, or the lowest"),
    "better": ("1", "feature with the lower error, or undecided where the interval holds zero"),
}
DESCRIPTIONS = {
    "seed": ("1", "seed of split and PredNet"),
    "predictor": ("1", "what predicts the final loss"),
    "partition": ("1", "part of the split"),
    "best_epoch": ("1", "epoch of PredNet's training whose state was kept"),
    "r_squared": ("1", "share of the test part's variance of the loss that is explained; below 0: worse than its mean"),
}

OF_LOSS = {
    "predicted_loss": "predicted final validation loss",
    "held_out_prediction": "mean predicted final validation loss over the seeds that hold the network out",
    "mean_absolute_error": "mean absolute error on the test part",
    "rms_error": "root mean square error on the test part",
}
"""Of variables in the unit of the loss."""


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
        spectra: as `samples.select_networks` takes it, with init_param and hidden_size on variant.
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
        ValueError: `training_share` outside [0, 1], no spectra of that epoch, or too few networks for the split.
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
    result = result.assign_coords(seed=list(seeds), predictor=list(predictions))
    unit = networks["final_loss"].attrs["units"]
    return describe(result, DESCRIPTIONS | {name: (unit, text) for name, text in OF_LOSS.items()})


def _after_share(networks: xr.Dataset, training_share: float) -> xr.Dataset:
    """Return networks as they were after a share of their training; attribute spectrum_epoch: the epoch that is."""
    if not 0 <= training_share <= 1:
        raise ValueError(f"training_share is {training_share}; expected 0 (before training) to 1 (after it)")
    epoch = round(training_share * networks.attrs["total_epochs"])
    if epoch not in networks["epoch"].values:
        raise ValueError(
            f"spectra are of the epochs {networks['epoch'].values.tolist()}; expected {epoch}, "
            f"{training_share:.0%} of the training, among them"
        )
    return networks.sel(epoch=epoch, drop=True).assign_attrs(spectrum_epoch=epoch)


def _without_spectra(networks: xr.Dataset, loss_ceiling: float) -> dict[str, tuple[RegressorMixin, np.ndarray]]:
    """Return the predictors that know no spectrum, each a model and its features (network, k)."""
    hyperparameters = np.stack((networks["init_param"], np.log2(networks["hidden_size"])), axis=1)
    loss_at_epoch = np.minimum(networks["loss"].values, loss_ceiling)[:, None]
    return {
        "training_mean": (DummyRegressor(), hyperparameters),
        "hyperparameters": (LinearRegression(), hyperparameters),
        "loss_at_epoch": (LinearRegression(), loss_at_epoch),
    }


def eigenvalue_experiment(
    spectra: xr.Dataset,
    eigenvalues: xr.Dataset,
    settings: PredNetSettings,
    seeds: Sequence[int],
    validation_share: float = 0.2,
    exponent_floor: float = EXPONENT_FLOOR,
    progress: Callable | None = None,
) -> xr.Dataset:
    """Train PredNets on the spectra of trained networks, and others on the eigenvalues of their Jacobians at one point.

    Both see the same splits. Whether one predicts better is told by the difference of their mean square errors on the
    validation parts: its mean over the seeds, with the interval of the t distribution whose variance is corrected for
    splits that overlap (Nadeau & Bengio 2003).

    Args:
        spectra: as `reproduction.prediction.samples.select_networks` takes it; those of the last epoch are used.
        eigenvalues: of `reproduction.populations.eigenvalues.eigenvalues_of_training`, of the same variants.
        settings: of the PredNets.
        seeds: one split, and one PredNet on each kind of feature, each.
        validation_share: of the networks; the others are for training.
        exponent_floor: exponents below it are set to it.
        progress: shows how far PredNet's training is, e.g. `lyapunov_pkg.progress.progress`.

    Returns:
        Dataset over seed, feature ("spectrum", "eigenvalues") and prednet_epoch: `train_error` and `validation_error`,
        mean squares; `baseline_error` (seed), that of predicting the mean of the training part. Over summary ("last"
        epoch, "lowest" error): `difference`, eigenvalues minus spectra, `difference_low` and `difference_high`, and
        `better`, the feature that predicts better or "undecided" where the interval holds zero. Losses above the
        ceiling count as the ceiling. Attributes: n_networks, n_diverged.

    Raises:
        ValueError: other variants in `eigenvalues` than in `spectra`, fewer than two seeds, or a part without networks.
    """
    if not np.array_equal(spectra["seed"].values, eigenvalues["seed"].values):
        raise ValueError("eigenvalues are of other variants than spectra; expected the same ones in the same order")
    if len(seeds) < 2:
        raise ValueError(f"there are {len(seeds)} seeds; expected at least 2, for a spread")
    networks, features = _spectra_and_eigenvalues(spectra, eigenvalues, exponent_floor)
    final_loss = np.minimum(networks["final_loss"].values, settings.loss_ceiling)
    train, validation = _two_parts(networks.sizes["network"], validation_share, seeds)
    histories = [
        _train_on(values, final_loss, train, validation, seeds, settings, progress)[1] for values in features.values()
    ]
    errors = np.stack([history.validation_error for history in histories], axis=1)
    training_mean = final_loss[train].mean(axis=1, keepdims=True)
    curves = ("seed", "feature", "prednet_epoch")
    result = xr.Dataset(
        {
            "train_error": (curves, np.stack([history.train_error for history in histories], axis=1)),
            "validation_error": (curves, errors),
            "baseline_error": ("seed", np.square(final_loss[validation] - training_mean).mean(axis=1)),
            **_differences(errors, validation.shape[1] / train.shape[1]),
        },
        coords={
            "seed": list(seeds),
            "feature": list(features),
            "prednet_epoch": np.arange(1, settings.epochs + 1),
            "summary": list(SUMMARIES),
        },
        attrs={name: networks.attrs[name] for name in ("n_networks", "n_diverged")},
    )
    unit = f"{networks['final_loss'].attrs['units']}^2"
    return describe(result, COMPARISON_DESCRIPTIONS | {name: (unit, text) for name, text in SQUARED.items()})


def _spectra_and_eigenvalues(
    spectra: xr.Dataset, eigenvalues: xr.Dataset, exponent_floor: float
) -> tuple[xr.Dataset, dict[str, np.ndarray]]:
    """Return the networks that count after their last epoch, and their features (network, d) of either kind."""
    rows = spectra.assign_coords(row=("variant", np.arange(spectra.sizes["variant"])))
    networks = select_networks(rows, exponent_floor).isel(epoch=-1)
    parts = [eigenvalues[f"eigenvalue_{part}"].values[networks["row"].values] for part in ("real", "imaginary")]
    return networks, {
        "spectrum": networks["lyapunov_exponent"].values,
        "eigenvalues": np.concatenate(parts, axis=1),
    }


def _two_parts(n_networks: int, validation_share: float, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return each seed's training and validation networks, (seed, network) indices."""
    n_validation = round(validation_share * n_networks)
    if not 1 <= n_validation < n_networks:
        raise ValueError(
            f"validation_share {validation_share} of {n_networks} networks is {n_validation}; expected at least 1, and "
            "at least 1 left for training"
        )
    order = np.stack([np.random.default_rng(seed).permutation(n_networks) for seed in seeds])
    return order[:, n_validation:], order[:, :n_validation]


def _differences(errors: np.ndarray, validation_to_train: float) -> dict[str, tuple]:
    """Return by which error eigenvalues are behind spectra, with its interval, from errors (seed, feature, epoch)."""
    n_seeds, rows = len(errors), []
    for summary in SUMMARIES.values():
        of_spectra, of_eigenvalues = summary(errors).T
        difference = of_eigenvalues - of_spectra
        deviation = np.sqrt((1 / n_seeds + validation_to_train) * difference.var(ddof=1))
        reach = student_t.ppf((1 + CONFIDENCE) / 2, n_seeds - 1) * deviation
        mean = difference.mean()
        better = "spectrum" if mean > reach else "eigenvalues" if mean < -reach else "undecided"
        rows.append((mean, mean - reach, mean + reach, better))
    names = ("difference", "difference_low", "difference_high", "better")
    return {name: ("summary", np.array(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


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
    train, validation = (networks_in(partition, part) for part in PARTS[:2])
    prednet, history = _train_on(exponents, final_loss, train, validation, seeds, settings, progress)
    return prednet.predict(exponents).numpy(), history.best_epoch


def _train_on(
    features: np.ndarray,
    final_loss: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    seeds: Sequence[int],
    settings: PredNetSettings,
    progress: Callable | None,
) -> tuple[PredNet, PredNetHistory]:
    """Train one PredNet per seed on features (network, d), with its training and validation networks (seed, n)."""
    return train_prednet(
        features[train], final_loss[train], features[validation], final_loss[validation], seeds, settings, progress
    )


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
