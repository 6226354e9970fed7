"""The rule that excludes diverged networks of a study."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray


def networks_that_count(store: xr.Dataset) -> NDArray[np.bool_]:
    """Return which variants of a store did not diverge, (variant,).

    A variant diverged if the store says so, if its validation loss at the last epoch of the store is not finite, or if
    its spectrum is incomplete at some epoch (`spectrum_lengths`). -inf, the exponent of a singular Jacobian, is a valid
    value. Variables that the store does not have are not checked, because a training store has no spectra.

    Args:
        store: a store with `diverged(variant)`, and optionally `validation_loss(variant, epoch)` and
            `lyapunov_exponent(variant, epoch, exponent)`.
    """
    counts: NDArray[np.bool_] = ~store["diverged"].values
    if "validation_loss" in store:
        counts &= np.isfinite(store["validation_loss"].transpose("variant", "epoch").values[:, -1])
    if "lyapunov_exponent" in store:
        exponents = store["lyapunov_exponent"].transpose("variant", "epoch", "exponent")
        counts &= spectrum_lengths(exponents.values) > 0
    return counts


def spectrum_lengths(exponents: NDArray) -> NDArray[np.int_]:
    """Return the number of exponents of each variant, (variant,), from exponents (variant, epoch, exponent).

    NaN is allowed only at the end of a shorter spectrum, in the same way at all epochs. The length is 0 if there is NaN
    at another place, or only NaN.
    """
    defined = ~np.isnan(exponents)
    lengths = defined.any(axis=1).sum(axis=-1)
    whole = (defined == (np.arange(exponents.shape[-1]) < lengths[:, None, None])).all(axis=(1, 2))
    return np.where(whole, lengths, 0)


def networks_with_spectra(spectra: xr.Dataset) -> xr.Dataset:
    """Return the networks of a study that did not diverge (`networks_that_count`).

    Args:
        spectra: Dataset with `lyapunov_exponent(variant, epoch, exponent)` and `diverged(variant)`.

    Returns:
        The networks along `network`, a dimension without labels, because the labels of variants repeat between groups.
        Attributes: `n_networks`, and the number `n_diverged` of excluded networks.

    Raises:
        ValueError: all networks diverged.
    """
    counts = networks_that_count(spectra)
    if not counts.any():
        raise ValueError(f"all {counts.size} networks diverged; expected at least one with spectra")
    networks = spectra.drop_vars("diverged").isel(variant=counts).rename_dims(variant="network").reset_index("variant")
    return networks.drop_attrs(deep=False).assign_attrs(
        n_networks=int(np.count_nonzero(counts)), n_diverged=int(np.count_nonzero(~counts))
    )


def best_position(training: xr.Dataset) -> tuple[int, int]:
    """Return the indices of the variant and the epoch with the lowest validation loss, without diverged networks.

    Raises:
        ValueError: every variant diverged.
    """
    counts = networks_that_count(training)
    if not counts.any():
        raise ValueError(f"all {counts.size} networks diverged; expected one that did not")
    losses = training["validation_loss"].transpose("variant", "epoch").values
    losses = np.where(counts[:, None], losses, np.nan)
    variant, epoch = np.unravel_index(np.nanargmin(losses), losses.shape)
    return int(variant), int(epoch)
