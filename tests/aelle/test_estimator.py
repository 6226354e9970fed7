from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_info, threadpool_limits

from lyapunov_pkg import AeLLE
from lyapunov_pkg.aelle import AutoencoderSettings
from lyapunov_pkg.reproduction.prediction.final import final_experiment
from lyapunov_pkg.reproduction.prediction.networks import select_networks
from tests.house.base_dependencies import ROOT
from tests.reproduction.prediction.synthetic import synthetic_spectra

QUICK = {"epochs_per_stage": 40, "learning_rate": 3e-3, "random_state": 0}


@parametrize_with_checks([AeLLE(epochs_per_stage=20, learning_rate=1e-2)])  # No check is expected to fail.
def test_scikit_learns_own_checks(estimator, check) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def population() -> tuple[np.ndarray, np.ndarray]:
    """Return spectra (networks, 16) and losses that depend only on the slope of the spectrum."""
    rng = np.random.default_rng(0)
    loss = rng.uniform(0, 1, 60)
    return -loss[:, None] * np.linspace(0, 2, 16) + 0.01 * rng.normal(size=(60, 16)), loss


@pytest.fixture(scope="module")
def fitted(population: tuple[np.ndarray, np.ndarray]) -> AeLLE:
    return AeLLE(random_state=0).fit(population[0][:40], population[1][:40])


def test_predicts_and_reconstructs_unseen_networks(fitted: AeLLE, population) -> None:
    spectra, loss = (values[40:] for values in population)
    assert fitted.score(spectra, loss) > 0.9
    reconstructed = fitted.shift(spectra, 0.0)
    assert np.abs(reconstructed - spectra).mean() < 0.5 * np.abs(spectra - spectra.mean(axis=0)).mean()


def test_a_shift_moves_the_predicted_loss_and_the_decoded_spectrum(fitted: AeLLE, population) -> None:
    spectra = population[0][40:]
    steeper, flatter = (fitted.shift(spectra, delta)[:, -1] for delta in (0.2, -0.2))
    unmoved = fitted.shift(spectra, 0.0)[:, -1]
    assert (steeper < unmoved).all() and (unmoved < flatter).all()
    with pytest.raises(ValueError, match="delta: got nan"):
        fitted.shift(spectra, np.nan)


def test_components_are_those_of_the_latent_points_and_decode_to_the_reconstruction(population) -> None:
    spectra, loss = population
    aelle = AeLLE(n_components=6, latent_size=6, validation_share=0.25, **QUICK).fit(spectra, loss)
    latent, components = aelle.latent(spectra), aelle.transform(spectra)
    assert latent.shape == components.shape == (60, 6)
    np.testing.assert_allclose(np.var(components, axis=0).sum(), np.var(latent, axis=0).sum(), rtol=1e-4)
    np.testing.assert_allclose(aelle.inverse_transform(components), aelle.shift(spectra, 0.0), atol=1e-4)
    assert np.corrcoef(components[:, 0], loss)[0, 1] < -0.9
    with pytest.raises(ValueError, match="X: got 5 components, expected 6 as in fit"):
        aelle.inverse_transform(components[:, :5])


def test_the_workflow_and_the_estimator_agree() -> None:
    """Results agree up to rounding, although the workflow trains two seeds together and the estimator trains one."""
    spectra = synthetic_spectra(n_per_architecture=6)
    settings = AutoencoderSettings(epochs_per_stage=5, learning_rate=1e-3, loss_ceiling=1.5, standardise=True)
    stored = final_experiment(spectra, settings, (1, 2)).sel(seed=2)
    networks = select_networks(spectra, exponent_floor=-20.0).isel(epoch=-1)
    exponents, loss = networks["lyapunov_exponent"].values, networks["final_loss"].values
    train, validation = (np.flatnonzero(stored["partition"].values == part) for part in ("train", "validation"))
    aelle = AeLLE(
        stored.sizes["component"], epochs_per_stage=5, learning_rate=1e-3, loss_ceiling=1.5, random_state=2
    ).fit(exponents[train], loss[train], validation=(exponents[validation], loss[validation]))
    np.testing.assert_allclose(aelle.predict(exponents), stored["predicted_loss"], atol=2e-4)
    np.testing.assert_allclose(aelle.latent(exponents), stored["latent"], atol=2e-4)
    np.testing.assert_allclose(aelle.shift(exponents, 0.0), stored["reconstructed_exponent"], atol=2e-3)
    first = [np.asarray(components)[:, 0] for components in (aelle.transform(exponents), stored["aelle_component"])]
    np.testing.assert_allclose(*first, atol=1e-3)
    shifted = aelle.shift(exponents[stored["example_network"].values], -0.5)
    np.testing.assert_allclose(shifted, stored["shifted_exponent"].sel(loss_shift=-0.5), atol=2e-3)


def test_defaults_are_those_of_the_configuration() -> None:
    configured = yaml.safe_load((ROOT / "config.yaml").read_text())["aelle"]
    settings = AeLLE()._settings()
    for name, value in configured["autoencoder"].items():
        if name != "loss_ceiling":  # This default is in units of the loss of the task.
            found = getattr(settings, name)
            assert (list(found) if isinstance(found, tuple) else found) == value
    assert AeLLE().exponent_floor == configured["exponent_floor"]


