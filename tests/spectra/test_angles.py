from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg import covariant_vectors, subspace_angles, vector_angles
from lyapunov_pkg.systems import Henon, TowelMap

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 0.3, np.pi / 2 - 1e-9, np.pi / 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_angles_of_any_size_are_accurate(angle, sign):
    vectors = np.array([[2.0, sign * np.cos(angle)], [0.0, sign * np.sin(angle)]])
    found = vector_angles(vectors)
    np.testing.assert_allclose(found, [[0, angle], [angle, 0]], rtol=1e-9, atol=1e-25 if angle else 1e-8)
    np.testing.assert_allclose(subspace_angles(vectors[:, :1], vectors[:, 1:]), [angle], rtol=1e-6, atol=1e-15)


def test_subspace_angles_are_those_of_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    first, second = RANDOM.normal(size=(5, 7, 3)), RANDOM.normal(size=(5, 7, 2))
    second[4, :, 0] = first[4, :, 1] + 1e-9 * second[4, :, 1]
    for one, other in ((first, second), (second, first)):
        expected = [np.sort(linalg.subspace_angles(a, b)) for a, b in zip(one, other, strict=True)]
        np.testing.assert_allclose(subspace_angles(one, other), expected, atol=1e-12)


def test_labels_are_kept():
    vectors = covariant_vectors(TowelMap(), n_steps=200)["covariant_vector"]
    angles = vector_angles(vectors)
    assert angles.dims == ("sequence", "time", "exponent", "other")
    assert angles["other"].values.tolist() == [1, 2, 3] and angles.attrs["units"] == "rad"
    xr.testing.assert_equal(angles["time"], vectors["time"])
    between = subspace_angles(vectors.sel(exponent=slice(1, 2)), vectors.sel(exponent=[3]))
    assert between.dims == ("sequence", "time", "angle") and between.attrs["units"] == "rad"
    normal = np.cross(vectors.sel(exponent=1), vectors.sel(exponent=2))
    sine = np.abs((normal * vectors.sel(exponent=3).values).sum(-1)) / np.linalg.norm(normal, axis=-1)
    np.testing.assert_allclose(np.sin(between[..., 0]), sine, atol=1e-10)


def test_undefined_vectors_have_nan_angles():
    start = np.array([[0.0, 0.0], [50.0, 0.0]])
    vectors = covariant_vectors(Henon(), n_steps=60, initial_state=start)["covariant_vector"]
    for angles in (vector_angles(vectors), subspace_angles(vectors.sel(exponent=[1]), vectors.sel(exponent=[2]))):
        assert np.isfinite(angles[0]).all() and np.isnan(angles[1]).all()


def test_arguments_without_vectors_are_refused():
    with pytest.raises(ValueError, match=r"vectors: got shape \(3,\), expected \(..., unit, exponent\)"):
        vector_angles(np.ones(3))
    labelled = xr.DataArray(np.ones((3, 2)), dims=("unit", "column"))
    with pytest.raises(ValueError, match="vectors: got the dimensions"):
        vector_angles(labelled)
    with pytest.raises(TypeError, match="first and second: got DataArray and ndarray"):
        subspace_angles(labelled, np.ones((3, 2)))
