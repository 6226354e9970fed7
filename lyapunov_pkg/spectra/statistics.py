"""Statistics of Lyapunov spectra.

Each function takes an array (..., exponent), or a DataArray with the dimension `exponent`, such as the
`lyapunov_exponent` of `lyapunov_spectrum`. It returns an array (...), or a DataArray that keeps the other dimensions
and their coordinates.

Exponents are in nats per time step, or per time unit for a flow, and decrease. -inf (a singular Jacobian) is a valid
value. A spectrum that contains NaN (a diverged network) gives NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, overload

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Options = ParamSpec("Options")
Values = NDArray[np.float64]


class Statistic(Protocol[Options]):
    """A function of spectra that returns a DataArray if its argument is one."""

    @overload
    def __call__(self, exponents: xr.DataArray, /, *args: Options.args, **kwargs: Options.kwargs) -> xr.DataArray: ...
    @overload
    def __call__(self, exponents: ArrayLike, /, *args: Options.args, **kwargs: Options.kwargs) -> Values: ...


def _keeping_labels(
    long_name: str, units: str | None = None
) -> Callable[[Callable[Concatenate[ArrayLike, Options], Values]], Statistic[Options]]:
    """Return a decorator that lets a function of arrays (..., exponent) also take DataArrays.

    Args:
        long_name: of the result.
        units: of the result; None: the units of the exponents.
    """

    def decorate(function: Callable[Concatenate[ArrayLike, Options], Values]) -> Statistic[Options]:
        @functools.wraps(function)
        def statistic(
            exponents: xr.DataArray | ArrayLike, *args: Options.args, **kwargs: Options.kwargs
        ) -> xr.DataArray | Values:
            if isinstance(exponents, xr.Dataset):
                raise TypeError('exponents: got a Dataset, expected its variable, spectrum["lyapunov_exponent"]')
            if not isinstance(exponents, xr.DataArray):
                return function(exponents, *args, **kwargs)
            if "exponent" not in exponents.dims:
                raise ValueError(f"exponents: got the dimensions {exponents.dims}, expected 'exponent' among them")
            values: xr.DataArray = xr.apply_ufunc(
                lambda array: function(array, *args, **kwargs), exponents, input_core_dims=[["exponent"]]
            )
            labels = {"units": exponents.attrs.get("units", "nat/step") if units is None else units}
            return values.rename(getattr(function, "__name__", None)).assign_attrs(labels, long_name=long_name)

        return statistic  # type: ignore[return-value]

    return decorate


@_keeping_labels("largest Lyapunov exponent")
def maximum_exponent(exponents: ArrayLike) -> Values:
    """Return the largest exponent, which decides linear stability (eq. 1.9): nats per step, (...)."""
    largest: Values = np.max(_spectra(exponents), axis=-1)
    return largest


@_keeping_labels("mean Lyapunov exponent")
def mean_exponent(exponents: ArrayLike) -> Values:
    """Return the mean exponent, the growth rate of volumes (eq. 1.12): nats per step, (...). -inf if one is."""
    mean: Values = np.mean(_spectra(exponents), axis=-1)
    return mean


@_keeping_labels("variance of the Lyapunov exponents", "nat^2/step^2")
def exponent_variance(exponents: ArrayLike) -> Values:
    """Return the variance over a spectrum's exponents: (nats per step)^2, (...). inf if any exponent is -inf."""
    spectra = _spectra(exponents)
    lost = np.isneginf(spectra)
    return np.where(lost.any(axis=-1), np.inf, np.var(np.where(lost, 0.0, spectra), axis=-1))


