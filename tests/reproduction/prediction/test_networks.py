from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.prediction.networks import hyperparameters, select_networks
from tests.reproduction.prediction.synthetic import synthetic_sizes


@pytest.fixture(scope="module")
def spectra() -> xr.Dataset:
    return synthetic_sizes()


def test_spectra_of_all_sizes_have_the_requested_length(spectra: xr.Dataset) -> None:
    networks = select_networks(spectra, -20.0, 16)
    assert networks.sizes == {"network": 47, "epoch": 6, "exponent": 16}
    assert networks.attrs["n_diverged"] == 1
    small = networks["hidden_size"].values == 12
    own = spectra["lyapunov_exponent"].values[:24, :, :12]
    np.testing.assert_allclose(networks["lyapunov_mean"].values[small], own.mean(axis=-1))
    np.testing.assert_array_equal(networks["lyapunov_exponent"].values[small][..., [0, -1]], own[..., [0, -1]])
    assert select_networks(spectra, -20.0).sizes["exponent"] == 24


def test_a_gap_inside_a_spectrum_marks_a_diverged_network(spectra: xr.Dataset) -> None:
    gap = spectra.copy(deep=True)
    gap["lyapunov_exponent"][0, 3, 5] = np.nan
    assert select_networks(gap, -20.0).attrs["n_diverged"] == 2


def test_the_dtype_of_the_spectra_is_kept(spectra: xr.Dataset) -> None:
    for dtype in (np.float32, np.float64):
        own = spectra.assign(lyapunov_exponent=spectra["lyapunov_exponent"].astype(dtype))
        assert select_networks(own, -20.0, 16)["lyapunov_exponent"].dtype == dtype


def test_hyperparameters_are_numbers_with_an_indicator_column_for_each_text() -> None:
    networks = xr.Dataset(
        coords={
            "network": [0, 1, 2],
            "final_loss": ("network", [0.1, 0.2, 0.3]),
            "init_param": ("network", [1.0, 2.0, 3.0]),
            "architecture": ("network", ["lstm", "gru", "lstm"]),
            "eps": ("network", [np.nan, 0.1, np.nan]),
            "epoch": [0],
        }
    )
    expected = [[0, 1, np.nan, 1], [1, 0, 0.1, 2], [0, 1, np.nan, 3]]  # The columns are gru, lstm, eps and init_param.
    np.testing.assert_array_equal(hyperparameters(networks), expected)
    other_order = xr.Dataset(coords={name: networks[name].variable for name in reversed(list(networks.coords))})
    np.testing.assert_array_equal(hyperparameters(other_order), expected)
