"""Low-dimensional embedding of the autoencoder's latent layer (AeLLE), and shifts of the predicted loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lyapunov_pkg.aelle.autoencoder import SpectrumAutoencoder

# If a component's standard deviation is below this share of the first one's, it is only float32 rounding.
NEGLIGIBLE = 1e-5


@dataclass(frozen=True)
class Embedding:
    """Principal components: `mean` (d,) and orthonormal rows `components` (k, d). Rows without variance are zero."""

    mean: NDArray[np.float64]
    components: NDArray[np.float64]

    def transform(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the components (..., k) of points (..., d)."""
        return np.asarray((np.asarray(points, dtype=np.float64) - self.mean) @ self.components.T)


def fit_components(points: ArrayLike, loss: ArrayLike, n_components: int) -> Embedding:
    """Return the principal components of points (n, d), which are those of the training part.

    The sign of PC1 is chosen by rank correlation, so that larger PC1 goes with lower loss (n,). Good networks are then
    on the right, as in the dissertation's figures for SMNIST. The number of dimensions that latent points span is at
    most the width of the encoder's narrowest layer (d/16). Further components contain only rounding errors and are set
    to zero.

    >>> rng = np.random.default_rng(0)
    >>> points = rng.normal(size=(50, 1)) * [1, 2, 2] / 3
    >>> fit_components(points, loss=-points[:, 0], n_components=2).components.round(6)
    array([[0.333333, 0.666667, 0.666667],
           [0.      , 0.      , 0.      ]])

    Raises:
        ValueError: `n_components` is larger than the number of points or dimensions.
    """

    points, loss = np.asarray(points, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    n, d = points.shape
    if not 1 <= n_components <= min(n, d):
        raise ValueError(
            f"n_components: got {n_components} for {n} points of {d} dimensions, expected 1 to {min(n, d)}"
        )
    mean = points.mean(axis=0)
    deviation, components = _principal_axes(points - mean)
    components = np.where((deviation > NEGLIGIBLE * deviation[0])[:, None], components, 0.0)[:n_components]
    if _ranks_rise_together((points - mean) @ components[0], loss):
        components[0] *= -1
    return Embedding(mean, np.asfortranarray(components))  # so that the transpose in `transform` is contiguous


def _principal_axes(centred: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the principal axes (k, d) of points (n, d) with mean zero, and the standard deviations (k,) along them.

    The largest standard deviation is first. In each axis the entry of largest magnitude is positive.
    """
    _, singular_values, axes = np.linalg.svd(centred, full_matrices=False)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return np.sqrt(singular_values**2 / (len(centred) - 1)), axes * np.sign(largest)


def _ranks_rise_together(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Return whether the rank correlation of two quantities (n,) is above zero; False if one is constant."""
    ranks = [_mean_ranks(values) for values in (first, second)]
    return bool(np.sum((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) > 0)


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks of values (n,). Equal values get their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place])


def loss_shift(autoencoder: SpectrumAutoencoder, latent: Tensor, delta: float) -> Tensor:
    """Return latent points (M, n, latent) moved so that their predicted loss changes by `delta` (eq. 3.7).

    The shortest such move is the pseudo-inverse of the prediction layer times `delta`: w delta / |w|^2.
    """
    weight = autoencoder.prediction_weight[:, None, :]
    return latent + weight * (delta / weight.square().sum(dim=-1, keepdim=True))


def zero_loss_set(autoencoder: SpectrumAutoencoder, latent: Tensor, n_samples: int, seeds: Sequence[int]) -> Tensor:
    """Return points (M, n_samples, latent) of the set on which the predicted loss w . z + b is zero.

    This set is the null space of the prediction layer, shifted by the layer's bias. It has one dimension less than the
    latent layer. The points are normally distributed in the set. Their centre is the point of the set nearest to the
    mean of the given latent points (M, n, latent). Their standard deviation, in every direction of the null space, is
    the root mean square deviation of the given points. Member m uses its own seed.
    """
    latent = latent.double()
    weight, bias = (
        autoencoder.prediction_weight.double()[:, None, :],
        autoencoder.prediction_bias.double()[:, None, None],
    )
    mean = latent.mean(dim=1, keepdim=True)
    scale = (latent - mean).square().mean(dim=(1, 2), keepdim=True).sqrt()
    normal = [torch.randn(n_samples, latent.shape[-1], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    points = mean + scale * torch.stack(normal)
    # An orthogonal projection keeps the components in the null space and makes the predicted loss zero.
    predicted = (points * weight).sum(dim=-1, keepdim=True) + bias
    return (points - weight * predicted / weight.square().sum(dim=-1, keepdim=True)).float()
