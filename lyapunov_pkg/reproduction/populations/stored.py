"""Networks from a training store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from lyapunov_pkg.cells import hyperparameters
from lyapunov_pkg.networks import Network

CARRIED_ALONG = ("train_loss", "validation_loss", "validation_accuracy", "best_epoch", "diverged")
"""Variables of a training store that later stores repeat, if it has them."""


def stored_network(training: xr.Dataset, variant: int, epoch: int) -> Network:
    """Return the network of a variant of a training store after an epoch. Both are given by index.

    Raises:
        ValueError: the store does not have its parameters after that epoch.
    """
    wanted, kept = training["epoch"].values[epoch], training["kept_epoch"].values[variant]
    if wanted not in kept:
        raise ValueError(
            f"parameters of variant {training['variant'].values[variant]} after epoch {wanted} are not kept; expected "
            f"one of {', '.join(map(str, kept))}, or that epoch among spectra.epochs of the study"
        )
    position = int(np.flatnonzero(kept == wanted)[0])
    params = {
        str(name): torch.from_numpy(variable[variant : variant + 1, position].values)
        for name, variable in training.data_vars.items()
        if str(name).startswith(("layer_", "readout."))
    }
    architecture = str(training["architecture"].values[variant])
    return Network.from_params(architecture, params, **stored_hyperparameters(training, variant))


def stored_hyperparameters(training: xr.Dataset, variant: int) -> dict[str, Any]:
    """Return the hyperparameters of the cell of one variant (by index) that differ from the defaults.

    In joined stores "" or NaN means the default (`lyapunov_pkg.workflow.store.open_shards`).
    """
    names = hyperparameters(str(training["architecture"].values[variant]))
    values = {name: training[name].values[variant].item() for name in names if name in training.coords}
    return {name: value for name, value in values.items() if value != "" and value == value}


def chosen_epochs(training: xr.Dataset, epochs: Sequence[int] | None) -> xr.Dataset:
    """Return the part of a training store for the given epochs; None: all epochs.

    Raises:
        ValueError: an epoch is not stored.
    """
    if epochs is None:
        return training
    stored = training["epoch"].values
    for epoch in epochs:
        if epoch not in stored:
            raise ValueError(f"spectra are to be of epoch {epoch}, which is not stored; expected 0 to {stored[-1]}")
    return training.sel(epoch=list(epochs))


def carried_along(training: xr.Dataset) -> xr.Dataset:
    """Return the variables of a training store that later stores repeat (`CARRIED_ALONG`), without attributes."""
    return training[[name for name in CARRIED_ALONG if name in training]].drop_attrs(deep=False)
