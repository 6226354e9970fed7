"""PredNet: a small fully connected network that predicts a network's loss (dissertation, chapter 3, figures 3.1, 3.4).

It has one hidden layer and a linear output. Its features are numbers that describe a network: its Lyapunov spectrum or
the eigenvalues of its Jacobian. Several members, one per seed, are trained together on a leading axis M. A member's
initial values come from its own seed, so that its results do not depend on the other members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.aelle.dense import ArrayLike, Members, Progress, checked_parts, layer_shapes, through
from lyapunov_pkg.devices import one_torch_thread
from lyapunov_pkg.reproduction.configuration.prediction import PredNetSettings


@dataclass(frozen=True)
class PredNetHistory:
    """Mean square errors of each member and epoch, (M, epochs), and the epoch whose state was kept, (M,).

    Training errors are before the epoch's step, validation errors after it.
    """

    train_error: np.ndarray
    validation_error: np.ndarray
    best_epoch: np.ndarray


@dataclass(frozen=True)
class PredNet:
    """M trained PredNets, with the means and standard deviations of their training parts, which scale all numbers.

    `parameters` holds "prednet.0.weight" (M, d, hidden), "prednet.0.bias" (M, 1, hidden), "prednet.1.weight"
    (M, hidden, 1) and "prednet.1.bias" (M, 1, 1).
    """

    parameters: dict[str, Tensor]
    feature_mean: Tensor
    feature_scale: Tensor
    loss_mean: Tensor
    loss_scale: Tensor

    def predict(self, features: ArrayLike) -> Tensor:
        """Return the predicted loss (M, n) of features (M, n, d), or of the same (n, d) for every member."""
        features = (torch.as_tensor(features, dtype=torch.float32) - self.feature_mean) / self.feature_scale
        return _scaled_prediction(self.parameters, features) * self.loss_scale + self.loss_mean


@one_torch_thread()
def train_prednet(
    train_features: ArrayLike,
    train_loss: ArrayLike,
    validation_features: ArrayLike,
    validation_loss: ArrayLike,
    seeds: Sequence[int],
    settings: PredNetSettings,
    progress: Progress | None = None,
) -> tuple[PredNet, PredNetHistory]:
    """Train one PredNet per seed on the mean square error of the loss, and return the state of lowest validation error.

    Features and losses are scaled to mean 0 and variance 1 over a member's training part, so that the unit of the
    features does not influence the steps of Adam.

    Args:
        train_features: (M, n, d), finite.
        train_loss: (M, n), the losses to predict.
        validation_features: (M, m, d).
        validation_loss: (M, m).
        seeds: M seeds, one per member.
        settings: size and training.
        progress: function of the range of epochs and a description, e.g. `lyapunov_pkg.progress.progress`.

    Raises:
        ValueError: shapes do not agree, values are not finite, or a part is empty.
    """
    (features, loss), (held_out, held_out_loss) = checked_parts(
        "features",
        "numbers of a sample",
        (train_features, train_loss),
        (validation_features, validation_loss),
        len(seeds),
    )
    (feature_mean, feature_scale), (loss_mean, loss_scale) = _scaling(features), _scaling(loss)
    features, held_out = ((values - feature_mean) / feature_scale for values in (features, held_out))
    loss, held_out_loss = ((values - loss_mean) / loss_scale for values in (loss, held_out_loss))

    shapes = layer_shapes({"prednet": (features.shape[-1], settings.hidden_size, 1)})
    members = Members(shapes, seeds, settings.learning_rate)
    train_errors, validation_errors = [], []
    epochs = range(settings.epochs)
    for epoch in epochs if progress is None else progress(epochs, "PredNet"):
        error = _mean_square_error(members.parameters, features, loss)
        members.step(error)
        with torch.no_grad():
            validation_error = _mean_square_error(members.parameters, held_out, held_out_loss)
        members.end_epoch(epoch, validation_error)
        train_errors.append(error.detach())
        validation_errors.append(validation_error)
    unscaled = loss_scale.square()  # factor of errors, (M, 1)
    train, validation = ((torch.stack(errors, 1) * unscaled).numpy() for errors in (train_errors, validation_errors))
    network = PredNet(members.best_parameters, feature_mean, feature_scale, loss_mean, loss_scale)
    # The best epoch is that of the stored errors, which may be equal after rounding while scaled errors differ.
    return network, PredNetHistory(train, validation, validation.argmin(axis=1))


def _scaling(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over the samples of (M, n, ...). The deviation of constant values is 1."""
    mean = values.mean(dim=1, keepdim=True)
    deviation = values.std(dim=1, correction=0, keepdim=True)
    negligible = torch.finfo(values.dtype).eps * values.abs().amax(dim=1, keepdim=True)
    return mean, torch.where(deviation > negligible, deviation, 1.0)


def _scaled_prediction(parameters: dict[str, Tensor], features: Tensor) -> Tensor:
    features = features.expand(len(parameters["prednet.0.weight"]), *features.shape[-2:])
    return through(parameters, "prednet", features)[..., 0]


def _mean_square_error(parameters: dict[str, Tensor], features: Tensor, loss: Tensor) -> Tensor:
    """Return each member's error (M,) in scaled units."""
    return (_scaled_prediction(parameters, features) - loss).square().mean(dim=1)
