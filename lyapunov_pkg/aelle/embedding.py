"""Low-dimensional embedding of the autoencoder's latent layer (AeLLE), and moves along its predicted loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.aelle.autoencoder import SpectrumAutoencoder

# A component whose standard deviation is below this share of the first one's is float32 rounding, not structure.
NEGLIGIBLE = 1e-5


@dataclass(frozen=True)
class Embedding:
    """Principal components: `mean` (d,) and orthonormal rows `components` (k, d); rows without variance are zero."""

    mean: np.ndarray
    components: np.ndarray

    def transform(self, points: np.ndarray) -> np.ndarray:
        """Return the components (..., k) of points (..., d)."""
        return (np.asarray(points, dtype=np.float64) - self.mean) @ self.components.T


def fit_components(points: np.ndarray, loss: np.ndarray, n_components: int) -> Embedding:
    """Fit the principal components of points (n, d), those of the training part alone.

    The sign of PC1 is chosen so that larger PC1 goes with lower loss (n,) by rank correlation: good networks lie to
    the right,
    as in the dissertation's figures for SMNIST. Latent points span no more dimensions than the narrowest layer of the
    encoder is wide (d/16); components beyond that hold rounding errors only, and are zero here.

    Raises:
        ValueError: more components asked for than there are points or dimensions.
    """
    from scipy.stats import spearmanr  # of the extra `workflow`: the library imports without it
    from sklearn.decomposition import PCA

    n, d = points.shape
    if not 1 <= n_components <= min(n, d):
        raise ValueError(f"n_components is {n_components} for {n} points of {d} dimensions; expected 1 to {min(n, d)}")
    pca = PCA(n_components, svd_solver="full").fit(np.asarray(points, dtype=np.float64))
    deviation = np.sqrt(pca.explained_variance_)
    components = np.where((deviation > NEGLIGIBLE * deviation[0])[:, None], pca.components_, 0.0)
    first = (points - pca.mean_) @ components[0]
    if np.ptp(first) > 0 and np.ptp(loss) > 0 and spearmanr(first, loss).statistic > 0:
        components[0] *= -1
    return Embedding(pca.mean_, components)


def loss_shift(autoencoder: SpectrumAutoencoder, latent: Tensor, delta: float) -> Tensor:
    """Return latent points (M, n, latent) moved so that their predicted loss changes by `delta` (eq. 3.7).

    The smallest such move is the pseudo-inverse of the prediction layer times `delta`: w delta / |w|^2.
    """
    weight = autoencoder.prediction_weight[:, None, :]
    return latent + weight * (delta / weight.square().sum(dim=-1, keepdim=True))


def zero_loss_set(autoencoder: SpectrumAutoencoder, latent: Tensor, n_samples: int, seeds: Sequence[int]) -> Tensor:
    """Return points (M, n_samples, latent) of the set on which the predicted loss w . z + b is zero.

    That set is the null space of the prediction layer (one dimension less than the latent layer) moved off the origin
    by the layer's bias. The points are normal around the one nearest to the mean of the given latent points (M, n,
    latent), with their root mean square deviation in every direction of the null space. Member m draws from its own
    seed.
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
    # The orthogonal projection keeps the components in the null space and makes the predicted loss zero.
    predicted = (points * weight).sum(dim=-1, keepdim=True) + bias
    return (points - weight * predicted / weight.square().sum(dim=-1, keepdim=True)).float()
