"""AeLLE fitted to networks: the autoencoder and the principal components of its latent layer, one of each per seed.

The scikit-learn estimator `AeLLE` fits one seed and the experiments of the reproduction several side by side; both call
`fit_members`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lyapunov_pkg.aelle.autoencoder import AutoencoderSettings, SpectrumAutoencoder, TrainingHistory, train_autoencoder
from lyapunov_pkg.aelle.dense import Progress
from lyapunov_pkg.aelle.embedding import Embedding, fit_components

# In float32, QR cannot tell a diagonal element of R from rounding once it is eps = 1.2e-7 (e^-15.9) times its column's
# own length, and one step of the networks studied shortens a column by some e^-4. Below -20 it says only "contracts
# beyond resolution", and singular Jacobians give -inf, which no autoencoder takes.
EXPONENT_FLOOR = -20.0


@dataclass(frozen=True)
class FittedMembers:
    """M fitted members: their autoencoders, their embeddings and the history of their training."""

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
        losses: (n,), which are to be predicted. Those above the loss ceiling of the settings count as it.
        train: (M, n_train), each member's training part, by position.
        validation: (M, n_validation), the part that chooses the epoch whose state is kept.
        seeds: M seeds, one per member.
        settings: of the autoencoders.
        n_components: principal components.
        progress: shows how far the training is, e.g. `lyapunov_pkg.progress.progress`.

    Raises:
        ValueError: values that are not finite, an empty part, or more components than training samples or latent
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
    """Return each seed's training and validation networks, by position, (seed, n) each.

    Raises:
        ValueError: one of the parts has no network.
    """
    n_validation = round(validation_share * n_networks)
    if not 1 <= n_validation < n_networks:
        raise ValueError(
            f"validation_share {validation_share} of {n_networks} networks is {n_validation}; expected at least 1, and "
            "at least 1 left for training"
        )
    order = np.stack([np.random.default_rng(seed).permutation(n_networks) for seed in seeds])
    return order[:, n_validation:], order[:, :n_validation]
