from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg import lyapunov_spectrum
from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.populations.estimator import (
    EstimatorSettings,
    estimates_of_best_network,
    estimator_study,
)

WARMUPS, INTERVALS = [0, 10, 30], [1, 2, 12]


def make_network(n_variants: int = 1) -> Network:
    generators = [torch.Generator().manual_seed(seed) for seed in range(n_variants)]
    return Network.initialise("lstm", 3, 8, 2, [0.8] * n_variants, generators)


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.randn(4, 70, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def study(inputs) -> xr.Dataset:
    return estimator_study(make_network(), inputs, WARMUPS, INTERVALS)


def test_all_warmups_measure_the_same_final_steps(study, inputs):
    assert study.sizes == {"warmup": 3, "time": 40, "exponent": 8, "interval": 3, "half": 2}
    for warmup in WARMUPS:
        spectrum = lyapunov_spectrum(
            make_network(), inputs[:, 30 - warmup :], warmup=warmup, jacobian="reduced", dtype=torch.float64
        )["lyapunov_exponent"].isel(variant=0)
        found = study.sel(warmup=warmup)
        np.testing.assert_allclose(found["lyapunov_exponent"], spectrum.mean("sequence"), atol=1e-10)
        np.testing.assert_allclose(found["lyapunov_exponent_std"], spectrum.std("sequence"), atol=1e-10)


def test_early_steps_are_compared_with_the_final_ones_and_with_the_longest_warmup(study):
    running = study["running_exponent"]
    early = running.sel(time=slice(1, 10))
    assert study.attrs["early_steps"] == 10
    np.testing.assert_allclose(study["early_change"], np.abs(early - running.isel(time=-1)).mean(("time", "exponent")))
    np.testing.assert_allclose(study["early_bias"], np.abs(early - early.sel(warmup=30)).mean(("time", "exponent")))
    assert study["early_bias"].sel(warmup=0) > study["early_bias"].sel(warmup=10) > 0


def test_a_long_interval_changes_only_the_tail(study):
    np.testing.assert_array_equal(study["largest_change"][0], [0, 0])
    assert (study["largest_change"].sel(interval=2) < 1e-3).all()
    long = study["largest_change"].sel(interval=12)
    assert long[0] < 1e-3 < long[1]
    tail = study["interval_exponent"].isel(exponent=-1)
    assert tail.sel(interval=12) > tail.sel(interval=1)  # The tail becomes flatter.


def make_training(losses: list[list[float]], diverged: list[bool]) -> xr.Dataset:
    """Return a training store of LSTMs whose weights at each epoch are the first ones times 1 + the epoch."""
    network = make_network(len(losses))
    epochs = np.arange(len(losses[0]))
    scale = (1 + epochs)[None, :, None, None]
    variables = {
        name: (("variant", "kept", *(f"{name}_{axis}" for axis in range(value.ndim - 1))), None)
        for name, value in network.params.items()
    }
    for name, (dims, _) in variables.items():
        values = network.params[name].numpy()[:, None]
        variables[name] = (dims, values * scale.reshape(scale.shape[: values.ndim]).astype(np.float32))
    variables |= {"validation_loss": (("variant", "epoch"), losses), "diverged": ("variant", diverged)}
    variables["kept_epoch"] = (("variant", "kept"), np.tile(epochs, (len(losses), 1)))
    labels = {"architecture": ["lstm"] * len(losses), "hidden_size": [8] * len(losses), "init_param": [0.8, 0.9, 1.0]}
    return xr.Dataset(
        variables, coords={"epoch": epochs} | {name: ("variant", values) for name, values in labels.items()}
    )


def test_the_network_of_lowest_loss_is_used_at_its_epoch(inputs):
    training = make_training([[2.0, 1.5], [3.0, 1.0], [0.5, np.nan]], [False, False, True])
    settings = EstimatorSettings(n_sequences=4, n_steps=40, warmups=[30], intervals=[1], jacobian="reduced")
    assert settings.total_steps == inputs.shape[1]
    study = estimates_of_best_network(training, inputs, settings, torch.device("cpu"))
    assert study.attrs["init_param"] == 0.9 and study.attrs["epoch"] == 1 and study.attrs["validation_loss"] == 1.0
    params = {name: 2 * value[1:2] for name, value in make_network(3).params.items()}
    network = Network.from_params("lstm", params)
    expected = lyapunov_spectrum(network, inputs, warmup=30, jacobian="reduced")["lyapunov_exponent"].mean("sequence")
    np.testing.assert_allclose(study["interval_exponent"][0], expected[0], rtol=1e-6)


def test_errors_name_inputs_that_cannot_be_studied(inputs):
    training = make_training([[np.nan]] * 3, [True] * 3)
    settings = EstimatorSettings(n_sequences=4, n_steps=40, warmups=[30], intervals=[1], jacobian="reduced")
    with pytest.raises(ValueError, match="all 3 networks diverged"):
        estimates_of_best_network(training, inputs, settings, torch.device("cpu"))
    with pytest.raises(ValueError, match="inputs has 70 steps; expected more than the longest warm-up of 70"):
        estimator_study(make_network(), inputs, [70], [1])
    with pytest.raises(ValueError, match="holds 2 variants"):
        estimator_study(make_network(2), inputs, [0], [1])


def test_running_exponents_end_at_the_exponents(study):
    """Only the sums are compared: exponents are sorted for each sequence before the mean, so their order may differ."""
    last = study["running_exponent"].isel(time=-1)
    np.testing.assert_allclose(last.sum("exponent"), study["lyapunov_exponent"].sum("exponent"), rtol=1e-10)


def test_the_last_running_exponent_of_one_sequence_is_its_exponent(inputs):
    study = estimator_study(make_network(), inputs[:1], WARMUPS, [1])
    last = study["running_exponent"].isel(time=-1)
    np.testing.assert_array_equal(np.sort(last)[:, ::-1], study["lyapunov_exponent"])
