from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.prediction.experiments import eigenvalue_experiment, prednet_experiment
from lyapunov_pkg.reproduction.prediction.prednet import PredNetSettings
from lyapunov_pkg.reproduction.prediction.samples import select_networks
from tests.reproduction.prediction.synthetic import synthetic_sizes

SETTINGS = PredNetSettings(hidden_size=20, learning_rate=1e-2, epochs=200, loss_ceiling=1e3)
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def spectra() -> xr.Dataset:
    return synthetic_sizes()


@pytest.fixture(scope="module")
def experiment(spectra: xr.Dataset) -> xr.Dataset:
    return prednet_experiment(spectra, SETTINGS, SEEDS, spectrum_length=16)


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


def test_prednet_predicts_what_spectra_know_and_hyperparameters_do_not(experiment: xr.Dataset) -> None:
    error = experiment["rms_error"].mean("seed")
    assert error.sel(predictor="prednet") < 0.3 * error.sel(predictor="hyperparameters")
    assert (experiment["r_squared"].sel(predictor="prednet") > 0.9).all()
    assert (experiment["r_squared"].sel(predictor="training_mean") <= 0).all()
    # In these data the loss falls in a straight line, so that any epoch tells the last.
    assert (experiment["r_squared"].sel(predictor="loss_at_epoch") > 0.999).all()


def test_errors_are_those_of_the_test_networks_alone(experiment: xr.Dataset) -> None:
    own = experiment.isel(seed=0).sel(predictor="prednet")
    test = own["partition"].values == "test"
    error = own["predicted_loss"].values[test] - own["final_loss"].values[test]
    assert float(own["mean_absolute_error"]) == pytest.approx(np.abs(error).mean())
    assert float(own["rms_error"]) == pytest.approx(np.sqrt(np.square(error).mean()))


def test_held_out_predictions_come_from_seeds_that_hold_the_network_out(experiment: xr.Dataset) -> None:
    test = experiment["partition"].values == "test"
    never = ~test.any(axis=0)
    held_out = experiment["held_out_prediction"].sel(predictor="prednet").values
    np.testing.assert_array_equal(np.isnan(held_out), never)
    once = int(np.flatnonzero(test.sum(axis=0) == 1)[0])
    seed = int(np.flatnonzero(test[:, once])[0])
    assert held_out[once] == experiment["predicted_loss"].sel(predictor="prednet").values[seed, once]


def test_the_spectra_are_those_after_the_share_of_training(spectra: xr.Dataset, experiment: xr.Dataset) -> None:
    assert experiment.attrs["spectrum_epoch"] == 2
    later = spectra.copy(deep=True)
    later["lyapunov_exponent"][:, 3:] *= 2
    brief, some = SETTINGS.replaced(epochs=2), spectra.isel(epoch=[0, 2, 5])
    first, second, third = (
        prednet_experiment(data, brief, SEEDS, spectrum_length=16) for data in (spectra, later, some)
    )
    xr.testing.assert_identical(first, third)
    xr.testing.assert_identical(first["predicted_loss"], second["predicted_loss"])


def test_everything_is_labelled_and_the_share_is_checked(spectra: xr.Dataset, experiment: xr.Dataset) -> None:
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in experiment.variables.values())
    with pytest.raises(ValueError, match="training_share is"):
        prednet_experiment(spectra, SETTINGS, SEEDS, training_share=1.5)
    with pytest.raises(ValueError, match=r"spectra are of the epochs \[0, 5\]; expected 2, 40% of the training"):
        prednet_experiment(spectra.isel(epoch=[0, 5]), SETTINGS, SEEDS)


def synthetic_eigenvalues(spectra: xr.Dataset, seed: int = 0) -> xr.Dataset:
    """Eigenvalues that know nothing of the loss."""
    draws = np.random.default_rng(seed).normal(size=(2, spectra.sizes["variant"], 4))
    dims = ("variant", "eigenvalue")
    return xr.Dataset(
        {"eigenvalue_real": (dims, draws[0]), "eigenvalue_imaginary": (dims, draws[1])},
        coords={"seed": spectra["seed"]},
    )


@pytest.fixture(scope="module")
def one_size() -> xr.Dataset:
    return synthetic_sizes(60, (12,))


def test_what_knows_the_loss_predicts_better_than_what_does_not(one_size: xr.Dataset) -> None:
    comparison = eigenvalue_experiment(one_size, synthetic_eigenvalues(one_size), SETTINGS, range(8))
    assert comparison["better"].values.tolist() == ["spectrum", "spectrum"]
    last = comparison["validation_error"].isel(prednet_epoch=-1)
    assert (last.sel(feature="spectrum") < 0.1 * comparison["baseline_error"]).all()
    assert (last.sel(feature="eigenvalues") > 0.5 * comparison["baseline_error"]).all()
    difference = comparison.sel(summary="last")
    mean = (last.sel(feature="eigenvalues") - last.sel(feature="spectrum")).mean()
    assert float(difference["difference"]) == pytest.approx(float(mean))
    assert difference["difference_low"] < difference["difference"] < difference["difference_high"]
    assert comparison.attrs == {"n_networks": 59, "n_diverged": 1}
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in comparison.variables.values())


def test_where_neither_knows_the_loss_nothing_is_decided(one_size: xr.Dataset) -> None:
    ignorant = one_size.copy(deep=True)
    kept = np.flatnonzero(~one_size["diverged"].values)
    shuffled = np.random.default_rng(1).permutation(kept)
    ignorant["lyapunov_exponent"][kept] = one_size["lyapunov_exponent"].values[shuffled]
    comparison = eigenvalue_experiment(ignorant, synthetic_eigenvalues(one_size), SETTINGS, range(6))
    assert comparison["better"].sel(summary="lowest") == "undecided"


def test_features_of_other_networks_one_seed_and_empty_parts_are_refused(one_size: xr.Dataset) -> None:
    eigenvalues = synthetic_eigenvalues(one_size)
    with pytest.raises(ValueError, match="eigenvalues are of other variants"):
        eigenvalue_experiment(one_size, eigenvalues.isel(variant=slice(None, None, -1)), SETTINGS, SEEDS)
    with pytest.raises(ValueError, match="there are 1 seeds"):
        eigenvalue_experiment(one_size, eigenvalues, SETTINGS, [1])
    with pytest.raises(ValueError, match="of 59 networks is 0"):
        eigenvalue_experiment(one_size, eigenvalues, SETTINGS, SEEDS, validation_share=0.001)
