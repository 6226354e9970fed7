from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.aelle import AutoencoderSettings
from lyapunov_pkg.reproduction.prediction.classifiers import best_f1_threshold
from lyapunov_pkg.reproduction.prediction.final import final_experiment
from lyapunov_pkg.reproduction.prediction.pretrained import pretrained_experiment
from tests.reproduction.prediction.synthetic import synthetic_spectra

SETTINGS = AutoencoderSettings(learning_rate=2e-3, epochs_per_stage=60)
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def spectra() -> xr.Dataset:
    return synthetic_spectra(n_per_architecture=16)


@pytest.fixture(scope="module")
def final(spectra: xr.Dataset) -> xr.Dataset:
    return final_experiment(spectra, SETTINGS, SEEDS)


@pytest.fixture(scope="module")
def pretrained(spectra: xr.Dataset) -> xr.Dataset:
    return pretrained_experiment(spectra, SETTINGS, SEEDS)


def test_diverged_networks_are_omitted_and_counted(spectra: xr.Dataset, final: xr.Dataset) -> None:
    n_diverged = int(spectra["diverged"].sum())
    assert final.attrs["n_diverged"] == n_diverged > 0
    assert final.sizes["network"] == spectra.sizes["variant"] - n_diverged
    assert np.isfinite(final["lyapunov_exponent"]).all()


def test_one_huge_loss_does_not_spoil_the_autoencoder(spectra: xr.Dataset, final: xr.Dataset) -> None:
    exploded = spectra.copy(deep=True)
    worst = int(np.nanargmax(exploded["validation_loss"].values[:, -1]))
    exploded["validation_loss"][worst, -1] = 1e11
    capped = AutoencoderSettings(learning_rate=2e-3, epochs_per_stage=60, loss_ceiling=5.0)
    f1 = final_experiment(exploded, capped, SEEDS)["f1"].sel(classifier="aelle").mean()
    assert f1 > 0.8


def test_low_error_is_below_the_median(final: xr.Dataset) -> None:
    np.testing.assert_array_equal(final["low_error"], final["final_loss"] < np.median(final["final_loss"]))


def test_aelle_separates_classes_that_the_mean_exponent_cannot(final: xr.Dataset, pretrained: xr.Dataset) -> None:
    for experiment in (final, pretrained):
        f1 = experiment["f1"].mean([dim for dim in experiment["f1"].dims if dim != "classifier"])
        assert f1.sel(classifier="aelle") > f1.sel(classifier="lyapunov_mean") + 0.05
        assert f1.sel(classifier="aelle") > 0.8


def test_scores_use_the_test_set_and_the_stored_threshold(final: xr.Dataset) -> None:
    for seed in SEEDS:
        of_seed = final.sel(seed=seed)
        test = of_seed["partition"].values == "test"
        verdict = of_seed.sel(classifier="lyapunov_mean")
        predicted = (of_seed["lyapunov_mean"].values[test] > float(verdict["threshold"])) == bool(
            verdict["low_is_above"]
        )
        low = of_seed["low_error"].values[test]
        assert float(verdict["recall"]) == pytest.approx((predicted & low).sum() / low.sum())


def test_the_loss_at_an_epoch_is_compared_with_the_median_final_loss(pretrained: xr.Dataset) -> None:
    of_seed = pretrained.isel(seed=0)
    test = of_seed["partition"].values == "test"
    predicted = of_seed["loss"].values[test, 3] < np.median(of_seed["final_loss"])
    low = of_seed["low_error"].values[test]
    recall = of_seed["recall"].sel(classifier="loss_at_epoch", epoch=3)
    assert float(recall) == pytest.approx((predicted & low).sum() / low.sum())


def test_a_fitted_loss_threshold_beats_the_fixed_one_early_in_training(pretrained: xr.Dataset) -> None:
    f1 = pretrained["f1"].mean("seed").sel(epoch=2)
    assert f1.sel(classifier="loss_at_epoch_chosen") > f1.sel(classifier="loss_at_epoch")


def test_thresholds_can_be_fitted_on_the_validation_set(spectra: xr.Dataset) -> None:
    brief = AutoencoderSettings(epochs_per_stage=1)
    found = pretrained_experiment(spectra, brief, SEEDS, n_epochs=2, threshold_part="validation").isel(seed=0)
    part = found["partition"].values == "validation"
    means, low = found["lyapunov_mean"].values[part], found["low_error"].values[part]
    expected = best_f1_threshold(means.ravel(), np.repeat(low, 2))
    assert float(found["threshold"].sel(classifier="lyapunov_mean")) == expected.value
    assert found.attrs["threshold_part"] == "validation"


def test_only_standardised_spectra_are_reconstructed_if_exponents_are_small(spectra: xr.Dataset) -> None:
    """Exponents of maps with a small time step are near zero, below the size of the autoencoder's first updates."""
    small = spectra.assign(lyapunov_exponent=1e-3 * spectra["lyapunov_exponent"])
    found = {
        standardise: final_experiment(
            small,
            dataclasses.replace(SETTINGS, standardise=standardise),
            SEEDS,
            exponent_floor=-0.02,
            spectrum_length=128,
        )
        for standardise in (False, True)
    }
    errors = {key: experiment["reconstruction_error"].sel(part="test") for key, experiment in found.items()}
    assert (errors[True] < 0.5 * errors[False]).all()
    assert (errors[True] < found[True]["median_error"].sel(part="test")).all()
    assert not found[False]["autoencoder_works"].any()
    works = found[True].isel(seed=0)
    test = works["partition"].values == "test"
    error = np.abs(works["reconstructed_exponent"] - works["lyapunov_exponent"]).values[test].mean()
    assert float(works["reconstruction_error"].sel(part="test")) == pytest.approx(error, rel=1e-5)
    assert works["r_squared"].sel(part="test") > 0.5