@_keeping_labels("Lyapunov exponents near zero", "1")
def number_near_zero(exponents: ArrayLike, tolerance: float) -> Values:
    """Return how many exponents are within `tolerance` (nats per step, inclusive) of zero: (...), floats for NaN.

    Raises:
        ValueError: `tolerance` is negative.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance: got {tolerance}, expected nats per step, zero or more")
    spectra = _spectra(exponents)
    return _nan_where_undefined(np.count_nonzero(np.abs(spectra) <= tolerance, axis=-1), spectra)


@_keeping_labels("positive Lyapunov exponents", "1")
def number_above_zero(exponents: ArrayLike) -> Values:
    """Return the number of positive exponents (unstable directions): (...), floats because of NaN."""
    spectra = _spectra(exponents)
    return _nan_where_undefined(np.count_nonzero(spectra > 0, axis=-1), spectra)


@_keeping_labels("Kaplan-Yorke dimension", "1")
def kaplan_yorke_dimension(exponents: ArrayLike) -> Values:
    """Return the Kaplan-Yorke dimension D = j + sum_{i<=j} lambda_i / |lambda_{j+1}| of an attractor (eqs. 1.10, 1.11).

    j is the largest number of leading exponents whose sum is not negative. D is 0 if the first exponent is negative (a
    fixed point). D is n if the sum of all n exponents is not negative: if the spectrum is incomplete, D is then a lower
    bound.

    Args:
        exponents: (..., exponent), in any order.

    Returns:
        (...), dimensionless. NaN for a spectrum with NaN.

    Raises:
        ValueError: no exponents.

    Example:
        The Lorenz attractor:

        >>> from lyapunov_pkg import kaplan_yorke_dimension
        >>> round(float(kaplan_yorke_dimension([0.9056, 0.0, -14.5723])), 4)
        2.0621

        Labels are kept:

        >>> from lyapunov_pkg import lyapunov_spectrum
        >>> from lyapunov_pkg.systems import Henon
        >>> spectrum = lyapunov_spectrum(Henon(), n_steps=2000, warmup=100)
        >>> kaplan_yorke_dimension(spectrum["lyapunov_exponent"]).dims
        ('sequence',)

    References:
        Frederickson, P., Kaplan, J. L., Yorke, E. D., Yorke, J. A.: The Liapunov dimension of strange attractors.
        Journal of Differential Equations 49, 185-207 (1983).
    """
    spectra = -np.sort(-_spectra(exponents), axis=-1)
    sums = np.cumsum(spectra, axis=-1)
    # Partial sums of a decreasing sequence stay negative once they are negative. Counting the non-negative ones gives
    # j.
    j = np.count_nonzero(sums >= 0, axis=-1)[..., None]
    n = spectra.shape[-1]
    sum_to_j = np.where(j > 0, np.take_along_axis(sums, np.maximum(j - 1, 0), axis=-1), 0.0)
    next_exponent = np.where(j < n, np.take_along_axis(spectra, np.minimum(j, n - 1), axis=-1), -np.inf)
    return _nan_where_undefined((j + sum_to_j / np.abs(next_exponent))[..., 0], spectra)


@_keeping_labels("slope of the leading Lyapunov exponents, per index")
def initial_slope(exponents: ArrayLike, fraction: float = 0.1) -> Values:
    """Return the mean slope of a spectrum over the leading `fraction` of its indices: nats per step per index, (...).

    The section runs from the first exponent over `slope_width` indices. The slope is not positive, because exponents
    decrease. It is -inf if the section ends in -inf, and NaN if it also begins with -inf.

    Raises:
        ValueError: fewer than two exponents, or a fraction outside (0, 1].
    """
    spectra = _spectra(exponents)
    width = slope_width(spectra.shape[-1], fraction)
    return _slope(spectra[..., 0], spectra[..., width], width)


@_keeping_labels("slope of the trailing Lyapunov exponents, per index")
def final_slope(exponents: ArrayLike, fraction: float = 0.1) -> Values:
    """Return the mean slope of a spectrum over the trailing `fraction` of its indices: nats per step per index, (...).

    The section ends at the last exponent. Everything else is as in `initial_slope`.
    """
    spectra = _spectra(exponents)
    width = slope_width(spectra.shape[-1], fraction)
    return _slope(spectra[..., -1 - width], spectra[..., -1], width)


def slope_width(n_exponents: int, fraction: float) -> int:
    """Return how many indices the initial and the final slope span: the share `fraction` of all indices, at least one.

    Raises:
        ValueError: fewer than two exponents, or a fraction outside (0, 1].
    """
    if n_exponents < 2:
        raise ValueError(f"exponents: got {n_exponents} along the last axis, expected at least 2 to take a slope")
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: got {fraction}, expected a number in (0, 1]")
    return max(1, round(fraction * (n_exponents - 1)))


def interpolate_spectrum(exponents: ArrayLike, length: int) -> Values:
    """Return spectra of another length, by linear interpolation between neighbouring exponents.

    The dissertation does so in chapter 3, appendix A: "we use linear interpolation to increase the dimension of each
    spectrum".

    The first and the last exponent stay, and the others are taken at equal distances between them. This makes the
    shapes of spectra comparable across network sizes.

    Args:
        exponents: (..., d), decreasing along the last axis, finite.
        length: number of exponents of the result.

    Returns:
        (..., length), nats per step, decreasing. Equal to `exponents` if d is `length`.

    Raises:
        ValueError: `length` is below 2, or an exponent is infinite.
    """
    spectra = _spectra(exponents)
    if length < 2:
        raise ValueError(f"length: got {length}, expected at least 2 exponents")
    if np.isinf(spectra).any():
        raise ValueError(f"exponents: got {np.count_nonzero(np.isinf(spectra))} infinite ones, expected none")
    n = spectra.shape[-1]
    place = np.arange(length) * ((n - 1) / (length - 1))
    left = np.minimum(place.astype(int), max(n - 2, 0))
    right = np.minimum(left + 1, n - 1)
    share = np.minimum(place - left, 1.0)
    interpolated: Values = spectra[..., left] * (1 - share) + spectra[..., right] * share
    return interpolated


def _slope(first: Values, last: Values, width: int) -> Values:
    with np.errstate(invalid="ignore"):
        return (last - first) / width


def _spectra(exponents: ArrayLike) -> Values:
    spectra = np.asarray(exponents, dtype=np.float64)
    if spectra.ndim == 0 or spectra.shape[-1] == 0:
        raise ValueError(f"exponents: got shape {spectra.shape}, expected (..., exponent) with at least one exponent")
    return spectra


def _nan_where_undefined(values: Values, exponents: Values) -> Values:
    return np.where(np.isnan(exponents).any(axis=-1), np.nan, values)
