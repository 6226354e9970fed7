"""The training store: what training leaves behind of every variant, one place for every way of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.labels import Label, describe
from lyapunov_pkg.reproduction.training.variants import Variant, variant_coordinates

MAY_BE_NAN = ("train_loss",)
"""Variables that are NaN before training, whoever has diverged."""

DESCRIPTIONS = {
    "best_epoch": Label("epoch", "epoch of the lowest validation loss, among those that are stored"),
    "diverged": Label("1", "a loss, a parameter or a state stopped being finite"),
}


def training_store(
    variants: Sequence[Variant],
    epochs: Sequence[int],
    variables: Mapping[str, tuple[Sequence[str], NDArray]],
    labels: Mapping[str, Label],
) -> xr.Dataset:
    """Return the training store of some variants.

    Args:
        variants: who was trained.
        epochs: those that are stored; 0 is before training.
        variables: {name: (dimensions, values)}, the first dimension being variant. `validation_loss(variant, epoch)` is
            one of them.
        labels: units and long names of `variables` and of `epoch`.

    Returns:
        The variables and the columns of the design, with `best_epoch(variant)`, that of the lowest validation loss, and
        `diverged(variant)`: whether anything but the training loss stops being finite at any epoch.
    """
    dataset = variant_coordinates(variants).assign_coords(epoch=np.asarray(epochs)).assign(variables)
    finite = np.full(len(variants), True)
    for name, (_, values) in variables.items():
        if name not in MAY_BE_NAN:
            finite &= np.isfinite(values).reshape(len(variants), -1).all(1)
    losses = dataset["validation_loss"].transpose("variant", "epoch").values
    best = np.where(np.isnan(losses), np.inf, losses).argmin(1)
    dataset["best_epoch"] = ("variant", dataset["epoch"].values[best])
    dataset["diverged"] = ("variant", ~finite)
    return describe(dataset, {**labels, **DESCRIPTIONS})
