"""Numbers that sum up a Lyapunov spectrum. Everything here works on NumPy arrays of shape (..., exponent).

Exponents are in natural log per time step and decrease along the last axis, as `lyapunov_spectrum` returns them. -inf
(a singular Jacobian) is a value like any other; a spectrum with NaN (a diverged network) gives NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def maximum_exponent(exponents: ArrayLike) -> NDArray:
    """The largest exponent, which decides linear stability (eq. 1.9): nats per step, (...)."""
    return np.max(_spectra(exponents), axis=-1)


def mean_exponent(exponents: ArrayLike) -> NDArray:
    """The mean exponent, the rate at which volumes grow (eq. 1.12): nats per step, (...). -inf if any exponent is."""
    return np.mean(_spectra(exponents), axis=-1)


def exponent_variance(exponents: ArrayLike) -> NDArray:
    """Variance over a spectrum's exponents: (nats per step)^2, (...). inf if any exponent is -inf."""
    exponents = _spectra(exponents)
    lost = np.isneginf(exponents)
    return np.where(lost.any(axis=-1), np.inf, np.var(np.where(lost, 0.0, exponents), axis=-1))


def number_near_zero(exponents: ArrayLike, tolerance: float) -> NDArray:
    """How many exponents are within `tolerance` (nats per step, inclusive) of zero: (...), floats because of NaN.

    Raises:
        ValueError: `tolerance` is negative.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance: got {tolerance}, expected nats per step, zero or more")
    exponents = _spectra(exponents)
    return _nan_where_undefined(np.count_nonzero(np.abs(exponents) <= tolerance, axis=-1), exponents)


def number_above_zero(exponents: ArrayLike) -> NDArray:
    """How many exponents are positive, the number of unstable directions: (...), floats because of NaN."""
    exponents = _spectra(exponents)
    return _nan_where_undefined(np.count_nonzero(exponents > 0, axis=-1), exponents)


def kaplan_yorke_dimension(exponents: ArrayLike) -> NDArray:
    """Kaplan-Yorke dimension of an attractor, D = j + sum_{i<=j} lambda_i / |lambda_{j+1}| (eqs. 1.10, 1.11).

    j is the largest number of leading exponents whose sum is not negative. D is 0 when the first exponent is negative
    (a fixed point), and n when the sum of all n is not (a spectrum that is cut short gives a lower bound).

    Args:
        exponents: (..., exponent), in any order.

    Returns:
        (...), dimensionless. NaN for a spectrum with NaN.

    Raises:
        ValueError: no exponents.

    Example:
        >>> kaplan_yorke_dimension([0.9056, 0.0, -14.5723])  # Lorenz's attractor
        array(2.0621453)

    References:
        Frederickson, P., Kaplan, J. L., Yorke, E. D., Yorke, J. A.: The Liapunov dimension of strange attractors.
        Journal of Differential Equations 49, 185-207 (1983).
    """
    exponents = -np.sort(-_spectra(exponents), axis=-1)
    sums = np.cumsum(exponents, axis=-1)
    # Sums of a decreasing sequence never turn non-negative again once they are negative, so counting them finds j.
    j = np.count_nonzero(sums >= 0, axis=-1)[..., None]
    n = exponents.shape[-1]
    sum_to_j = np.where(j > 0, np.take_along_axis(sums, np.maximum(j - 1, 0), axis=-1), 0.0)
    next_exponent = np.where(j < n, np.take_along_axis(exponents, np.minimum(j, n - 1), axis=-1), -np.inf)
    return _nan_where_undefined((j + sum_to_j / np.abs(next_exponent))[..., 0], exponents)


def initial_slope(exponents: ArrayLike, fraction: float = 0.1) -> NDArray:
    """Mean slope of the spectrum over the leading `fraction` of its indices: nats per step per index, (...).

    The section runs from the first exponent over `slope_width` indices. Not positive, since exponents decrease; -inf
    where the section ends in -inf, NaN where it also begins there.

    Raises:
        ValueError: fewer than two exponents, or a fraction outside (0, 1].
    """
    exponents = _spectra(exponents)
    width = slope_width(exponents.shape[-1], fraction)
    return _slope(exponents[..., 0], exponents[..., width], width)


def final_slope(exponents: ArrayLike, fraction: float = 0.1) -> NDArray:
    """Mean slope of the spectrum over the trailing `fraction` of its indices: nats per step per index, (...).

    The section ends at the last exponent; otherwise as `initial_slope`.
    """
    exponents = _spectra(exponents)
    width = slope_width(exponents.shape[-1], fraction)
    return _slope(exponents[..., -1 - width], exponents[..., -1], width)


def slope_width(n_exponents: int, fraction: float) -> int:
    """How many indices the initial and the final slope each span: `fraction` of them, at least one step.

    Raises:
        ValueError: fewer than two exponents, or a fraction outside (0, 1].
    """
    if n_exponents < 2:
        raise ValueError(f"exponents: got {n_exponents} along the last axis, expected at least 2 to take a slope")
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: got {fraction}, expected a number in (0, 1]")
    return max(1, round(fraction * (n_exponents - 1)))


def interpolate_spectrum(exponents: ArrayLike, length: int) -> NDArray:
    """Bring spectra to a common length by linear interpolation between neighbouring exponents (dissertation, chapter 3,
    appendix A: "we use linear interpolation to increase the dimension of each spectrum").

    The first and the last exponent stay; the others lie at equal distances between them, so that the shape of a
    spectrum is compared across network sizes.

    Args:
        exponents: (..., d), decreasing along the last axis, finite.
        length: exponents afterwards.

    Returns:
        (..., length), nats per step; decreasing like `exponents`, equal to them where d is `length`.

    Raises:
        ValueError: `length` is below 2, or there is an infinite exponent.
    """
    exponents = _spectra(exponents)
    if length < 2:
        raise ValueError(f"length: got {length}, expected at least 2 exponents")
    if np.isinf(exponents).any():
        raise ValueError(f"exponents: {np.count_nonzero(np.isinf(exponents))} are infinite, expected none")
    n = exponents.shape[-1]
    place = np.arange(length) * ((n - 1) / (length - 1))
    left = np.minimum(place.astype(int), max(n - 2, 0))
    right = np.minimum(left + 1, n - 1)
    share = np.minimum(place - left, 1.0)
    return exponents[..., left] * (1 - share) + exponents[..., right] * share


def _slope(first: NDArray, last: NDArray, width: int) -> NDArray:
    with np.errstate(invalid="ignore"):
        return (last - first) / width


def _spectra(exponents: ArrayLike) -> NDArray:
    exponents = np.asarray(exponents, dtype=np.float64)
    if exponents.ndim == 0 or exponents.shape[-1] == 0:
        raise ValueError(f"exponents: got shape {exponents.shape}, expected (..., exponent) with at least one exponent")
    return exponents


def _nan_where_undefined(values: NDArray, exponents: NDArray) -> NDArray:
    return np.where(np.isnan(exponents).any(axis=-1), np.nan, values)
