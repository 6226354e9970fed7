"""What the experiments share: the networks that count, their split, and autoencoder and classifiers on that split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings, SpectrumAutoencoder, TrainingHistory, train_autoencoder
from lyapunov_pkg.aelle.embedding import Embedding, fit_components
from lyapunov_pkg.labels import describe
from lyapunov_pkg.reproduction.prediction.classifiers import (
    Scores,
    Threshold,
    fitted_classifiers,
    has_both_classes,
    scores,
)
from lyapunov_pkg.spectra.statistics import interpolate_spectrum

# In float32, QR cannot tell a diagonal element of R from rounding once it is eps = 1.2e-7 (e^-15.9) times its column's
# own length, and one step of the networks studied shortens a column by some e^-4. Below -20 it says only "contracts
# beyond resolution", and singular Jacobians give -inf, which no autoencoder takes.
EXPONENT_FLOOR = -20.0
PARTS = ("train", "validation", "test")
N_COMPONENTS = 10  # principal components that are stored, where there are that many

NETWORK_DESCRIPTIONS = {
    "network": ("1", "index of the network among those that did not diverge"),
    "exponent": ("1", "index of the exponent"),
    "epoch": ("1", "training epoch, 0 before training"),
    "low_error": ("1", "whether the final loss is below the median"),
    "lyapunov_exponent": ("nats/step", "Lyapunov exponent, clipped from below, at the common length"),
    "lyapunov_mean": ("nats/step", "mean Lyapunov exponent"),
    "lyapunov_max": ("nats/step", "largest Lyapunov exponent"),
}
SPLIT_DESCRIPTIONS = {
    "seed": ("1", "seed of split and autoencoder"),
    "component": ("1", "principal component, from 1"),
    "classifier": ("1", "classifier of low error"),
    "partition": ("1", "part of the split"),
    "best_epoch": ("1", "epoch of the autoencoder's training whose state was kept"),
    "threshold": ("1", "decision boundary, in the units of what is classified; NaN for classifiers without one"),
    "low_is_above": ("1", "whether low error is predicted above the threshold"),
    "recall": ("1", "recall of low error on the test part"),
    "precision": ("1", "precision of low error on the test part"),
    "f1": ("1", "F1 of low error on the test part"),
}


def select_networks(spectra: xr.Dataset, exponent_floor: float, spectrum_length: int | None = None) -> xr.Dataset:
    """Return the networks that did not diverge, with their class, from the concatenated spectra.

    Args:
        spectra: lyapunov_exponent (variant, epoch, exponent), NaN behind spectra that are shorter than others;
            validation_loss (variant, epoch), of some epochs up to the last; diverged (variant); coordinates on variant.
        exponent_floor: exponents below it are set to it.
        spectrum_length: spectra are brought to it by linear interpolation; None: that of the longest.

    Returns:
        lyapunov_exponent (network, epoch, exponent), lyapunov_mean, lyapunov_max (of all exponents, as they were) and
        loss (network, epoch), low_error (network): final loss below the median; final_loss and the coordinates of the
        variants, but their seed, as coordinates. Attributes count the networks (n_networks) and those left out
        (n_diverged: flagged, or with NaN in spectrum or final loss).

    Raises:
        ValueError: fewer than two networks are left, none lies below the median, or `spectrum_length` is below 2.
    """
    loss, exponents = spectra["validation_loss"].values, spectra["lyapunov_exponent"].values
    lengths = _spectrum_lengths(exponents)
    kept = ~spectra["diverged"].values & (lengths > 0) & np.isfinite(loss[:, -1])
    n_networks = int(kept.sum())
    if n_networks < 2:
        raise ValueError(f"{n_networks} of {kept.size} networks did not diverge; expected at least 2")
    final_loss = loss[kept, -1]
    low_error = final_loss < np.median(final_loss)
    if not low_error.any():
        raise ValueError(
            f"no final loss of {n_networks} networks lies below their median, {np.median(final_loss)}; "
            "expected two classes"
        )
    exponents, lengths = np.maximum(exponents[kept], exponent_floor), lengths[kept]
    common = _at_common_length(exponents, lengths, spectrum_length or int(lengths.max()))
    per_epoch = ("network", "epoch")
    hyperparameters = [name for name, of in spectra.coords.items() if of.dims == ("variant",) and name != "seed"]
    networks = xr.Dataset(
        {
            "lyapunov_exponent": ((*per_epoch, "exponent"), common),
            "lyapunov_mean": (per_epoch, np.nanmean(exponents, axis=-1)),
            "lyapunov_max": (per_epoch, np.nanmax(exponents, axis=-1)),
            "loss": (per_epoch, loss[kept]),
            "low_error": ("network", low_error),
        },
        coords={
            "network": np.arange(n_networks),
            "epoch": spectra["epoch"].values,
            "exponent": np.arange(1, common.shape[-1] + 1),
            "final_loss": ("network", final_loss),
            **{name: ("network", spectra[name].values[kept], spectra[name].attrs) for name in hyperparameters},
        },
        attrs={
            "n_networks": n_networks,
            "n_diverged": int(kept.size - n_networks),
            "exponent_floor": exponent_floor,
            "total_epochs": int(spectra["epoch"].values[-1]),
        },
    )
    unit = spectra["validation_loss"].attrs.get("units", "1")
    of_loss = {"loss": (unit, "validation loss"), "final_loss": (unit, "validation loss after the last epoch")}
    return describe(networks, NETWORK_DESCRIPTIONS | of_loss)


def _spectrum_lengths(exponents: np.ndarray) -> np.ndarray:
    """Return how many exponents (variant, epoch, exponent) each variant has, (variant,); 0 where one is NaN at some
    epoch, for NaN may only fill up the end of a spectrum that is shorter than others."""
    defined = ~np.isnan(exponents)
    lengths = defined.any(axis=1).sum(axis=-1)
    whole = (defined == (np.arange(exponents.shape[-1]) < lengths[:, None, None])).all(axis=(1, 2))
    return np.where(whole, lengths, 0)


def _at_common_length(exponents: np.ndarray, lengths: np.ndarray, common: int) -> np.ndarray:
    """Bring the first `lengths` (network,) of exponents (network, epoch, exponent) to (network, epoch, common)."""
    result = np.empty((*exponents.shape[:2], common), dtype=exponents.dtype)
    for length in np.unique(lengths):
        own = lengths == length
        result[own] = interpolate_spectrum(exponents[own, :, :length], common)
    return result


def split_networks(n_networks: int, fractions: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
    """Return which part each network belongs to, (seed, network) of "train", "validation" or "test".

    The first two parts have their fraction of the networks, rounded; the last has the rest.

    Raises:
        ValueError: fractions that are not three positive numbers of sum 1, or a part without a network.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or not np.isclose(sum(fractions), 1):
        raise ValueError(
            f"fractions are {tuple(fractions)}; expected three positive numbers (train, validation, test) of sum 1"
        )
    n_train, n_validation = (int(fraction * n_networks + 0.5) for fraction in fractions[:2])
    counts = (n_train, n_validation, n_networks - n_train - n_validation)
    if min(counts) < 1:
        raise ValueError(
            f"{n_networks} networks split by {tuple(fractions)} into parts of {counts}; expected at least 1 in each"
        )
    parts = np.repeat(PARTS, counts)
    return np.stack([np.random.default_rng(seed).permutation(parts) for seed in seeds])


