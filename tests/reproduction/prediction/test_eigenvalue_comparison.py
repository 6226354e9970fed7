from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t

from lyapunov_pkg.aelle.fitting import two_parts
from lyapunov_pkg.reproduction.prediction.eigenvalue_comparison import eigenvalue_experiment
from lyapunov_pkg.reproduction.prediction.prednet import PredNetSettings
from tests.reproduction.prediction.synthetic import synthetic_sizes

SETTINGS = PredNetSettings(hidden_size=20, learning_rate=1e-2, epochs=200, loss_ceiling=1e3)
SEEDS = (1, 2, 3)


def synthetic_eigenvalues(spectra: xr.Dataset, seed: int = 0) -> xr.Dataset:
    """Return eigenvalues that are independent of the loss."""
    draws = np.random.default_rng(seed).normal(size=(2, spectra.sizes["variant"], 4))
    dims = ("variant", "eigenvalue")
    return xr.Dataset(
        {"eigenvalue_real": (dims, draws[0]), "eigenvalue_imaginary": (dims, draws[1])},
        coords={"seed": spectra["seed"]},
    )


@pytest.fixture(scope="module")
def one_size() -> xr.Dataset:
    return synthetic_sizes(60, (12,))


def test_informative_features_predict_better_than_uninformative_ones(one_size: xr.Dataset) -> None:
    comparison = eigenvalue_experiment(one_size, synthetic_eigenvalues(one_size), SETTINGS, range(8))
    assert comparison["better"].values.tolist() == ["spectrum", "spectrum"]
    last = comparison["validation_error"].isel(prednet_epoch=-1)
    assert (last.sel(feature="spectrum") < 0.1 * comparison["baseline_error"]).all()
    assert (last.sel(feature="eigenvalues") > 0.5 * comparison["baseline_error"]).all()
    difference = comparison.sel(summary="last")
    mean = (last.sel(feature="eigenvalues") - last.sel(feature="spectrum")).mean()
    assert float(difference["difference"]) == pytest.approx(float(mean))
    of_seed = (last.sel(feature="eigenvalues") - last.sel(feature="spectrum")).values
    # There are 47 networks for training and 12 for validation.
    deviation = np.sqrt((1 / 8 + 12 / 47) * of_seed.var(ddof=1))
    low, high = t.interval(0.95, df=7, loc=of_seed.mean(), scale=deviation)
    assert (float(difference["difference_low"]), float(difference["difference_high"])) == pytest.approx((low, high))
    assert comparison.attrs == {"n_networks": 59, "n_diverged": 1}
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in comparison.variables.values())


def test_the_baseline_predicts_the_mean_of_each_seeds_own_training_part(one_size: xr.Dataset) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1, "loss_ceiling": 2.0})
    comparison = eigenvalue_experiment(one_size, synthetic_eigenvalues(one_size), settings, SEEDS)
    final_loss = one_size["validation_loss"].values[~one_size["diverged"].values, -1]
    assert (final_loss > settings.loss_ceiling).any()
    final_loss = np.minimum(final_loss, settings.loss_ceiling)
    parts = zip(*two_parts(len(final_loss), 0.2, SEEDS), strict=True)
    errors = [np.square(final_loss[validation] - final_loss[train].mean()).mean() for train, validation in parts]
    np.testing.assert_allclose(comparison["baseline_error"], errors)


def test_two_uninformative_features_are_undecided(one_size: xr.Dataset) -> None:
    ignorant = one_size.copy(deep=True)
    kept = np.flatnonzero(~one_size["diverged"].values)
    shuffled = np.random.default_rng(1).permutation(kept)
    ignorant["lyapunov_exponent"][kept] = one_size["lyapunov_exponent"].values[shuffled]
    comparison = eigenvalue_experiment(ignorant, synthetic_eigenvalues(one_size), SETTINGS, range(6))
    assert comparison["better"].sel(summary="lowest") == "undecided"


def test_features_of_other_networks_a_single_seed_and_empty_sets_are_refused(one_size: xr.Dataset) -> None:
    eigenvalues = synthetic_eigenvalues(one_size)
    with pytest.raises(ValueError, match="eigenvalues are of other variants"):
        eigenvalue_experiment(one_size, eigenvalues.isel(variant=slice(None, None, -1)), SETTINGS, SEEDS)
    with pytest.raises(ValueError, match="there are 1 seeds"):
        eigenvalue_experiment(one_size, eigenvalues, SETTINGS, [1])
    with pytest.raises(ValueError, match="which is 0 of 59 networks"):
        eigenvalue_experiment(one_size, eigenvalues, SETTINGS, SEEDS, validation_share=0.001)
