"""The rule that excludes diverged networks, and its use everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.populations.correlations import performance_correlations
from lyapunov_pkg.reproduction.populations.evolution import spectrum_evolution
from lyapunov_pkg.reproduction.populations.selection import (
    best_position,
    networks_that_count,
    networks_with_spectra,
    spectrum_lengths,
)
from lyapunov_pkg.reproduction.prediction.networks import select_networks
from tests.reproduction.populations.synthetic import make_study

TROUBLED = [0, 2, 3, 4]


def troubled_study() -> xr.Dataset:
    """A study whose networks of `TROUBLED` diverged, each in its own way, and whose networks 1 and 5 did not."""
    study = make_study(12, n_diverged=0)
    study["diverged"][0] = True
    study["lyapunov_exponent"][1, :, 12:] = np.nan  # a network with fewer exponents
    study["validation_loss"][2, -1] = np.inf
    study["lyapunov_exponent"][3, 2, 4] = np.nan  # a gap
    study["lyapunov_exponent"][4, 3, -1] = np.nan  # shorter at one epoch than at the others
    study["lyapunov_exponent"][5, :, -2:] = -np.inf  # singular Jacobians
    return study


def test_a_network_counts_unless_flag_loss_or_spectrum_says_that_it_diverged():
    study = troubled_study()
    assert np.flatnonzero(~networks_that_count(study)).tolist() == TROUBLED
    without_spectra = study.drop_vars("lyapunov_exponent")
    assert np.flatnonzero(~networks_that_count(without_spectra)).tolist() == [0, 2]
    assert np.flatnonzero(~networks_that_count(without_spectra[["diverged"]])).tolist() == [0]
    other_order = study.transpose("exponent", "epoch", "variant")
    np.testing.assert_array_equal(networks_that_count(other_order), networks_that_count(study))


def test_a_loss_counts_at_the_last_epoch_and_the_store_stays_as_it_is():
    study = make_study(4, n_diverged=0)
    study["validation_loss"][0, 2] = np.inf
    before = study.copy(deep=True)
    assert networks_that_count(study).all()
    study["validation_loss"][0, -1] = np.nan
    before["validation_loss"][0, -1] = np.nan
    assert networks_that_count(study).tolist() == [False, True, True, True]
    xr.testing.assert_identical(study, before)


def test_everything_that_leaves_networks_out_leaves_out_the_same():
    study = troubled_study()
    kept = np.setdiff1d(np.arange(12), TROUBLED)
    settings = {"near_zero": 0.2, "exponent_floor": -20.0, "n_resamples": 20, "seed": 1}
    correlations = performance_correlations(study, "maximum_exponent", 3, **settings)
    for found in (select_networks(study, -20.0), correlations, spectrum_evolution(study), networks_with_spectra(study)):
        assert (found.attrs["n_networks"], found.attrs["n_diverged"]) == (8, 4)
        np.testing.assert_array_equal(found["learning_rate"], study["learning_rate"][kept])


def test_lengths_are_those_of_whole_spectra_that_nan_only_fills_up():
    exponents = np.array([[[2.0, 1, 0], [2, 1, 0]], [[2, 1, np.nan], [2, 1, np.nan]], [[2, np.nan, 0], [2, 1, 0]]])
    assert spectrum_lengths(exponents).tolist() == [3, 2, 0]
    assert spectrum_lengths(np.full((1, 2, 3), np.nan)).tolist() == [0]


def test_the_best_network_is_the_lowest_loss_of_those_that_count():
    losses = [[3.0, 2.0, 4.0], [0.1, 5.0, np.nan], [0.2, 1.0, 1.0]]
    training = xr.Dataset({"validation_loss": (("variant", "epoch"), losses), "diverged": ("variant", [False] * 3)})
    assert best_position(training) == (2, 0)
    training["diverged"][2] = True
    assert best_position(training.transpose("epoch", "variant")) == (0, 1)


@pytest.mark.parametrize(
    ("find", "message"), [(best_position, "expected one"), (networks_with_spectra, "at least one")]
)
def test_all_diverged_is_one_clear_error(find, message):
    with pytest.raises(ValueError, match=rf"all 4 networks diverged; .*{message}"):
        find(make_study(4, n_diverged=4))
