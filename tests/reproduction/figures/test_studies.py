"""Kinds of networks in a study, and how figures distinguish them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lyapunov_pkg.reproduction.figures.studies import kinds


def test_networks_of_one_architecture_are_distinguished_by_the_varying_hyperparameter():
    sizes = np.array([16, 32, 16, 64])
    networks = xr.Dataset(coords={"architecture": ("network", ["lstm"] * 4), "hidden_size": ("network", sizes)})
    found = kinds(networks)
    assert len(found) == 3
    for kind, size in zip(found, (16, 32, 64), strict=True):
        np.testing.assert_array_equal(kind.members, sizes == size)
        assert kind.label == f"hidden size {size}"


def test_several_architectures_are_distinguished_by_name():
    networks = xr.Dataset(coords={"architecture": ("network", ["gru", "lstm", "gru"])})
    selected = [kind.members.tolist() for kind in kinds(networks)]
    assert sorted(selected) == [[False, True, False], [True, False, True]]
