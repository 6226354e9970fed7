"""Fit of AeLLE to networks: an autoencoder and the principal components of its latent layer for each seed.

The scikit-learn estimator `AeLLE` fits one seed. The experiments of the reproduction fit several seeds together. All of
them call `fit_members`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings, SpectrumAutoencoder, TrainingHistory, train_autoencoder
from lyapunov_pkg.aelle.dense import Progress
from lyapunov_pkg.aelle.embedding import Embedding, fit_components

# In float32, a diagonal element of R below eps = 1.2e-7 (e^-15.9) times the length of its column is only rounding. One
# step of the networks in the reproduction shortens a column by about e^-4. An exponent below -20 therefore means only
# that the contraction is beyond resolution. Singular Jacobians give -inf, which no autoencoder accepts.
EXPONENT_FLOOR = -20.0


@dataclass(frozen=True)
class FittedMembers:
    """M fitted members: autoencoders, embeddings and training histories."""

    autoencoder: SpectrumAutoencoder
    embeddings: tuple[Embedding, ...]
    history: TrainingHistory


def fit_members(
    spectra: NDArray[np.floating],
    losses: NDArray[np.floating],
    train: NDArray[np.int_],
    validation: NDArray[np.int_],
    seeds: Sequence[int],
    settings: AutoencoderSettings,
    n_components: int,
    progress: Progress | None = None,
) -> FittedMembers:
    """Train one autoencoder per seed, and fit principal components to the latent points of its training part.

    Args:
        spectra: (n, d), finite.
        losses: (n,), the losses to predict. Losses above the loss ceiling of the settings are replaced by it.
        train: (M, n_train), the indices of each member's training part.
        validation: (M, n_validation), the indices of the part that chooses the best epoch.
        seeds: M seeds, one per member.
        settings: settings of the autoencoders.
        n_components: number of principal components.
        progress: reports the progress of the training, e.g. `lyapunov_pkg.progress.progress`.

    Raises:
        ValueError: values are not finite, a part is empty, or there are more components than training samples or latent
            dimensions.
    """
    capped = np.minimum(losses, settings.loss_ceiling)
    autoencoder, history = train_autoencoder(
        spectra[train], capped[train], spectra[validation], capped[validation], seeds, settings, progress
    )
    embeddings = tuple(
        fit_components(points[part], losses[part], n_components)
        for points, part in zip(autoencoder.encode(spectra).numpy(), train, strict=True)
    )
    return FittedMembers(autoencoder, embeddings, history)


def two_parts(
    n_networks: int, validation_share: float, seeds: Sequence[int]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the indices of each seed's training and validation networks, (seed, n) each.

    Raises:
        ValueError: a part has no network.
    """
    n_validation = round(validation_share * n_networks)
    if not 1 <= n_validation < n_networks:
        raise ValueError(
            f"validation_share: got {validation_share}, which is {n_validation} of {n_networks} networks; expected "
            "at least 1 network for validation and 1 for training"
        )
    order = np.stack([np.random.default_rng(seed).permutation(n_networks) for seed in seeds])
    return order[:, n_validation:], order[:, :n_validation]