def networks_in(partition: np.ndarray, part: str) -> np.ndarray:
    """Return the networks of a part by position, (seed, n), from which part each is in, (seed, network)."""
    return np.stack([np.flatnonzero(of_seed == part) for of_seed in partition])


def train_on_split(
    networks: xr.Dataset,
    partition: np.ndarray,
    seeds: Sequence[int],
    settings: AutoencoderSettings,
    progress: Callable | None,
) -> tuple[SpectrumAutoencoder, torch.Tensor, TrainingHistory]:
    """Train one autoencoder per seed to predict final losses from the spectra of every epoch of the training networks.

    Returns:
        The autoencoders, the latent points (seed, network * epoch, latent) of all spectra, and the training's history.
    """
    exponents = networks["lyapunov_exponent"].values
    final_loss = np.minimum(networks["final_loss"].values, settings.loss_ceiling)
    n_epochs, n_exponents = exponents.shape[1:]
    parts = []
    for part in PARTS[:2]:
        chosen = networks_in(partition, part)
        parts.append(exponents[chosen].reshape(len(seeds), -1, n_exponents))
        parts.append(np.repeat(final_loss[chosen], n_epochs, axis=1))
    autoencoder, history = train_autoencoder(*parts, seeds, settings, progress)
    return autoencoder, autoencoder.encode(exponents.reshape(-1, n_exponents)), history


