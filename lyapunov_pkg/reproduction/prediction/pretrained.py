"""Pre-trained AeLLE: prediction of the final error from spectra early in training.

These are the data of tables 3.1 to 3.3 and of figures 3.10 and 3.11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings
from lyapunov_pkg.aelle.dense import Progress
from lyapunov_pkg.aelle.embedding import Embedding
from lyapunov_pkg.aelle.fitting import EXPONENT_FLOOR
from lyapunov_pkg.devices import one_thread
from lyapunov_pkg.labels import Label, describe, in_unit
from lyapunov_pkg.reproduction.prediction.classifiers import OrthantClassifier, Scores, Threshold, best_f1_threshold
from lyapunov_pkg.reproduction.prediction.embedding import DESCRIPTIONS as EMBEDDING_DESCRIPTIONS
from lyapunov_pkg.reproduction.prediction.embedding import (
    autoencoder_quality,
    fit_on_splits,
    fit_on_training_part,
    on_training_part,
    stored_components,
)
from lyapunov_pkg.reproduction.prediction.judging import DESCRIPTIONS as JUDGING_DESCRIPTIONS
from lyapunov_pkg.reproduction.prediction.judging import (
    Verdict,
    judge_classifiers,
    judge_loss_by_epoch,
    score_epochs,
    verdict_variables,
)
from lyapunov_pkg.reproduction.prediction.networks import select_networks
from lyapunov_pkg.reproduction.splits import Partition, split_networks

DESCRIPTIONS = (
    EMBEDDING_DESCRIPTIONS
    | JUDGING_DESCRIPTIONS
    | {
        "n_components": Label("1", "principal components that cut the space into orthants"),
        "orthant_f1": Label(
            "1", "F1 of low error on the test part, by orthants of the latent layer's principal components"
        ),
    }
)


@one_thread()
def pretrained_experiment(
    spectra: xr.Dataset,
    settings: AutoencoderSettings,
    seeds: Sequence[int],
    fractions: Sequence[float] = (0.2, 0.2, 0.6),
    n_epochs: int = 6,
    exponent_floor: float = EXPONENT_FLOOR,
    spectrum_length: int | None = None,
    orthant_components: Sequence[int] = (1, 2, 4, 10),
    threshold_part: Literal["train", "validation"] = "train",
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return predictions of the final error from spectra of the first epochs, by models trained on other networks.

    A sample is a network at an epoch, and its target is the network's final loss. Networks are split, not samples, so
    that no network is in two parts. Thresholds have the best F1 on all samples of `threshold_part`. The threshold on
    the loss at an epoch uses only the samples of that epoch. Scores are those of the test part.

    Args:
        spectra: as in `networks.select_networks`.
        settings: settings of the autoencoder.
        seeds: seeds, each with one split and one autoencoder.
        fractions: shares of networks for training, validation and test.
        n_epochs: number of epochs, from epoch 0 (before training) on.
        exponent_floor: lower exponents are replaced by this value.
        spectrum_length: number of exponents of every spectrum, by linear interpolation; None: that of the longest
            spectrum.
        orthant_components: numbers of principal components for the orthant classifier.
        threshold_part: part of the split on which thresholds are chosen.
        progress: reports the progress of the autoencoder's training, e.g. `lyapunov_pkg.progress.progress`.

    Returns:
        Dataset over seed, network, epoch, component, classifier and n_components. Attributes: n_networks, n_diverged,
        exponent_floor, and total_epochs of the networks' training.

    Raises:
        ValueError: there are fewer epochs than `n_epochs`, too few networks for the split, or too few samples for the
            components.
    """
    if not 1 <= n_epochs <= spectra.sizes["epoch"]:
        raise ValueError(f"n_epochs is {n_epochs}; expected 1 to the {spectra.sizes['epoch']} epochs of the spectra")
    networks = select_networks(spectra, exponent_floor, spectrum_length).isel(epoch=slice(n_epochs))
    partition = split_networks(networks.sizes["network"], fractions, seeds)
    n_components = stored_components(networks, partition, settings)
    n_fitted = max(n_components, *orthant_components)
    fitted, points = fit_on_splits(networks, partition, seeds, settings, n_fitted, progress)
    autoencoder = fitted.autoencoder
    per_sample = (len(seeds), networks.sizes["network"], n_epochs)
    latent = points.numpy().reshape(*per_sample, -1)
    members = [
        _one_seed(networks, *of_seed, n_components, orthant_components, threshold_part)
        for of_seed in zip(partition, latent, fitted.embeddings, seeds, strict=True)
    ]
    predicted = autoencoder.predict(points).numpy().reshape(per_sample)
    variables = _variables(members, partition) | {
        "partition": (("seed", "network"), partition),
        "best_epoch": ("seed", fitted.history.best_epoch),
        "predicted_loss": (("seed", "network", "epoch"), predicted),
    }
    reconstructed = autoencoder.decode(points).numpy().reshape(*per_sample, -1)
    variables |= autoencoder_quality(networks, partition, reconstructed, predicted, settings.loss_ceiling)
    result = networks.drop_vars(("lyapunov_exponent", "exponent")).assign(variables)
    result = result.assign_attrs(threshold_part=threshold_part).assign_coords(
        seed=list(seeds), component=np.arange(1, n_components + 1), n_components=list(orthant_components)
    )
    of_loss = in_unit(networks["final_loss"].attrs["units"], {"predicted_loss": "predicted final validation loss"})
    return describe(result, DESCRIPTIONS | of_loss)


