"""Spectra stores of a study, with a known relation between spectrum and loss."""

from __future__ import annotations

import numpy as np
import xarray as xr

N_EXPONENTS = 16


def make_study(n=12, n_epochs=6, n_diverged=1, classification=True, seed=0) -> xr.Dataset:
    """Return spectra that change as 1/sqrt(t) and whose largest exponent is higher for lower losses.

    The last networks have diverged.
    """
    rng = np.random.default_rng(seed)
    epoch = np.arange(n_epochs + 1)
    quality = rng.uniform(0, 1, n)
    settled = np.where(epoch == 0, 1.5, 1 / np.maximum(epoch, 1))
    loss = 2 - quality[:, None] * (1 - 0.5 * settled) + 0.02 * rng.standard_normal((n, 1))
    fall = rng.uniform(2, 4, n)[:, None, None] * np.linspace(0, 1, N_EXPONENTS) ** 2
    exponents = -1 + quality[:, None, None] - fall + 0.3 * settled[:, None]
    diverged = np.arange(n) >= n - n_diverged
    exponents[diverged], loss[diverged] = np.nan, np.nan
    best_epoch = np.where(diverged, 0, rng.integers(1, n_epochs + 1, n))
    study = xr.Dataset(
        {
            "lyapunov_exponent": (("variant", "epoch", "exponent"), exponents),
            "validation_loss": (("variant", "epoch"), loss, {"units": "nat", "long_name": "validation loss"}),
            "diverged": ("variant", diverged),
            "best_epoch": ("variant", best_epoch, {"units": "1", "long_name": "epoch of lowest validation loss"}),
        },
        coords={
            "variant": ("variant", np.arange(n) // 2, {"units": "1", "long_name": "index of the variant"}),
            "epoch": ("epoch", epoch, {"units": "1", "long_name": "epochs of training"}),
            "exponent": ("exponent", np.arange(1, N_EXPONENTS + 1), {"units": "1", "long_name": "index"}),
        },
    )
    for name, values in {
        "init_param": np.array([0.04, 0.08, 0.12, 0.16, 0.2, 0.5])[np.arange(n) % 6],
        "learning_rate": rng.uniform(0.001, 0.01, n),
        "dropout": rng.uniform(0, 0.1, n),
    }.items():
        study = study.assign_coords({name: ("variant", values, {"units": "1", "long_name": name})})
    if classification:
        accuracy = 1 - loss / 3
        study["validation_accuracy"] = (("variant", "epoch"), accuracy, {"units": "1", "long_name": "accuracy"})
    return study