def on_training_part(
    networks: xr.Dataset, partition: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values (network, epoch, ...) of one seed's training networks as (samples, ...), with their final loss
    and class."""
    train = partition == "train"
    n_epochs = networks.sizes["epoch"]
    final_loss, low_error = (np.repeat(networks[name].values[train], n_epochs) for name in ("final_loss", "low_error"))
    return values[train].reshape(-1, *values.shape[2:]), final_loss, low_error


def fit_on_training_part(
    networks: xr.Dataset, partition: np.ndarray, points: np.ndarray, n_components: int
) -> Embedding:
    """Fit principal components of points (network, epoch, d) on one seed's training part, PC1 rising as the final
    loss falls."""
    samples, final_loss, _ = on_training_part(networks, partition, points)
    return fit_components(samples, final_loss, n_components)


def stored_components(networks: xr.Dataset, partition: np.ndarray, settings: AutoencoderSettings) -> int:
    """Return how many principal components are kept: N_COMPONENTS, or as many as samples and dimensions allow."""
    n_samples = np.count_nonzero(partition[0] == "train") * networks.sizes["epoch"]
    return min(N_COMPONENTS, n_samples, networks.sizes["exponent"], settings.latent_size)


class Verdict(NamedTuple):
    """A classifier on one split: its threshold, if it has one, and its scores on the test part by epoch, (epoch, 3)."""

    threshold: Threshold
    scores: np.ndarray


NO_THRESHOLD = Threshold(np.nan, False)


def judge_classifiers(
    networks: xr.Dataset,
    partition: np.ndarray,
    aelle: np.ndarray,
    spectrum: np.ndarray,
    choose: Callable[[np.ndarray, np.ndarray], Threshold],
    seed: int,
) -> dict[str, Verdict]:
    """Fit every classifier on one seed's training part and score it on its test part.

    Thresholds, chosen by `choose`, are on PC1 of `aelle` and of `spectrum` (network, epoch, component), and on the
    mean and the largest exponent.
    """
    features = {
        "aelle": aelle[..., 0],
        "lyapunov_mean": networks["lyapunov_mean"].values,
        "lyapunov_max": networks["lyapunov_max"].values,
        "spectrum_pca": spectrum[..., 0],
    }
    return judge_thresholds(networks, partition, features, choose) | judge_fitted_classifiers(networks, partition, seed)


def judge_thresholds(
    networks: xr.Dataset,
    partition: np.ndarray,
    features: Mapping[str, np.ndarray],
    choose: Callable[[np.ndarray, np.ndarray], Threshold],
) -> dict[str, Verdict]:
    """Choose a threshold on each feature (network, epoch) by one seed's training part, and score it on its test part.

    A training part of a single class gives no threshold, and NaN scores.
    """
    verdicts = {}
    for name, values in features.items():
        samples, _, is_low = on_training_part(networks, partition, values)
        if has_both_classes(is_low):
            threshold = choose(samples, is_low)
            verdicts[name] = Verdict(threshold, score_epochs(networks, partition, threshold.predict_low(values)))
        else:
            verdicts[name] = Verdict(NO_THRESHOLD, np.full((networks.sizes["epoch"], 3), np.nan))
    return verdicts


def judge_fitted_classifiers(networks: xr.Dataset, partition: np.ndarray, seed: int) -> dict[str, Verdict]:
    """Fit the scikit-learn classifiers on one seed's training part and score them on its test part."""
    exponents = networks["lyapunov_exponent"].values
    features = {
        "spectrum": exponents,
        "max_mean": np.stack((networks["lyapunov_max"].values, networks["lyapunov_mean"].values), axis=-1),
        "hyperparameters": np.repeat(hyperparameters(networks)[:, None], networks.sizes["epoch"], axis=1),
    }
    verdicts = {}
    for name, (feature, classifier) in fitted_classifiers(seed).items():
        values = features[feature]
        samples, _, is_low = on_training_part(networks, partition, values)
        by_epoch = np.full((networks.sizes["epoch"], 3), np.nan)
        if has_both_classes(is_low):
            predicted = classifier.fit(samples, is_low).predict(values.reshape(-1, values.shape[-1]))
            by_epoch = score_epochs(networks, partition, predicted.reshape(values.shape[:2]))
        verdicts[name] = Verdict(NO_THRESHOLD, by_epoch)
    return verdicts


def hyperparameters(networks: xr.Dataset) -> np.ndarray:
    """Return what is known of networks before they are made, (network, d), in the order of the hyperparameters' names.

    Numbers stay as they are; text, such as the architecture, becomes a column of 0 and 1 for each of its values. NaN
    where a cell has no such hyperparameter. The order matters: a random forest draws features by their position.
    """
    columns: list[np.ndarray] = []
    for name, coordinate in sorted(networks.coords.items()):
        if coordinate.dims != ("network",) or name in ("network", "final_loss"):
            continue
        if coordinate.dtype.kind in "OU":
            text = coordinate.values.astype(str)
            columns += [text == value for value in np.unique(text)]
        else:
            columns.append(coordinate.values)
    return np.stack(columns, axis=-1).astype(float)


def score_epochs(networks: xr.Dataset, partition: np.ndarray, predicted_low: np.ndarray) -> np.ndarray:
    """Score predictions (network, epoch) on one seed's test part, epoch by epoch: (epoch, 3), recall, precision and
    F1."""
    test = partition == "test"
    is_low = networks["low_error"].values[test]
    return np.array([scores(predicted, is_low) for predicted in predicted_low[test].T])


def verdict_variables(verdicts: Sequence[Mapping[str, Verdict]], by_epoch: bool) -> dict[str, tuple]:
    """Return the variables threshold, low_is_above (seed, classifier), recall, precision and f1, and the coordinate
    classifier.

    Scores are (seed, classifier, epoch), or (seed, classifier) of the only epoch.
    """
    names = list(verdicts[0])
    stacked = np.array([[member[name].scores for name in names] for member in verdicts])
    dims = ("seed", "classifier", "epoch") if by_epoch else ("seed", "classifier")
    variables = {
        "threshold": (dims[:2], np.array([[member[name].threshold.value for name in names] for member in verdicts])),
        "low_is_above": (
            dims[:2],
            np.array([[member[name].threshold.low_is_above for name in names] for member in verdicts]),
        ),
        "classifier": ("classifier", names),
    }
    for column, score in enumerate(Scores._fields):
        variables[score] = (dims, stacked[..., column] if by_epoch else stacked[..., 0, column])
    return variables
