"""AeLLE of trained networks: embedding, classifiers, and shifts of the predicted loss.

These are the data of figures 3.9, 3.12 to 3.15 and B3, and of tables B4 and D5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings, SpectrumAutoencoder
from lyapunov_pkg.aelle.dense import Progress
from lyapunov_pkg.aelle.embedding import Embedding, loss_shift, zero_loss_set
from lyapunov_pkg.aelle.fitting import EXPONENT_FLOOR
from lyapunov_pkg.devices import one_thread
from lyapunov_pkg.labels import Label, describe, in_unit
from lyapunov_pkg.reproduction.prediction.classifiers import median_threshold
from lyapunov_pkg.reproduction.prediction.embedding import DESCRIPTIONS as EMBEDDING_DESCRIPTIONS
from lyapunov_pkg.reproduction.prediction.embedding import (
    autoencoder_quality,
    fit_on_splits,
    fit_on_training_part,
    stored_components,
)
from lyapunov_pkg.reproduction.prediction.judging import DESCRIPTIONS as JUDGING_DESCRIPTIONS
from lyapunov_pkg.reproduction.prediction.judging import Verdict, judge_classifiers, verdict_variables
from lyapunov_pkg.reproduction.prediction.networks import select_networks
from lyapunov_pkg.reproduction.splits import Partition, networks_in, split_networks

DESCRIPTIONS = (
    EMBEDDING_DESCRIPTIONS
    | JUDGING_DESCRIPTIONS
    | {
        "latent": Label("1", "value of the autoencoder's latent layer"),
        "reconstructed_exponent": Label("nat/step", "Lyapunov exponent as the decoder gives it back"),
        "example_network": Label("1", "network of median final loss of its architecture"),
        "example_architecture": Label("1", "architecture of the example"),
        "shifted_component": Label("1", "principal component after the predicted loss was moved"),
        "shifted_exponent": Label("nat/step", "decoded Lyapunov exponent after the predicted loss was moved"),
        "zero_loss_component": Label("1", "principal component of a point of predicted loss zero"),
        "zero_loss_exponent": Label("nat/step", "decoded Lyapunov exponent of a point of predicted loss zero"),
        "share_architecture": Label("1", "architecture"),
        "share_above_median": Label("%", "share of the architecture among the networks above the median of AeLLE PC1"),
        "share_above_mean": Label("%", "share of the architecture among the networks above the mean of AeLLE PC1"),
    }
)
LOSSES = {"predicted_loss": "predicted validation loss", "loss_shift": "change of the predicted loss"}


@one_thread()
def final_experiment(
    spectra: xr.Dataset,
    settings: AutoencoderSettings,
    seeds: Sequence[int],
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    exponent_floor: float = EXPONENT_FLOOR,
    spectrum_length: int | None = None,
    loss_shifts: Sequence[float] = (-1.0, -0.5, 0.0, 0.5, 1.0),
    n_zero_loss: int = 64,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return the embedding of trained networks' spectra, classifications of their error, and shifts of the loss.

    The networks are those after their last epoch, and are split by network. Thresholds are medians of the training
    part, in the direction with the higher F1. Scores are those of the test part.

    Args:
        spectra: as in `networks.select_networks`.
        settings: settings of the autoencoder.
        seeds: seeds, each with one split and one autoencoder.
        fractions: shares of networks for training, validation and test.
        exponent_floor: lower exponents are replaced by this value.
        spectrum_length: number of exponents of every spectrum, by linear interpolation; None: that of the longest
            spectrum.
        loss_shifts: changes of the predicted loss (eq. 3.7).
        n_zero_loss: number of random points with predicted loss zero.
        progress: reports the progress of the autoencoder's training, e.g. `lyapunov_pkg.progress.progress`.

    Returns:
        Dataset over seed, network, exponent, component, latent, classifier, loss_shift, example, zero_loss_sample and
        share_architecture. Attributes: n_networks, n_diverged, exponent_floor, total_epochs,
        encoder_widths, from the spectrum to the latent layer.

    Raises:
        ValueError: there are too few networks for the split, or only one class.
    """
    networks = select_networks(spectra, exponent_floor, spectrum_length).isel(epoch=[-1])
    partition = split_networks(networks.sizes["network"], fractions, seeds)
    n_components = stored_components(networks, partition, settings)
    fitted, latent = fit_on_splits(networks, partition, seeds, settings, n_components, progress)
    autoencoder, embeddings = fitted.autoencoder, fitted.embeddings
    members = [
        _one_seed(networks, *of_seed, n_components)
        for of_seed in zip(partition, latent.numpy(), embeddings, seeds, strict=True)
    ]
    aelle = np.stack([member.aelle for member in members])
    per_network = ("seed", "network")
    predicted, reconstructed = autoencoder.predict(latent).numpy(), autoencoder.decode(latent).numpy()
    variables = {
        "partition": (per_network, partition),
        "best_epoch": ("seed", fitted.history.best_epoch),
        "latent": ((*per_network, "latent"), latent.numpy()),
        "aelle_component": ((*per_network, "component"), aelle),
        "spectrum_component": ((*per_network, "component"), np.stack([member.spectrum for member in members])),
        "predicted_loss": (per_network, predicted),
        "reconstructed_exponent": ((*per_network, "exponent"), reconstructed),
    }
    variables |= verdict_variables([member.verdicts for member in members], partition, by_epoch=False)
    variables |= autoencoder_quality(
        networks, partition, reconstructed[:, :, None], predicted[..., None], settings.loss_ceiling
    )
    variables |= _shifted(networks, autoencoder, latent, embeddings, loss_shifts)
    variables |= _zero_loss(autoencoder, latent, partition, embeddings, n_zero_loss, seeds)
    variables |= _shares(networks["architecture"].values, aelle[..., 0])
    return _labelled(networks, variables, seeds, settings)


