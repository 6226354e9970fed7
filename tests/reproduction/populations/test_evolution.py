from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.populations.evolution import power_of_decay, spectrum_evolution
from tests.reproduction.populations.synthetic import make_study


def test_a_power_law_is_recovered_from_the_positive_values():
    time = np.arange(1, 9)
    assert power_of_decay(time, 3 / time) == pytest.approx(-1)
    values = 0.2 * time**-2.5
    values[[1, 4]] = 0.0, np.nan
    assert power_of_decay(time, values) == pytest.approx(-2.5)
    assert np.isnan(power_of_decay(time, np.zeros(8)))
    assert np.isnan(power_of_decay([1], [2]))


def study(exponents: np.ndarray, diverged: list[bool]) -> xr.Dataset:
    """Return a spectra store from exponents (variant, epoch, exponent)."""
    return xr.Dataset(
        {
            "lyapunov_exponent": (("variant", "epoch", "exponent"), exponents),
            "diverged": ("variant", diverged),
        },
        coords={
            "epoch": np.arange(exponents.shape[1]),
            "exponent": np.arange(1, exponents.shape[2] + 1),
            "variant": np.arange(len(exponents)),
            "init_param": ("variant", np.linspace(0.1, 0.5, len(exponents))),
        },
    )


def test_the_change_of_spectra_that_converge_as_an_inverse_root():
    steps = np.cumsum([0, *(np.arange(1, 11) ** -0.5)])  # Each change is t^-1/2, and its square is 1/t.
    exponents = np.stack([-steps, -2 - 3 * steps], axis=-1)[None]
    evolution = spectrum_evolution(study(exponents, [False]))
    # The mean is (1 + 9) / 2 over t.
    np.testing.assert_allclose(evolution["mean_squared_change"][0, 1:], 5 / np.arange(1, 11))
    assert np.isnan(evolution["mean_squared_change"][0, 0])
    np.testing.assert_allclose(evolution["mean_difference"][0], 2 * (steps[-1] - steps))
    assert float(evolution["decay_power"][0]) == pytest.approx(-1)


def test_an_exponent_that_is_lost_at_one_epoch_is_omitted_at_all_epochs():
    exponents = np.array([[[-1.0, -2.0, -np.inf], [-1.5, -2.5, -3.0], [-1.5, -2.0, -3.0]]])
    evolution = spectrum_evolution(study(exponents, [False]))
    np.testing.assert_allclose(evolution["mean_squared_change"][0], [np.nan, 0.25, 0.125])
    np.testing.assert_allclose(evolution["mean_difference"][0], [0.25, -0.25, 0])


def test_diverged_networks_are_omitted_and_counted():
    spectra = make_study(12, n_diverged=2)
    spectra["lyapunov_exponent"][0, 3, 4] = np.nan  # The flag `diverged` is not set for this network.
    evolution = spectrum_evolution(spectra)
    assert evolution.sizes["network"] == evolution.attrs["n_networks"] == 9
    assert evolution.attrs["n_diverged"] == 3
    np.testing.assert_array_equal(evolution["init_param"], spectra["init_param"][1:10])
    assert {"units", "long_name"} <= set(evolution["mean_squared_change"].attrs)
