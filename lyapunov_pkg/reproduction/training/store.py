"""The training store: the results of training for every variant, for all kinds of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.labels import Label, describe
from lyapunov_pkg.reproduction.training.variants import Variant, variant_coordinates

MAY_BE_NAN = ("train_loss",)
"""Variables that are NaN before training, also for variants that did not diverge."""

DESCRIPTIONS = {
    "best_epoch": Label("epoch", "epoch of the lowest validation loss, among those that are stored"),
    "diverged": Label("1", "a loss, a parameter or a state stopped being finite"),
}


@dataclass(frozen=True)
class Kept:
    """The epochs after which a training store has parameters. It has losses for all epochs.

    Attributes:
        epochs: the epochs; None: all.
        best: whether to include the epoch of each variant's lowest validation loss.
    """

    epochs: Sequence[int] | None = None
    best: bool = False

    def by_variant(self, losses: NDArray) -> NDArray[np.int_]:
        """Return the epochs (variant, kept) with parameters, from the validation losses (variant, epoch)."""
        n_variants, n_epochs = losses.shape
        epochs = [epoch for epoch in range(n_epochs) if self.epochs is None or epoch in self.epochs]
        kept = np.tile(np.array(epochs, dtype=int), (n_variants, 1))
        return np.concatenate([kept, best_position(losses)[:, None]], axis=1) if self.best else kept


def best_position(losses: NDArray) -> NDArray[np.int_]:
    """Return the index (variant,) of each variant's lowest loss in (variant, epoch). NaN counts as infinite."""
    return np.where(np.isnan(losses), np.inf, losses).argmin(1)


def training_store(
    variants: Sequence[Variant],
    epochs: Sequence[int],
    variables: Mapping[str, tuple[Sequence[str], NDArray]],
    labels: Mapping[str, Label],
    finite: NDArray[np.bool_] | bool = True,
) -> xr.Dataset:
    """Return the training store of the given variants.

    Args:
        variants: the trained variants.
        epochs: the stored epochs; 0 is before training.
        variables: {name: (dimensions, values)}, with `variant` as first dimension. `validation_loss(variant, epoch)` is
            required.
        labels: units and long names of `variables` and of `epoch`.
        finite: whether all values that are not stored stayed finite, (variant,).

    Returns:
        The variables and the columns of the design, with `best_epoch(variant)`, the epoch of the lowest validation
        loss, and `diverged(variant)`: whether any value except the training loss is not finite at some epoch.
    """
    dataset = variant_coordinates(variants).assign_coords(epoch=np.asarray(epochs)).assign(variables)
    all_finite = np.full(len(variants), True) & finite
    for name, (_, values) in variables.items():
        if name not in MAY_BE_NAN:
            all_finite &= np.isfinite(values).reshape(len(variants), -1).all(1)
    losses = dataset["validation_loss"].transpose("variant", "epoch").values
    dataset["best_epoch"] = ("variant", dataset["epoch"].values[best_position(losses)])
    dataset["diverged"] = ("variant", ~all_finite)
    return describe(dataset, {**labels, **DESCRIPTIONS})
