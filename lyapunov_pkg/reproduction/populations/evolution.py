"""How spectra change over training, and how fast they settle (dissertation, chapter 2, fig. 2.6)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from lyapunov_pkg.labels import describe


def networks_with_spectra(spectra: xr.Dataset) -> xr.Dataset:
    """Leave out the variants of a study that diverged: flagged, or with NaN in a spectrum.

    Args:
        spectra: with `lyapunov_exponent(variant, epoch, exponent)` and `diverged(variant)`.

    Returns:
        The others along `network`, a dimension without labels since those of variants repeat from group to group.
        Attributes: `n_networks`, and `n_diverged` of those left out.

    Raises:
        ValueError: all of them diverged.
    """
    undefined = np.isnan(spectra["lyapunov_exponent"]).any(("epoch", "exponent")).values
    diverged = spectra["diverged"].values | undefined
    if diverged.all():
        raise ValueError(f"all {diverged.size} networks diverged; expected at least one with spectra")
    networks = (
        spectra.drop_vars("diverged").isel(variant=~diverged).rename_dims(variant="network").reset_index("variant")
    )
    counts = {"n_networks": int(np.count_nonzero(~diverged)), "n_diverged": int(np.count_nonzero(diverged))}
    return networks.drop_attrs(deep=False).assign_attrs(counts)


def spectrum_evolution(spectra: xr.Dataset) -> xr.Dataset:
    """How far the spectrum of each network moves from epoch to epoch, and how far its mean is from where it ends.

    Exponents of -inf, in any epoch, say nothing about how far a spectrum moves: those of that index are left out.

    Args:
        spectra: of a study, with `lyapunov_exponent(variant, epoch, exponent)` and `diverged(variant)`.

    Returns:
        Dataset over `network`, see `networks_with_spectra`: `lyapunov_exponent`; `mean_squared_change(network, epoch)`
        of the exponents from the epoch before, NaN at the first; `mean_difference(network, epoch)`, their mean less
        that at the last epoch; `decay_power(network)` of the change, see `power_of_decay`.

    Raises:
        ValueError: all networks diverged.
    """
    networks = networks_with_spectra(spectra)[["lyapunov_exponent"]]
    exponents = networks["lyapunov_exponent"]
    finite = exponents.where(np.isfinite(exponents).all("epoch"))
    change = (finite.diff("epoch") ** 2).mean("exponent")
    mean = finite.mean("exponent")
    networks["mean_squared_change"] = change.reindex(epoch=networks["epoch"])
    networks["mean_difference"] = mean - mean.isel(epoch=-1, drop=True)
    powers = [power_of_decay(change["epoch"], of_network) for of_network in change.transpose("network", "epoch")]
    networks["decay_power"] = ("network", powers)
    return describe(
        networks,
        {
            "mean_squared_change": ("nat^2/step^2", "mean squared difference of the exponents from the epoch before"),
            "mean_difference": ("nat/step", "mean exponent less that of the last epoch"),
            "decay_power": ("1", "power of the epoch that the mean squared change follows (1/t: -1)"),
        },
    )


def power_of_decay(time: ArrayLike, values: ArrayLike) -> float:
    """The power b of the law values = a time^b that fits best, by least squares on logarithms.

    Args:
        time: (n,), above zero.
        values: (n,); those that are not positive and finite do not count.

    Returns:
        b; NaN where fewer than two values count.
    """
    time, values = np.asarray(time, dtype=np.float64), np.asarray(values, dtype=np.float64)
    counts = np.isfinite(values) & (values > 0)
    if np.count_nonzero(counts) < 2:
        return np.nan
    return float(np.polyfit(np.log(time[counts]), np.log(values[counts]), 1)[0])