class _Member(NamedTuple):
    """Results of one seed's split.

    They are the components of latent layer and spectrum (network, epoch, component), the F1 of the orthants
    (n_components, epoch), and the verdicts on classifiers."""

    aelle: NDArray
    spectrum: NDArray
    orthant_f1: NDArray
    verdicts: dict[str, Verdict]


def _variables(members: Sequence[_Member], partition: Partition) -> dict[str, Any]:
    """Return the results of the seeds as variables."""
    per_sample = ("seed", "network", "epoch", "component")
    return {
        "aelle_component": (per_sample, np.stack([member.aelle for member in members])),
        "spectrum_component": (per_sample, np.stack([member.spectrum for member in members])),
        "orthant_f1": (("seed", "n_components", "epoch"), np.stack([member.orthant_f1 for member in members])),
    } | verdict_variables([member.verdicts for member in members], partition, by_epoch=True)


def _one_seed(
    networks: xr.Dataset,
    partition: Partition,
    latent: NDArray,
    embedding: Embedding,
    seed: int,
    n_components: int,
    orthant_components: Sequence[int],
    threshold_part: str,
) -> _Member:
    """Return embeddings and classifications for one seed's split; latent is (network, epoch, latent)."""
    aelle = embedding.transform(latent)
    exponents = networks["lyapunov_exponent"].values
    spectrum = fit_on_training_part(networks, partition, exponents, n_components).transform(exponents)
    verdicts = judge_classifiers(networks, partition, aelle, spectrum, best_f1_threshold, seed, threshold_part)
    verdicts["loss_at_epoch"] = _judge_loss(networks, partition)
    verdicts["loss_at_epoch_chosen"] = judge_loss_by_epoch(networks, partition, best_f1_threshold, threshold_part)
    orthant_f1 = np.stack([_orthant_f1(networks, partition, aelle, k) for k in orthant_components])
    return _Member(aelle[..., :n_components], spectrum, orthant_f1, verdicts)


def _judge_loss(networks: xr.Dataset, partition: Partition) -> Verdict:
    """Return the verdict on the prediction "low" if the loss at the epoch is below the median final loss."""
    below_median = float(np.nextafter(np.median(networks["final_loss"].values), -np.inf))
    threshold = Threshold(below_median, low_is_above=False)
    return Verdict(threshold, score_epochs(networks, partition, threshold.predict_low(networks["loss"].values)))


def _orthant_f1(networks: xr.Dataset, partition: Partition, components: NDArray, n_components: int) -> NDArray:
    """Return the F1 (epoch,) of orthants of the first components (network, epoch, component) on the test part."""
    samples, _, is_low = on_training_part(networks, partition, components)
    classifier = OrthantClassifier.fit(samples, is_low, n_components)
    predicted = classifier.predict_low(components.reshape(-1, components.shape[-1])).reshape(components.shape[:2])
    return score_epochs(networks, partition, predicted)[:, Scores._fields.index("f1")]
