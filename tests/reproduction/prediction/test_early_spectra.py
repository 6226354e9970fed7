from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.prediction.early_spectra import prednet_experiment
from lyapunov_pkg.reproduction.prediction.prednet import PredNetSettings
from tests.reproduction.prediction.synthetic import synthetic_sizes

SETTINGS = PredNetSettings(hidden_size=20, learning_rate=1e-2, epochs=200, loss_ceiling=1e3)
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def spectra() -> xr.Dataset:
    return synthetic_sizes()


@pytest.fixture(scope="module")
def experiment(spectra: xr.Dataset) -> xr.Dataset:
    return prednet_experiment(spectra, SETTINGS, SEEDS, spectrum_length=16)


def test_prednet_predicts_losses_that_depend_on_spectra_and_not_on_hyperparameters(experiment: xr.Dataset) -> None:
    error = experiment["rms_error"].mean("seed")
    assert error.sel(predictor="prednet") < 0.3 * error.sel(predictor="hyperparameters")
    assert (experiment["r_squared"].sel(predictor="prednet") > 0.9).all()
    assert (experiment["r_squared"].sel(predictor="training_mean") <= 0).all()
    # In these data the loss decreases linearly, so any epoch determines the last one.
    assert (experiment["r_squared"].sel(predictor="loss_at_epoch") > 0.999).all()


def test_errors_are_computed_over_the_test_networks_only(experiment: xr.Dataset) -> None:
    own = experiment.isel(seed=0).sel(predictor="prednet")
    test = own["partition"].values == "test"
    error = own["predicted_loss"].values[test] - own["final_loss"].values[test]
    assert float(own["mean_absolute_error"]) == pytest.approx(np.abs(error).mean())
    assert float(own["rms_error"]) == pytest.approx(np.sqrt(np.square(error).mean()))


def test_held_out_predictions_are_from_seeds_with_the_network_in_the_test_set(experiment: xr.Dataset) -> None:
    test = experiment["partition"].values == "test"
    never = ~test.any(axis=0)
    held_out = experiment["held_out_prediction"].sel(predictor="prednet").values
    np.testing.assert_array_equal(np.isnan(held_out), never)
    once = int(np.flatnonzero(test.sum(axis=0) == 1)[0])
    seed = int(np.flatnonzero(test[:, once])[0])
    assert held_out[once] == experiment["predicted_loss"].sel(predictor="prednet").values[seed, once]


def test_spectra_are_from_the_epoch_at_the_given_fraction_of_training(
    spectra: xr.Dataset, experiment: xr.Dataset
) -> None:
    assert experiment.attrs["spectrum_epoch"] == 2
    later = spectra.copy(deep=True)
    later["lyapunov_exponent"][:, 3:] *= 2
    brief, some = SETTINGS.replaced(epochs=2), spectra.isel(epoch=[0, 2, 5])
    first, second, third = (
        prednet_experiment(data, brief, SEEDS, spectrum_length=16) for data in (spectra, later, some)
    )
    xr.testing.assert_identical(first, third)
    xr.testing.assert_identical(first["predicted_loss"], second["predicted_loss"])


def test_every_variable_is_labelled_and_the_fraction_is_checked(spectra: xr.Dataset, experiment: xr.Dataset) -> None:
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in experiment.variables.values())
    with pytest.raises(ValueError, match="training_share is"):
        prednet_experiment(spectra, SETTINGS, SEEDS, training_share=1.5)
    with pytest.raises(ValueError, match=r"spectra are of the epochs \[0, 5\]; expected 2, 40% of the training"):
        prednet_experiment(spectra.isel(epoch=[0, 5]), SETTINGS, SEEDS)