def test_works_in_pipelines_searches_and_cross_validation(population) -> None:
    spectra, loss = population
    assert cross_val_score(AeLLE(**QUICK), spectra, loss, cv=3).min() > 0.8
    search = GridSearchCV(AeLLE(**QUICK), {"prediction_loss": ["l1", "l2"]}, cv=2).fit(spectra, loss)
    assert search.best_score_ > 0.8 and search.predict(spectra).shape == (60,)
    as_transformer = make_pipeline(AeLLE(**QUICK), LinearRegression()).fit(spectra, loss)
    assert as_transformer.score(spectra, loss) > 0.8
    as_regressor = make_pipeline(PCA(4), AeLLE(**QUICK)).fit(spectra, loss)
    assert as_regressor.score(spectra, loss) > 0.8
    assert list(as_transformer[0].get_feature_names_out()) == ["aelle0", "aelle1"]


def test_pickled_and_cloned_estimators_give_the_same_results(fitted: AeLLE, population) -> None:
    spectra, loss = population
    again = pickle.loads(pickle.dumps(fitted))
    refitted = clone(fitted).fit(spectra[:40], loss[:40])
    for other in (again, refitted):
        np.testing.assert_array_equal(other.transform(spectra), fitted.transform(spectra))
        np.testing.assert_array_equal(other.predict(spectra), fitted.predict(spectra))
    differs = AeLLE(**QUICK | {"random_state": 1}).fit(spectra[:40], loss[:40])
    assert (differs.predict(spectra) != fitted.predict(spectra)).any()


def test_the_number_of_threads_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    spectra, loss, found = rng.normal(size=(300, 64)), rng.uniform(size=300), []
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        with threadpool_limits(n_threads):
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {n_threads}
            aelle = AeLLE(epochs_per_stage=3, random_state=0).fit(spectra, loss)
            found.append((aelle.predict(spectra), aelle.transform(spectra), aelle.shift(spectra, 1.0)))
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_results_of_lyapunov_spectrum_are_accepted(fitted: AeLLE) -> None:
    """The estimator averages over the sequences of each network. A result without a network dimension is refused."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 3, 16))
    spectra = xr.DataArray(values, dims=("network", "sequence", "exponent"))
    np.testing.assert_array_equal(fitted.predict(spectra), fitted.predict(values.mean(axis=1)))
    np.testing.assert_array_equal(
        fitted.predict(spectra.transpose().to_dataset(name="lyapunov_exponent")), fitted.predict(values.mean(axis=1))
    )
    assert fitted.predict(spectra[0]).shape == (1,)


def test_labels_of_spectra_and_losses_must_agree(population) -> None:
    spectra = xr.DataArray(population[0], dims=("network", "exponent"), coords={"network": np.arange(60)})
    losses = xr.DataArray(population[1], dims="network", coords={"network": np.arange(60)})
    aelle = AeLLE(epochs_per_stage=1, random_state=0)
    np.testing.assert_array_equal(
        aelle.fit(spectra, losses).predict(spectra), aelle.fit(*population).predict(population[0])
    )
    with pytest.raises(ValueError, match="y: got labels along 'network' that differ"):
        aelle.fit(spectra, losses[::-1])
    with pytest.raises(ValueError, match=r"y: got the dimensions \('variant',\)"):
        aelle.fit(spectra, losses.rename(network="variant"))
    with pytest.raises(ValueError, match="combine others"):
        aelle.fit(spectra.expand_dims(epoch=2), losses)
    with pytest.raises(ValueError, match="expected one with lyapunov_exponent"):
        aelle.fit(spectra.to_dataset(name="exponents"), losses)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_errors_give_the_numbers_of_diverged_networks(fitted: AeLLE, population, bad: float) -> None:
    spectra, loss = population[0].copy(), population[1]
    spectra[[3, 8], 0] = bad
    for call in (
        lambda: AeLLE().fit(spectra, loss),
        lambda: fitted.predict(spectra),
        lambda: fitted.transform(spectra),
    ):
        with pytest.raises(ValueError, match=r"X: got NaN or inf in 2 of 60 networks \(3, 8\).*diverged, so remove it"):
            call()
    with pytest.raises(ValueError, match=r"Input y contains (NaN|inf)"):
        AeLLE().fit(population[0], np.append(bad, loss[1:]))


def test_lost_directions_are_replaced_by_the_floor(fitted: AeLLE, population) -> None:
    spectra = population[0].copy()
    spectra[:, -1] = -np.inf
    floored = np.where(np.isinf(spectra), -20.0, spectra)
    np.testing.assert_array_equal(fitted.predict(spectra), fitted.predict(floored))
    with pytest.raises(ValueError, match=r"exponent_floor: got -inf with exponents of -inf in 60 of 60"):
        AeLLE(exponent_floor=-np.inf).fit(spectra, population[1])


def test_fit_names_wrong_arguments(population) -> None:
    for wrong, message in (
        ({"dropout": 1.5}, "dropout: got 1.5"),
        ({"validation_share": 0.0}, "validation_share: got 0.0, which is 0 of 60 networks"),
        ({"n_components": 50}, "n_components: got 50 for 48 points of 32 dimensions"),
    ):
        with pytest.raises(ValueError, match=message):
            AeLLE(**{"epochs_per_stage": 1, "random_state": 0} | wrong).fit(*population)


def test_diverged_training_is_an_error(population) -> None:
    with pytest.raises(ValueError, match="learning_rate: got 1e\\+30, for which the training diverges"):
        AeLLE(learning_rate=1e30, epochs_per_stage=5, random_state=0).fit(population[0], population[1])


def test_without_scikit_learn_the_error_names_the_extra(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import lyapunov_pkg\nfrom lyapunov_pkg import *\nlyapunov_pkg.AeLLE\n")
    command = [sys.executable, "-m", "tests.house.base_dependencies", str(program)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stderr.splitlines()[-1] == 'ImportError: AeLLE needs scikit-learn: pip install "lyapunov-pkg[aelle]"'
