from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.prediction.networks import select_networks
from tests.reproduction.prediction.synthetic import synthetic_sizes


@pytest.fixture(scope="module")
def spectra() -> xr.Dataset:
    return synthetic_sizes()


def test_spectra_of_all_sizes_have_the_length_that_is_asked_for(spectra: xr.Dataset) -> None:
    networks = select_networks(spectra, -20.0, 16)
    assert networks.sizes == {"network": 47, "epoch": 6, "exponent": 16}
    assert networks.attrs["n_diverged"] == 1
    small = networks["hidden_size"].values == 12
    own = spectra["lyapunov_exponent"].values[:24, :, :12]
    np.testing.assert_allclose(networks["lyapunov_mean"].values[small], own.mean(axis=-1))
    np.testing.assert_array_equal(networks["lyapunov_exponent"].values[small][..., [0, -1]], own[..., [0, -1]])
    assert select_networks(spectra, -20.0).sizes["exponent"] == 24


def test_a_gap_inside_a_spectrum_is_no_short_spectrum(spectra: xr.Dataset) -> None:
    gap = spectra.copy(deep=True)
    gap["lyapunov_exponent"][0, 3, 5] = np.nan
    assert select_networks(gap, -20.0).attrs["n_diverged"] == 2
