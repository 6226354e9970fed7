"""Change of spectra over training, and its decay (dissertation, chapter 2, fig. 2.6)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from lyapunov_pkg.labels import Label, describe
from lyapunov_pkg.reproduction.populations.selection import networks_with_spectra

DESCRIPTIONS = {
    "mean_squared_change": Label("nat^2/step^2", "mean squared difference of the exponents from the epoch before"),
    "mean_difference": Label("nat/step", "mean exponent less that of the last epoch"),
    "decay_power": Label("1", "power of the epoch that the mean squared change follows (1/t: -1)"),
}


def spectrum_evolution(spectra: xr.Dataset) -> xr.Dataset:
    """Return the change of each network's spectrum per epoch, and the distance of its mean from the final mean.

    An exponent of -inf gives no information on the change of a spectrum. If an index has -inf in any epoch, it is
    excluded.

    Args:
        spectra: spectra of a study, with `lyapunov_exponent(variant, epoch, exponent)` and `diverged(variant)`.

    Returns:
        Dataset over `network`, see `selection.networks_with_spectra`: `lyapunov_exponent`;
        `mean_squared_change(network, epoch)` of the exponents since the previous epoch, NaN at the first;
        `mean_difference(network, epoch)`, their mean minus that at the last epoch; `decay_power(network)` of the
        change, see `power_of_decay`.

    Raises:
        ValueError: all networks diverged.
    """
    networks = networks_with_spectra(spectra)[["lyapunov_exponent"]]
    exponents = networks["lyapunov_exponent"]
    finite = exponents.where(xr.apply_ufunc(np.isfinite, exponents).all("epoch"))
    change = (finite.diff("epoch") ** 2).mean("exponent")
    mean = finite.mean("exponent")
    networks["mean_squared_change"] = change.reindex(epoch=networks["epoch"])
    networks["mean_difference"] = mean - mean.isel(epoch=-1, drop=True)
    powers = [power_of_decay(change["epoch"], of_network) for of_network in change.transpose("network", "epoch")]
    networks["decay_power"] = ("network", powers)
    return describe(networks, DESCRIPTIONS)


def power_of_decay(time: ArrayLike, values: ArrayLike) -> float:
    """Return the power b of the best fit values = a time^b, by least squares on logarithms.

    Args:
        time: (n,), above zero.
        values: (n,). Values that are not positive and finite are ignored.

    Returns:
        b; NaN with fewer than two valid values.
    """
    time, values = np.asarray(time, dtype=np.float64), np.asarray(values, dtype=np.float64)
    counts = np.isfinite(values) & (values > 0)
    if np.count_nonzero(counts) < 2:
        return np.nan
    return float(np.polyfit(np.log(time[counts]), np.log(values[counts]), 1)[0])
