"""Networks of a study for predictions: spectra of equal length, losses and classes."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.labels import EPOCH, EXPONENT, LYAPUNOV_EXPONENT, Label, describe, in_unit
from lyapunov_pkg.reproduction.populations.selection import networks_that_count, spectrum_lengths
from lyapunov_pkg.spectra.statistics import interpolate_spectrum

DESCRIPTIONS = {
    "network": Label("1", "index of the network among those that did not diverge"),
    "exponent": EXPONENT,
    "epoch": EPOCH,
    "low_error": Label("1", "whether the final loss is below the median"),
    "lyapunov_exponent": LYAPUNOV_EXPONENT.of("clipped from below, at the common length"),
    "lyapunov_mean": Label("nat/step", "mean Lyapunov exponent"),
    "lyapunov_max": Label("nat/step", "largest Lyapunov exponent"),
}
LOSSES = {"loss": "validation loss", "final_loss": "validation loss after the last epoch"}


def select_networks(spectra: xr.Dataset, exponent_floor: float, spectrum_length: int | None = None) -> xr.Dataset:
    """Return the networks that did not diverge (`networks_that_count`), with their classes.

    Args:
        spectra: Dataset of concatenated spectra: lyapunov_exponent (variant, epoch, exponent), with NaN at the end of
            shorter spectra; validation_loss (variant, epoch), for some epochs up to the last; diverged (variant);
            coordinates along variant.
        exponent_floor: lower exponents are replaced by this value.
        spectrum_length: number of exponents after linear interpolation; None: that of the longest spectrum.

    Returns:
        lyapunov_exponent (network, epoch, exponent), lyapunov_mean and lyapunov_max (of all original exponents) and
        loss (network, epoch); low_error (network), whether the final loss is below the median; as coordinates
        final_loss and the coordinates of the variants, except their seed. Attributes: the number of networks
        (n_networks) and of excluded ones (n_diverged).

    Raises:
        ValueError: fewer than two networks remain, none is below the median, or `spectrum_length` is below 2.
    """
    counts = networks_that_count(spectra)
    if np.count_nonzero(counts) < 2:
        raise ValueError(f"{np.count_nonzero(counts)} of {counts.size} networks did not diverge; expected at least 2")
    loss = spectra["validation_loss"].values[counts]
    exponents = spectra["lyapunov_exponent"].values[counts]
    lengths = spectrum_lengths(exponents)
    exponents = np.maximum(exponents, exponent_floor)
    common = _at_common_length(exponents, lengths, spectrum_length or int(lengths.max()))
    per_epoch = ("network", "epoch")
    networks = xr.Dataset(
        {
            "lyapunov_exponent": ((*per_epoch, "exponent"), common),
            "lyapunov_mean": (per_epoch, np.nanmean(exponents, axis=-1)),
            "lyapunov_max": (per_epoch, np.nanmax(exponents, axis=-1)),
            "loss": (per_epoch, loss),
            "low_error": ("network", _below_median(loss[:, -1])),
        },
        coords={
            "network": np.arange(len(loss)),
            "epoch": spectra["epoch"].values,
            "exponent": np.arange(1, common.shape[-1] + 1),
            "final_loss": ("network", loss[:, -1]),
            **_known_before_training(spectra, counts),
        },
        attrs={
            "n_networks": len(loss),
            "n_diverged": counts.size - len(loss),
            "exponent_floor": exponent_floor,
            "total_epochs": int(spectra["epoch"].values[-1]),
        },
    )
    return describe(networks, DESCRIPTIONS | in_unit(spectra["validation_loss"].attrs.get("units", "1"), LOSSES))


def _below_median(final_loss: NDArray) -> NDArray[np.bool_]:
    low = final_loss < np.median(final_loss)
    if not low.any():
        raise ValueError(
            f"no final loss of {low.size} networks is below their median, {np.median(final_loss)}; expected two classes"
        )
    return low


def _known_before_training(spectra: xr.Dataset, counts: NDArray[np.bool_]) -> dict[str, tuple]:
    """Return the coordinates of variants, except their seed, as coordinates of the networks that did not diverge."""
    return {
        str(name): ("network", values.values[counts], values.attrs)
        for name, values in spectra.coords.items()
        if values.dims == ("variant",) and name != "seed"
    }


def _at_common_length(exponents: NDArray, lengths: NDArray[np.int_], common: int) -> NDArray:
    """Return the first `lengths` (network,) of exponents (network, epoch, exponent) as (network, epoch, common)."""
    result = np.empty((*exponents.shape[:2], common), dtype=exponents.dtype)
    for length in np.unique(lengths):
        own = lengths == length
        result[own] = interpolate_spectrum(exponents[own, :, :length], common)
    return result


def hyperparameters(networks: xr.Dataset) -> NDArray[np.float64]:
    """Return the hyperparameters of networks as numbers (network, d), sorted by name.

    Numbers are not changed. A text, such as the architecture, gives a column of 0 and 1 for each of its values. NaN
    means that a cell has no such hyperparameter. The order matters, because a random forest draws features by their
    index.
    """
    columns: list[NDArray] = []
    for name in sorted(map(str, networks.coords)):
        coordinate = networks[name]
        if coordinate.dims != ("network",) or name in ("network", "final_loss"):
            continue
        if coordinate.dtype.kind in "OU":
            text = coordinate.values.astype(str)
            columns += [text == value for value in np.unique(text)]
        else:
            columns.append(coordinate.values)
    return np.stack(columns, axis=-1).astype(float)
