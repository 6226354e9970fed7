"""Autoencoder of Lyapunov spectra whose latent layer also predicts the loss (dissertation, eqs. 3.5 and 3.6).

Several members, one per seed, are trained together on a leading axis M. A member's initialisation, batch order and
dropout masks come from its own seed. Its results therefore do not depend on the other members.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.aelle.dense import ArrayLike, Members, Progress, checked_parts, layer_shapes, through
from lyapunov_pkg.devices import one_torch_thread


@dataclass(frozen=True)
class AutoencoderSettings:
    """Settings of the autoencoder's layers and training. The defaults are the dissertation's.

    Attributes:
        latent_size: width of the latent layer.
        layer_divisors: widths of the encoder's inner layers, as divisors of the number of exponents d. The default
            gives d/8, then d/16 (at least 2).
        dropout: probability that an inner activation is dropped in training.
        learning_rate: step size of Adam.
        batch_size: number of spectra in a batch.
        prediction_weights: weight alpha of the prediction loss in each stage. The optimiser's state is kept between
            stages.
        epochs_per_stage: number of epochs per stage.
        prediction_loss: "l2" for the mean square or "l1" for the mean absolute prediction error. The reconstruction
            loss is always L1.
        loss_ceiling: the experiments replace larger losses by this value, in the unit of the losses. An exploding
            network can have a finite loss of 1e11, which would dominate the mean square.
        standardise: whether to subtract the mean spectrum of the training part and to divide by the mean absolute
            deviation from it. Without this, Adam's small steps must first learn the mean spectrum, and exponents that
            are all near zero look the same.
    """

    latent_size: int = 32
    layer_divisors: tuple[int, ...] = (8, 16)
    dropout: float = 0.1
    learning_rate: float = 1e-4
    batch_size: int = 128
    prediction_weights: tuple[float, ...] = (5, 5, 10, 20)
    epochs_per_stage: int = 1000
    prediction_loss: Literal["l2", "l1"] = "l2"
    loss_ceiling: float = math.inf
    standardise: bool = False

    def __post_init__(self) -> None:
        """Check that all values are in range."""
        counts = {
            "latent_size": self.latent_size,
            "batch_size": self.batch_size,
            "epochs_per_stage": self.epochs_per_stage,
        }
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name}: got {value}, expected at least 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate: got {self.learning_rate}, expected more than 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: got {self.dropout}, expected a probability in [0, 1)")
        if self.prediction_loss not in ("l2", "l1"):
            raise ValueError(f"prediction_loss: got {self.prediction_loss!r}, expected 'l2' or 'l1'")

    def widths(self, n_exponents: int) -> tuple[int, ...]:
        """Return the widths of the encoder's layers, from the spectrum to the latent layer.

        The decoder has the same widths in reverse order."""
        inner = (max(n_exponents // divisor, 2) for divisor in self.layer_divisors)
        return (n_exponents, *inner, self.latent_size)


@dataclass(frozen=True)
class TrainingHistory:
    """Losses of each member and epoch, (M, epochs), and the epoch whose state was kept, (M,).

    Reconstruction losses are those of the standardised spectra, if these are used. Training losses are computed during
    the epoch, with dropout. The validation loss is computed after the epoch, without dropout.
    """

    reconstruction: np.ndarray
    prediction: np.ndarray
    validation_prediction: np.ndarray
    best_epoch: np.ndarray


@dataclass(frozen=True)
class SpectrumAutoencoder:
    """M trained autoencoders: encoder phi, decoder psi and linear prediction xi of eq. 3.5.

    `parameters` holds "encoder.0.weight" (M, in, out), "encoder.0.bias" (M, 1, out), ..., "decoder.0.weight", ...,
    "prediction.0.weight" (M, latent, 1) and "prediction.0.bias" (M, 1, 1). The input of the layers is (spectra -
    `centre`) / `scale`, with `centre` (M, 1, d) and `scale` (M, 1, 1).
    """

    parameters: dict[str, Tensor]
    centre: Tensor = field(default_factory=lambda: torch.zeros(()))
    scale: Tensor = field(default_factory=lambda: torch.ones(()))

    def encode(self, spectra: ArrayLike) -> Tensor:
        """Return the latent points (M, n, latent) of spectra (M, n, d), or of (n, d) for every member."""
        return through(self.parameters, "encoder", (self._stacked(spectra) - self.centre) / self.scale)

    def decode(self, latent: ArrayLike) -> Tensor:
        """Return the spectra (M, n, d) decoded from latent points (M, n, latent)."""
        return through(self.parameters, "decoder", self._stacked(latent)) * self.scale + self.centre

    def predict(self, latent: ArrayLike) -> Tensor:
        """Return the loss (M, n) predicted at latent points (M, n, latent)."""
        return through(self.parameters, "prediction", self._stacked(latent))[..., 0]

    @property
    def prediction_weight(self) -> Tensor:
        """Return the weights of the prediction layer, (M, latent)."""
        return self.parameters["prediction.0.weight"][..., 0]

    @property
    def prediction_bias(self) -> Tensor:
        """Return the biases of the prediction layer, (M,)."""
        return self.parameters["prediction.0.bias"][:, 0, 0]

    def _stacked(self, values: ArrayLike) -> Tensor:
        weight = self.parameters["prediction.0.weight"]
        values = torch.as_tensor(values, dtype=weight.dtype)
        return values.expand(len(weight), *values.shape[-2:])


@one_torch_thread()
def train_autoencoder(
    train_spectra: ArrayLike,
    train_loss: ArrayLike,
    validation_spectra: ArrayLike,
    validation_loss: ArrayLike,
    seeds: Sequence[int],
    settings: AutoencoderSettings,
    progress: Progress | None = None,
) -> tuple[SpectrumAutoencoder, TrainingHistory]:
    """Train one autoencoder per seed on the L1 reconstruction loss plus alpha times the prediction loss (eq. 3.6).

    Both losses are means over a batch. The returned state is that of the epoch, among all stages, with the lowest
    prediction loss on the validation part.

    Args:
        train_spectra: (M, n, d), finite.
        train_loss: (M, n), the losses to predict.
        validation_spectra: (M, m, d).
        validation_loss: (M, m).
        seeds: M seeds, one per member.
        settings: layers and training.
        progress: function of the range of epochs and a description, e.g. `lyapunov_pkg.progress.progress`.

    Raises:
        ValueError: shapes do not agree, values are not finite, or a part is empty.
    """
    train, validation = checked_parts(
        "spectra", "exponents", (train_spectra, train_loss), (validation_spectra, validation_loss), len(seeds)
    )
    centre, scale = _centre_and_scale(train[0], settings.standardise)
    train, validation = (((spectra - centre) / scale, loss) for spectra, loss in (train, validation))
    widths = settings.widths(train[0].shape[-1])
    shapes = layer_shapes({"encoder": widths, "decoder": widths[::-1], "prediction": (widths[-1], 1)})
    members = Members(shapes, seeds, settings.learning_rate)
    losses = []
    epochs = range(len(settings.prediction_weights) * settings.epochs_per_stage)
    for epoch in epochs if progress is None else progress(epochs, "autoencoder"):
        alpha = settings.prediction_weights[epoch // settings.epochs_per_stage]
        training = _train_epoch(members, train, alpha, settings)
        validation_error = _validate(members.parameters, validation, settings)
        members.end_epoch(epoch, validation_error)
        losses.append((*training, validation_error))
    reconstruction, prediction, held_out = (torch.stack(values, dim=1).numpy() for values in zip(*losses, strict=True))
    history = TrainingHistory(reconstruction, prediction, held_out, members.best_epoch.numpy())
    return SpectrumAutoencoder(members.best_parameters, centre, scale), history


def _centre_and_scale(spectra: Tensor, standardise: bool) -> tuple[Tensor, Tensor]:
    """Return the mean spectrum (M, 1, d) and the mean absolute deviation from it (M, 1, 1), or 0 and 1."""
    if not standardise:
        return torch.zeros(()), torch.ones(())
    centre = spectra.mean(dim=1, keepdim=True)
    scale = (spectra - centre).abs().mean(dim=(1, 2), keepdim=True)
    return centre, torch.where(scale > 0, scale, 1.0)


def _train_epoch(
    members: Members, data: tuple[Tensor, Tensor], alpha: float, settings: AutoencoderSettings
) -> tuple[Tensor, Tensor]:
    """Train for one epoch, in each member's own order, and return the mean reconstruction and prediction loss (M,)."""
    spectra, loss = data
    n = loss.shape[1]
    order = torch.stack([torch.randperm(n, generator=generator) for generator in members.generators])
    spectra, loss = torch.take_along_dim(spectra, order[..., None], dim=1), torch.take_along_dim(loss, order, dim=1)
    inner = settings.widths(spectra.shape[-1])[1:-1]
    masks = _dropout_masks(n, (*inner, *inner[::-1]), members.generators, settings.dropout)
    sums = torch.zeros(2, len(loss))
    for first in range(0, n, settings.batch_size):
        part = slice(first, min(first + settings.batch_size, n))
        parameters = members.parameters
        batch_masks = [mask[:, part] for mask in masks]
        latent = through(parameters, "encoder", spectra[:, part], batch_masks[: len(inner)])
        reconstruction = through(parameters, "decoder", latent, batch_masks[len(inner) :])
        reconstruction_loss = (reconstruction - spectra[:, part]).abs().mean(dim=(1, 2))
        prediction_loss = _prediction_loss(through(parameters, "prediction", latent)[..., 0], loss[:, part], settings)
        members.step(reconstruction_loss + alpha * prediction_loss)
        sums += (part.stop - first) * torch.stack((reconstruction_loss, prediction_loss)).detach()
    reconstruction_mean, prediction_mean = sums / n
    return reconstruction_mean, prediction_mean


def _dropout_masks(
    n: int, widths: Sequence[int], generators: Sequence[torch.Generator], dropout: float
) -> tuple[Tensor, ...]:
    """Return an epoch's dropout masks (M, n, width), one per inner layer, with entries 0 or 1 / (1 - dropout)."""
    drawn = torch.stack([torch.rand(n, sum(widths), generator=generator) for generator in generators])
    return torch.split((drawn >= dropout) / (1 - dropout), list(widths), dim=-1)


@torch.no_grad()
def _validate(parameters: dict[str, Tensor], data: tuple[Tensor, Tensor], settings: AutoencoderSettings) -> Tensor:
    """Return each member's prediction loss (M,) on the validation part, without dropout."""
    latent = through(parameters, "encoder", data[0])
    return _prediction_loss(through(parameters, "prediction", latent)[..., 0], data[1], settings)


def _prediction_loss(predicted: Tensor, loss: Tensor, settings: AutoencoderSettings) -> Tensor:
    error = predicted - loss
    return (error.square() if settings.prediction_loss == "l2" else error.abs()).mean(dim=1)