def _labelled(
    networks: xr.Dataset, variables: dict[str, Any], seeds: Sequence[int], settings: AutoencoderSettings
) -> xr.Dataset:
    """Return the networks after their only epoch, with the variables of the experiment."""
    result = networks.isel(epoch=0, drop=True).drop_vars("loss").assign(variables)
    component = np.arange(1, result.sizes["component"] + 1)
    result = result.assign_coords(seed=list(seeds), component=component)
    result = result.set_coords(("example_network", "example_architecture"))
    result = result.assign_attrs(encoder_widths=list(settings.widths(networks.sizes["exponent"])))
    return describe(result, DESCRIPTIONS | in_unit(networks["final_loss"].attrs["units"], LOSSES))


class _Member(NamedTuple):
    aelle: NDArray  # (network, component)
    spectrum: NDArray  # (network, component)
    verdicts: dict[str, Verdict]


def _one_seed(
    networks: xr.Dataset, partition: Partition, latent: NDArray, embedding: Embedding, seed: int, n_components: int
) -> _Member:
    """Return embeddings and classifications for one seed's split; latent is (network, latent)."""
    exponents = networks["lyapunov_exponent"].values
    aelle = embedding.transform(latent[:, None])
    spectrum = fit_on_training_part(networks, partition, exponents, n_components).transform(exponents)
    verdicts = judge_classifiers(networks, partition, aelle, spectrum, median_threshold, seed)
    return _Member(aelle[:, 0], spectrum[:, 0], verdicts)


def _example_networks(architecture: NDArray, final_loss: NDArray) -> tuple[NDArray, NDArray]:
    """Return the network of (lower) median final loss of each architecture, (example,), and the architectures."""
    names = list(dict.fromkeys(architecture))
    ranked = [np.flatnonzero(architecture == name)[np.argsort(final_loss[architecture == name])] for name in names]
    return np.array([networks[(len(networks) - 1) // 2] for networks in ranked]), np.array(names)


def _shifted(
    networks: xr.Dataset,
    autoencoder: SpectrumAutoencoder,
    latent: torch.Tensor,
    embeddings: Sequence[Embedding],
    loss_shifts: Sequence[float],
) -> dict[str, Any]:
    """Return components of all networks and decoded spectra of the examples after shifts of the loss (eq. 3.7)."""
    example, names = _example_networks(networks["architecture"].values, networks["final_loss"].values)
    components, exponents = [], []
    for delta in loss_shifts:
        moved = loss_shift(autoencoder, latent, delta)
        components.append(_transform(embeddings, moved))
        exponents.append(autoencoder.decode(moved[:, example]).numpy())
    return {
        "loss_shift": ("loss_shift", list(loss_shifts)),
        "example_network": ("example", example),
        "example_architecture": ("example", names),
        "shifted_component": (("seed", "loss_shift", "network", "component"), np.stack(components, axis=1)),
        "shifted_exponent": (("seed", "loss_shift", "example", "exponent"), np.stack(exponents, axis=1)),
    }


def _zero_loss(
    autoencoder: SpectrumAutoencoder,
    latent: torch.Tensor,
    partition: Partition,
    embeddings: Sequence[Embedding],
    n_zero_loss: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Return components and decoded spectra of random points with predicted loss zero near the training networks."""
    training = torch.take_along_dim(latent, torch.from_numpy(networks_in(partition, "train"))[..., None], dim=1)
    points = zero_loss_set(autoencoder, training, n_zero_loss, seeds)
    per_sample = ("seed", "zero_loss_sample")
    return {
        "zero_loss_component": ((*per_sample, "component"), _transform(embeddings, points)),
        "zero_loss_exponent": ((*per_sample, "exponent"), autoencoder.decode(points).numpy()),
    }


def _transform(embeddings: Sequence[Embedding], latent: torch.Tensor) -> NDArray:
    return np.stack([embedding.transform(points) for embedding, points in zip(embeddings, latent.numpy(), strict=True)])


def _shares(architecture: NDArray, first_component: NDArray) -> dict[str, Any]:
    """Return each architecture's share in % of the networks above PC1's median, and above its mean (table D5)."""
    names = list(dict.fromkeys(architecture))
    variables: dict[str, Any] = {"share_architecture": ("share_architecture", names)}
    for statistic, boundary in (("median", np.median(first_component, axis=1)), ("mean", first_component.mean(axis=1))):
        above = first_component > boundary[:, None]
        counts = np.stack([above[:, architecture == name].sum(axis=1) for name in names], axis=1)
        variables[f"share_above_{statistic}"] = (
            ("seed", "share_architecture"),
            100 * counts / above.sum(axis=1, keepdims=True),
        )
    return variables
