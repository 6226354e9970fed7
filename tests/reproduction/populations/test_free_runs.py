"""Spectra along free runs agree with those of the autonomous map from the states in the training store."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.populations.free_runs import spectra_of_free_runs
from lyapunov_pkg.reproduction.populations.spectra import SpectraSettings
from lyapunov_pkg.reproduction.training.force import ForceSettings, train_force
from lyapunov_pkg.reproduction.training.variants import Variant

CPU, N_STEPS = torch.device("cpu"), 30
SETTINGS = SpectraSettings(
    n_sequences=3, warmup_passes=0, orthonormalize_every=5, jacobian="reduced", dtype="float64", epochs=None
)


@pytest.fixture(scope="module")
def training() -> xr.Dataset:
    """Return a training store of two networks with 12 units; the second has diverged."""
    variants = [
        Variant(n, "rank_one", 12, init_param, learning_rate=1.0, seed=n, hyperparameters={"dt": 0.2, "density": 0.5})
        for n, init_param in enumerate((1.6, 1e39))
    ]
    settings = ForceSettings(epochs=2, n_samples=60, update_every=2, free_epochs=1, kept_epochs=(0,), n_starts=4)
    return train_force(variants, settings)


def brute_force(training: xr.Dataset, epoch: int, start: int, warmup: int) -> np.ndarray:
    """Return exponents from QR after every step of (1 - dt) I + dt (M + w_f w_o) diag(sech² x), computed with NumPy."""
    first = training.isel(variant=0)
    weights = first["layer_0.recurrent_weight"].values.astype(float)
    weights += first["layer_0.input_weight"].values.astype(float) @ first["readout.weight"].values[epoch]
    x, q, logs = first["start_state"].values[epoch, start].astype(float), np.eye(12), []
    for _ in range(warmup + N_STEPS):
        jacobian = 0.8 * np.eye(12) + 0.2 * weights / np.cosh(x) ** 2
        x = 0.8 * x + 0.2 * weights @ np.tanh(x)
        q, r = np.linalg.qr(jacobian @ q)
        logs.append(np.log(np.abs(np.diag(r))))
    return np.sort(np.mean(logs[warmup:], axis=0))[::-1]


@pytest.mark.parametrize("warmup_passes", [0, 1])
def test_exponents_are_those_of_the_closed_loop(training, warmup_passes):
    spectra = spectra_of_free_runs(training, N_STEPS, SETTINGS.replaced(warmup_passes=warmup_passes), CPU)
    assert spectra["epoch"].values.tolist() == [0, 2]
    for epoch in range(2):
        expected = [brute_force(training, epoch, start, warmup_passes * N_STEPS) for start in range(3)]
        found = spectra["lyapunov_exponent"].values[0, epoch]
        np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-10)
        deviation = spectra["lyapunov_exponent_std"].values[0, epoch]
        np.testing.assert_allclose(deviation, np.std(expected, axis=0), atol=1e-10)


def test_single_precision_and_chosen_epochs(training):
    double = spectra_of_free_runs(training, N_STEPS, SETTINGS, CPU)
    single = spectra_of_free_runs(training, N_STEPS, SETTINGS.replaced(dtype="float32", epochs=[2]), CPU)
    assert single["epoch"].values.tolist() == [2]
    expected = double["lyapunov_exponent"].sel(epoch=[2])
    np.testing.assert_allclose(single["lyapunov_exponent"][0], expected[0], atol=1e-5)


def test_a_diverged_variant_has_no_spectrum_and_stays_in_the_store(training):
    spectra = spectra_of_free_runs(training, N_STEPS, SETTINGS, CPU)
    assert spectra["diverged"].values.tolist() == [False, True]
    assert np.isnan(spectra["lyapunov_exponent"].values[1]).all()
    np.testing.assert_array_equal(spectra["validation_loss"], training["validation_loss"])
    assert spectra["init_param"].values[0] == 1.6


def test_requests_for_data_that_are_not_stored_are_refused(training):
    with pytest.raises(ValueError, match=r"spectra\.n_sequences is 5, but 4 states are stored to start from"):
        spectra_of_free_runs(training, N_STEPS, SETTINGS.replaced(n_sequences=5), CPU)
    with pytest.raises(ValueError, match="epoch 1, which is not stored"):
        spectra_of_free_runs(training, N_STEPS, SETTINGS.replaced(epochs=[1]), CPU)
    with pytest.raises(ValueError, match=r"spectra\.jacobian is 'full'"):
        spectra_of_free_runs(training, N_STEPS, SETTINGS.replaced(jacobian="full"), CPU)
