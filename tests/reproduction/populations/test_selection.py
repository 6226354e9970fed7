"""The rule that excludes diverged networks, and its use in all experiments."""

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
    """Return a study in which the networks `TROUBLED` diverged in different ways, and networks 1 and 5 did not."""
    study = make_study(12, n_diverged=0)
    study["diverged"][0] = True
    study["lyapunov_exponent"][1, :, 12:] = np.nan  # This network has fewer exponents.
    study["validation_loss"][2, -1] = np.inf
    study["lyapunov_exponent"][3, 2, 4] = np.nan  # This spectrum has a gap.
    study["lyapunov_exponent"][4, 3, -1] = np.nan  # This spectrum is shorter at one epoch than at the others.
    study["lyapunov_exponent"][5, :, -2:] = -np.inf  # These exponents are from singular Jacobians.
    return study


def test_a_network_is_excluded_if_flag_loss_or_spectrum_shows_divergence():
    study = troubled_study()
    assert np.flatnonzero(~networks_that_count(study)).tolist() == TROUBLED
    without_spectra = study.drop_vars("lyapunov_exponent")
    assert np.flatnonzero(~networks_that_count(without_spectra)).tolist() == [0, 2]
    assert np.flatnonzero(~networks_that_count(without_spectra[["diverged"]])).tolist() == [0]
    other_order = study.transpose("exponent", "epoch", "variant")
    np.testing.assert_array_equal(networks_that_count(other_order), networks_that_count(study))


def test_only_the_last_loss_excludes_a_network_and_the_store_is_unchanged():
    study = make_study(4, n_diverged=0)
    study["validation_loss"][0, 2] = np.inf
    before = study.copy(deep=True)
    assert networks_that_count(study).all()
    study["validation_loss"][0, -1] = np.nan
    before["validation_loss"][0, -1] = np.nan
    assert networks_that_count(study).tolist() == [False, True, True, True]
    xr.testing.assert_identical(study, before)


def test_all_experiments_exclude_the_same_networks():
    study = troubled_study()
    kept = np.setdiff1d(np.arange(12), TROUBLED)
    settings = {"near_zero": 0.2, "exponent_floor": -20.0, "n_resamples": 20, "seed": 1}
    correlations = performance_correlations(study, "maximum_exponent", 3, **settings)
    for found in (select_networks(study, -20.0), correlations, spectrum_evolution(study), networks_with_spectra(study)):
        assert (found.attrs["n_networks"], found.attrs["n_diverged"]) == (8, 4)
        np.testing.assert_array_equal(found["learning_rate"], study["learning_rate"][kept])


def test_spectrum_lengths_count_exponents_before_the_nan_padding():
    exponents = np.array([[[2.0, 1, 0], [2, 1, 0]], [[2, 1, np.nan], [2, 1, np.nan]], [[2, np.nan, 0], [2, 1, 0]]])
    assert spectrum_lengths(exponents).tolist() == [3, 2, 0]
    assert spectrum_lengths(np.full((1, 2, 3), np.nan)).tolist() == [0]


def test_the_best_network_has_the_lowest_loss_of_those_not_excluded():
    losses = [[3.0, 2.0, 4.0], [0.1, 5.0, np.nan], [0.2, 1.0, 1.0]]
    training = xr.Dataset({"validation_loss": (("variant", "epoch"), losses), "diverged": ("variant", [False] * 3)})
    assert best_position(training) == (2, 0)
    training["diverged"][2] = True
    assert best_position(training.transpose("epoch", "variant")) == (0, 1)


@pytest.mark.parametrize(
    ("find", "message"), [(best_position, "expected one"), (networks_with_spectra, "at least one")]
)
def test_a_study_with_only_diverged_networks_gives_one_clear_error(find, message):
    with pytest.raises(ValueError, match=rf"all 4 networks diverged; .*{message}"):
        find(make_study(4, n_diverged=4))
