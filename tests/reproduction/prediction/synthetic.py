"""Synthetic spectra in the schema of joined spectra stores, with a known relation between spectrum and loss."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lyapunov_pkg.labels import describe

ARCHITECTURES = ("rnn", "lstm", "gru", "asrnn", "cornn", "lipschitz", "noisy", "lem")
DIVERGED_ARCHITECTURES = ("rnn", "lem")
SINGULAR_ARCHITECTURES = ("lstm", "rnn")


def synthetic_spectra(
    n_per_architecture: int = 8, n_epochs: int = 6, n_exponents: int = 32, seed: int = 0
) -> xr.Dataset:
    """Return spectra of all eight architectures at epochs 0 to n_epochs, where epoch 0 is before training.

    Each network has a quality q in [0, 1] that alone sets its final loss, 2 exp(-4 q). In the spectrum, q raises the
    middle exponents by up to 1. Initialisation and architecture shift the tail by several times as much. Hence neither
    the mean nor the first principal component of the raw spectrum determines q.

    The last network of DIVERGED_ARCHITECTURES has diverged (NaN). The first network of SINGULAR_ARCHITECTURES has two
    final exponents of -inf.
    """
    rng = np.random.default_rng(seed)
    n = n_per_architecture * len(ARCHITECTURES)
    architecture = np.repeat(ARCHITECTURES, n_per_architecture)
    quality, init_param = rng.uniform(0, 1, n), rng.uniform(0.1, 3.0, n)
    progress = 1 - np.exp(-0.5 * np.arange(n_epochs + 1))
    exponents = _exponents(rng, architecture, quality, init_param, progress, n_exponents)
    # Networks learn at different speeds, so early losses rank them only roughly.
    speed = rng.uniform(0.3, 1.5, (n, 1))
    final_loss = 2.0 * np.exp(-4 * quality)
    loss = final_loss[:, None] + (np.log(10) - final_loss[:, None]) * np.exp(-speed * np.arange(n_epochs + 1))
    loss[:, -1] = final_loss

    diverged = np.zeros(n, dtype=bool)
    for name in DIVERGED_ARCHITECTURES:
        diverged[np.flatnonzero(architecture == name)[-1]] = True
    for name in SINGULAR_ARCHITECTURES:
        exponents[np.flatnonzero(architecture == name)[0], :, -2:] = -np.inf
    exponents[diverged] = np.nan
    loss[diverged, 1:] = np.nan
    return _dataset(rng, exponents.astype(np.float32), loss, diverged, architecture, init_param)


def synthetic_sizes(n_per_size: int = 24, hidden_sizes: tuple[int, ...] = (12, 24), seed: int = 0) -> xr.Dataset:
    """Return spectra of networks of several sizes at epochs 0 to 5; shorter spectra are filled with NaN.

    A network's quality q sets the final loss, 3 - 2 q^2, and the slope of the spectrum. Neither p nor the size affects
    them. The first network of the largest size has diverged.
    """
    rng = np.random.default_rng(seed)
    hidden_size = np.repeat(hidden_sizes, n_per_size)
    n, longest = len(hidden_size), max(hidden_sizes)
    quality = rng.uniform(0, 1, n)
    place = np.arange(longest) / (hidden_size[:, None] - 1)
    spectrum = np.where(place <= 1, 0.1 - (0.5 + quality[:, None]) * place, np.nan)
    exponents = spectrum[:, None] + 0.01 * rng.standard_normal((n, 6, 1))
    loss = np.linspace(5, 3 - 2 * quality**2, 6, axis=1)
    diverged = np.arange(n) == n - n_per_size
    exponents[diverged], loss[diverged, 1:] = np.nan, np.nan
    dataset = _dataset(rng, exponents, loss, diverged, np.full(n, "lstm"), rng.uniform(0.04, 0.4, n))
    return dataset.assign_coords(hidden_size=("variant", hidden_size, dataset["hidden_size"].attrs))


def _exponents(rng, architecture, quality, init_param, progress, n_exponents) -> np.ndarray:
    position = np.linspace(0, 1, n_exponents)
    kind = np.array([ARCHITECTURES.index(name) for name in architecture])
    n, n_epochs = len(kind), len(progress)
    tail = 1.0 + 0.6 * kind + 0.5 * init_param
    power = np.where(kind % 2 == 0, 2.0, 4.0)
    spectrum = -0.1 - tail[:, None] * position ** power[:, None]
    lifted = spectrum + quality[:, None] * np.exp(-(((position - 0.5) / 0.2) ** 2))
    drift = 0.1 * rng.standard_normal((n, 1, 1)) * progress[None, :, None]
    noise = 0.02 * rng.standard_normal((n, n_epochs, n_exponents))
    return -np.sort(-(lifted[:, None, :] + drift + noise), axis=-1)


def _dataset(rng, exponents, loss, diverged, architecture, init_param) -> xr.Dataset:
    n, n_epochs, n_exponents = exponents.shape
    spread = np.where(np.isfinite(exponents), 0.05 * rng.uniform(0.5, 1.5, exponents.shape), np.nan).astype(np.float32)
    per_epoch = ("variant", "epoch")
    per_exponent = (*per_epoch, "exponent")
    dataset = xr.Dataset(
        {
            "lyapunov_exponent": (per_exponent, exponents),
            "lyapunov_exponent_std": (per_exponent, spread),
            "validation_loss": (per_epoch, loss),
            "validation_accuracy": (per_epoch, np.exp(-loss)),
            "diverged": ("variant", diverged),
        },
        coords={
            "variant": np.arange(n) % np.count_nonzero(architecture == architecture[0]),
            "epoch": np.arange(n_epochs),
            "exponent": np.arange(n_exponents),
            "architecture": ("variant", architecture),
            "hidden_size": ("variant", np.full(n, n_exponents)),
            "init_param": ("variant", init_param),
            "seed": ("variant", np.arange(n) + 1000),
        },
    )
    return describe(dataset, DESCRIPTIONS)


DESCRIPTIONS = {
    "lyapunov_exponent": ("nat/step", "Lyapunov exponent"),
    "lyapunov_exponent_std": ("nat/step", "standard deviation of the Lyapunov exponent over sequences"),
    "validation_loss": ("nat", "validation loss"),
    "validation_accuracy": ("1", "validation accuracy"),
    "diverged": ("1", "training diverged"),
    "variant": ("1", "index of the variant within its architecture"),
    "epoch": ("epoch", "training epoch, 0 before training"),
    "exponent": ("1", "index of the exponent"),
    "architecture": ("1", "architecture of the recurrent cell"),
    "hidden_size": ("1", "hidden units in each layer"),
    "init_param": ("1", "initialisation parameter p"),
    "seed": ("1", "seed of the variant's random numbers"),
}
