"""Autoencoder and principal components, fitted to the training part of each split of the networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings
from lyapunov_pkg.aelle.dense import Progress
from lyapunov_pkg.aelle.embedding import Embedding, fit_components
from lyapunov_pkg.aelle.fitting import FittedMembers, fit_members
from lyapunov_pkg.labels import Label
from lyapunov_pkg.reproduction.splits import PARTS, Partition, networks_in

WORKING_SHARE = 0.5  # largest error of a working autoencoder, relative to the median spectrum's error
N_COMPONENTS = 10  # number of stored principal components, if there are so many

DESCRIPTIONS = {
    "seed": Label("1", "seed of split and autoencoder"),
    "component": Label("1", "principal component, from 1"),
    "partition": Label("1", "part of the split"),
    "best_epoch": Label("epoch", "epoch of the autoencoder's training whose state was kept"),
    "part": Label("1", "part of the split"),
    "reconstruction_error": Label("nat/step", "mean absolute error of the reconstructed exponents"),
    "median_error": Label("nat/step", "the same of the median spectrum of the training part"),
    "autoencoder_works": Label(
        "1", "whether it at least halves the median spectrum's error, and explains some of the loss, on the test part"
    ),
    "r_squared": Label("1", "share of the variance of the final loss on that part that the prediction explains"),
    "aelle_component": Label("1", "principal component of the autoencoder's latent layer"),
    "spectrum_component": Label("nat/step", "principal component of the Lyapunov spectrum"),
}


def fit_on_splits(
    networks: xr.Dataset,
    partition: Partition,
    seeds: Sequence[int],
    settings: AutoencoderSettings,
    n_components: int,
    progress: Progress | None,
) -> tuple[FittedMembers, Tensor]:
    """Return AeLLE fitted to final losses and spectra of every epoch of the training networks, once per seed.

    Args:
        networks: of `networks.select_networks`.
        partition: (seed, network), the result of `splits.split_networks`.
        seeds: seeds of the autoencoders.
        settings: settings of the autoencoders.
        n_components: number of principal components of the latent layer. PC1 increases with decreasing final loss.
        progress: reports the progress of the training, e.g. `lyapunov_pkg.progress.progress`.

    Returns:
        The fitted members, and the latent points (seed, network * epoch, latent) of all spectra.
    """
    n_epochs = networks.sizes["epoch"]
    samples = networks["lyapunov_exponent"].values.reshape(-1, networks.sizes["exponent"])
    final_loss = np.repeat(networks["final_loss"].values, n_epochs)
    train, validation = (_samples_of(networks_in(partition, part), n_epochs) for part in PARTS[:2])
    fitted = fit_members(samples, final_loss, train, validation, seeds, settings, n_components, progress)
    return fitted, fitted.autoencoder.encode(samples)


def _samples_of(networks: NDArray[np.int_], n_epochs: int) -> NDArray[np.int_]:
    """Return the samples network * n_epochs + epoch of network indices (seed, n), as (seed, n * n_epochs)."""
    samples = networks[..., None] * n_epochs + np.arange(n_epochs)
    return samples.reshape(len(networks), -1)


def autoencoder_quality(
    networks: xr.Dataset,
    partition: Partition,
    reconstructed: NDArray,
    predicted_loss: NDArray,
    loss_ceiling: float,
) -> dict[str, Any]:
    """Return the quality of reconstruction and prediction on each part, compared with simple baselines.

    Args:
        networks: of `networks.select_networks`.
        partition: (seed, network).
        reconstructed: reconstructed exponents, (seed, network, epoch, exponent).
        predicted_loss: (seed, network, epoch).
        loss_ceiling: larger losses are replaced by this value.

    Returns:
        The variables reconstruction_error, median_error and r_squared (seed, part), autoencoder_works (seed), and the
        coordinate part.
    """
    exponents = networks["lyapunov_exponent"].values
    loss = np.broadcast_to(np.minimum(networks["final_loss"].values, loss_ceiling)[:, None], exponents.shape[:2])
    rows = []
    for of_seed, decoded, predicted in zip(partition, reconstructed, predicted_loss, strict=True):
        median = np.median(exponents[of_seed == "train"], axis=(0, 1))
        for part in (of_seed == name for name in PARTS):
            variance = loss[part].var()
            unexplained = np.square(predicted[part] - loss[part]).mean()
            own_error, median_error = (np.abs(each - exponents[part]).mean() for each in (decoded[part], median))
            rows.append((own_error, median_error, 1 - unexplained / variance if variance > 0 else np.nan))
    values = np.array(rows).reshape(len(partition), len(PARTS), -1)
    names = ("reconstruction_error", "median_error", "r_squared")
    variables = {name: (("seed", "part"), values[..., column]) for column, name in enumerate(names)}
    error, median_error, r_squared = values[:, PARTS.index("test")].T
    works = (error <= WORKING_SHARE * median_error) & (r_squared > 0)
    return variables | {"autoencoder_works": ("seed", works), "part": ("part", list(PARTS))}


def on_training_part(
    networks: xr.Dataset, partition: Partition, values: NDArray
) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
    """Return `on_part` for the training part."""
    return on_part(networks, partition, values, "train")


def on_part(
    networks: xr.Dataset, partition: Partition, values: NDArray, part: str
) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
    """Return values (network, epoch, ...) of a part's networks as (sample, ...), with final loss and class."""
    chosen = partition == part
    n_epochs = networks.sizes["epoch"]
    final_loss, low_error = (np.repeat(networks[name].values[chosen], n_epochs) for name in ("final_loss", "low_error"))
    return values[chosen].reshape(-1, *values.shape[2:]), final_loss, low_error


def fit_on_training_part(networks: xr.Dataset, partition: Partition, points: NDArray, n_components: int) -> Embedding:
    """Return the principal components of points (network, epoch, d), fitted to one seed's training part.

    PC1 increases with decreasing final loss."""
    samples, final_loss, _ = on_training_part(networks, partition, points)
    return fit_components(samples, final_loss, n_components)


def stored_components(networks: xr.Dataset, partition: Partition, settings: AutoencoderSettings) -> int:
    """Return the number of stored components: N_COMPONENTS, or as many as samples and dimensions allow."""
    n_samples = int(np.count_nonzero(partition[0] == "train")) * networks.sizes["epoch"]
    return min(N_COMPONENTS, n_samples, networks.sizes["exponent"], settings.latent_size)