def test_differences_from_aelle_agree_with_the_scores(final: xr.Dataset) -> None:
    f1 = final["f1"].mean("seed")
    np.testing.assert_allclose(final["f1_difference"], f1.sel(classifier="aelle") - f1, atol=1e-12)
    assert (final["f1_difference_low"] <= final["f1_difference_high"]).all()


def test_a_forest_on_hyperparameters_is_the_same_at_every_epoch(pretrained: xr.Dataset) -> None:
    scores = pretrained["f1"].sel(classifier="random_forest_hyperparameters")
    np.testing.assert_array_equal(scores, scores.isel(epoch=[0] * scores.sizes["epoch"]))


def test_the_same_seeds_give_the_same_numbers() -> None:
    small, brief = synthetic_spectra(n_per_architecture=6), AutoencoderSettings(epochs_per_stage=3)
    first, second = (final_experiment(small, brief, SEEDS, n_zero_loss=4) for _ in range(2))
    xr.testing.assert_identical(first, second)


def test_shares_of_architectures_are_those_of_the_networks_above_the_boundary_of_pc1(final: xr.Dataset) -> None:
    for seed in SEEDS:
        first = final["aelle_component"].sel(seed=seed, component=1)
        for name, boundary in (("share_above_median", np.median(first)), ("share_above_mean", first.mean())):
            above = final["architecture"].values[first > boundary]
            shares = final[name].sel(seed=seed)
            expected = [100 * np.mean(above == architecture) for architecture in final["share_architecture"].values]
            np.testing.assert_allclose(shares, expected)
            assert shares.sum() == pytest.approx(100)


def test_every_variable_is_labelled(final: xr.Dataset, pretrained: xr.Dataset) -> None:
    for experiment in (final, pretrained):
        assert all({"units", "long_name"} <= set(variable.attrs) for variable in experiment.variables.values())


def test_requests_for_too_many_epochs_are_refused(spectra: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="n_epochs is 20"):
        pretrained_experiment(spectra, SETTINGS, SEEDS, n_epochs=20)


def test_one_factor_that_sets_spectrum_and_loss_is_found(spectra: xr.Dataset) -> None:
    factor = np.random.default_rng(4).uniform(0, 1, spectra.sizes["variant"])
    # The mean of `tilt` is zero, so the mean exponent does not depend on the factor.
    tilt = np.linspace(1, -1, spectra.sizes["exponent"])
    exponents = -1 + factor[:, None, None] * tilt + np.zeros(spectra["lyapunov_exponent"].shape)
    loss = np.exp(-2 * factor)[:, None] + np.zeros(spectra["validation_loss"].shape)
    dims = ("variant", "epoch")
    tilted = spectra.assign(lyapunov_exponent=((*dims, "exponent"), exponents), validation_loss=(dims, loss))
    tilted["validation_loss"].attrs = spectra["validation_loss"].attrs
    f1 = final_experiment(tilted, SETTINGS, range(5))["f1"].mean("seed")
    assert f1.sel(classifier="aelle") > 0.9
    assert f1.sel(classifier="lyapunov_mean") < 0.7


def test_losses_that_are_independent_of_spectra_are_not_predicted(spectra: xr.Dataset) -> None:
    shuffled = spectra.copy(deep=True)
    kept = np.flatnonzero(~spectra["diverged"].values)
    shuffled["validation_loss"][kept] = spectra["validation_loss"].values[np.random.default_rng(3).permutation(kept)]
    f1 = final_experiment(shuffled, SETTINGS, range(5))["f1"].mean("seed")
    assert 0.3 < f1.sel(classifier="aelle") < 0.7
    assert 0.3 < f1.sel(classifier="gradient_boosting_spectrum") < 0.7


def test_hyperparameters_predict_losses_that_depend_on_them(spectra: xr.Dataset) -> None:
    p = np.random.default_rng(5).uniform(0, 1, spectra.sizes["variant"])
    loss = np.abs(p - 0.5)[:, None] + np.zeros(spectra["validation_loss"].shape)
    own = spectra.assign_coords(init_param=("variant", p))
    own["validation_loss"] = (("variant", "epoch"), loss, spectra["validation_loss"].attrs)
    f1 = final_experiment(own, AutoencoderSettings(epochs_per_stage=1), SEEDS)["f1"].mean("seed")
    assert f1.sel(classifier="random_forest_hyperparameters") > 0.9


def test_exponents_of_singular_jacobians_are_set_to_the_floor(spectra: xr.Dataset) -> None:
    assert np.isneginf(spectra["lyapunov_exponent"]).any()
    result = final_experiment(spectra, AutoencoderSettings(epochs_per_stage=1), SEEDS, exponent_floor=-12.0)
    assert result["lyapunov_exponent"].min() == -12.0
    assert result.attrs["exponent_floor"] == -12.0


def test_one_class_and_no_remaining_networks_are_refused(spectra: xr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"no final loss of \d+ networks is below their median"):
        final_experiment(spectra.assign(validation_loss=xr.ones_like(spectra["validation_loss"])), SETTINGS, SEEDS)
    with pytest.raises(ValueError, match="0 of 128 networks did not diverge"):
        final_experiment(spectra.assign(diverged=xr.ones_like(spectra["diverged"])), SETTINGS, SEEDS)
