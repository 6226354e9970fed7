"""Angles between covariant vectors, and between the subspaces that they span."""

from __future__ import annotations

from typing import overload

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray


@overload
def vector_angles(vectors: xr.DataArray) -> xr.DataArray: ...
@overload
def vector_angles(vectors: ArrayLike) -> NDArray[np.float64]: ...


def vector_angles(vectors: xr.DataArray | ArrayLike) -> xr.DataArray | NDArray[np.float64]:
    """Return the angle between each pair of vectors. Signs and lengths of the vectors do not matter.

    Args:
        vectors: array (..., unit, exponent), or a DataArray with these dimensions, such as the `covariant_vector` of
            `covariant_vectors`.

    Returns:
        (..., exponent, other), radians from 0 to pi / 2. NaN if a vector contains NaN.

    Raises:
        ValueError: the vectors have not these dimensions.

    Example:
        >>> from lyapunov_pkg import vector_angles
        >>> vector_angles([[1.0, 1.0], [0.0, 1.0]]).round(4)
        array([[0.    , 0.7854],
               [0.7854, 0.    ]])
    """
    if not isinstance(vectors, xr.DataArray):
        return _vector_angles(_checked("vectors", np.asarray(vectors, dtype=np.float64)))
    _check_dims("vectors", vectors)
    others = {"exponent": "other"}
    angles: xr.DataArray = xr.apply_ufunc(
        _vector_angles,
        vectors.astype(np.float64),
        input_core_dims=[["unit", "exponent"]],
        output_core_dims=[["exponent", "other"]],
    )
    if "exponent" in vectors.coords:
        angles = angles.assign_coords(other=vectors["exponent"].rename(others).drop_attrs())
    return angles.rename("angle").assign_attrs(units="rad", long_name="angle between two vectors")


@overload
def subspace_angles(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray: ...
@overload
def subspace_angles(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]: ...


def subspace_angles(
    first: xr.DataArray | ArrayLike, second: xr.DataArray | ArrayLike
) -> xr.DataArray | NDArray[np.float64]:
    """Return the principal angles between the spans of two sets of vectors (Björck and Golub 1973).

    The smallest angle is that between the two closest vectors of the subspaces. For the unstable and the stable
    covariant vectors, it is zero at a homoclinic tangency. Small angles are as accurate as large ones.

    Args:
        first: array (..., unit, exponent) or a DataArray with these dimensions, of linearly independent vectors.
        second: as `first`, with any number of vectors.

    Returns:
        (..., angle), radians from 0 to pi / 2, increasing. There are as many angles as the smaller set has vectors. NaN
        if a vector contains NaN.

    Raises:
        TypeError: only one of the two arguments is a DataArray.
        ValueError: the vectors have not these dimensions.

    Example:
        The smallest angle between the unstable and the stable direction along an orbit of the Hénon map:

        >>> from lyapunov_pkg import covariant_vectors, subspace_angles
        >>> from lyapunov_pkg.systems import Henon
        >>> vectors = covariant_vectors(Henon(), n_steps=400)["covariant_vector"]
        >>> unstable, stable = vectors.sel(exponent=[1]), vectors.sel(exponent=[2])
        >>> dict(subspace_angles(unstable, stable).sizes)
        {'sequence': 1, 'time': 200, 'angle': 1}

    References:
        Björck, Å., Golub, G. H.: Numerical methods for computing angles between linear subspaces. Mathematics of
        Computation 27, 579-594 (1973).
    """
    if isinstance(first, xr.DataArray) != isinstance(second, xr.DataArray):
        raise TypeError(
            f"first and second: got {type(first).__name__} and {type(second).__name__}, expected two DataArrays or "
            "two arrays"
        )
    if not (isinstance(first, xr.DataArray) and isinstance(second, xr.DataArray)):
        arrays = [_checked(name, np.asarray(given, float)) for name, given in (("first", first), ("second", second))]
        return _subspace_angles(*arrays)
    _check_dims("first", first)
    _check_dims("second", second)
    angles: xr.DataArray = xr.apply_ufunc(
        _subspace_angles,
        first.drop_vars("exponent", errors="ignore").astype(np.float64),
        second.drop_vars("exponent", errors="ignore").rename(exponent="other").astype(np.float64),
        input_core_dims=[["unit", "exponent"], ["unit", "other"]],
        output_core_dims=[["angle"]],
        join="exact",
    )
    return angles.rename("angle").assign_attrs(units="rad", long_name="principal angle between two subspaces")


def _check_dims(name: str, vectors: xr.DataArray) -> None:
    if not {"unit", "exponent"} <= set(vectors.dims):
        raise ValueError(f"{name}: got the dimensions {vectors.dims}, expected 'unit' and 'exponent' among them")


def _checked(name: str, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    if vectors.ndim < 2 or 0 in vectors.shape[-2:]:
        raise ValueError(f"{name}: got shape {vectors.shape}, expected (..., unit, exponent), none empty")
    return vectors


def _vector_angles(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 2 atan2(|u - v|, |u + v|) of unit vectors u and v, which is accurate for all angles (Kahan)."""
    unit = vectors / np.linalg.norm(vectors, axis=-2, keepdims=True)
    columns = []
    for j in range(unit.shape[-1]):
        other = unit[..., j, None]
        lengths = np.linalg.norm(unit - other, axis=-2), np.linalg.norm(unit + other, axis=-2)
        columns.append(2 * np.arctan2(np.minimum(*lengths), np.maximum(*lengths)))
    return np.stack(columns, axis=-1)


def _subspace_angles(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    if first.shape[-1] < second.shape[-1]:
        first, second = second, first
    no_first, no_second = (np.isnan(vectors).any(axis=-1).any(axis=-1, keepdims=True) for vectors in (first, second))
    q, p = (np.linalg.qr(np.nan_to_num(vectors))[0] for vectors in (first, second))
    projected = np.swapaxes(q, -2, -1) @ p
    cosines = np.linalg.svd(projected, compute_uv=False)
    sines = np.linalg.svd(p - q @ projected, compute_uv=False)[..., ::-1]
    by_cosine, by_sine = np.arccos(np.minimum(cosines, 1)), np.arcsin(np.minimum(sines, 1))
    return np.where(no_first | no_second, np.nan, np.where(cosines**2 > 0.5, by_sine, by_cosine))
