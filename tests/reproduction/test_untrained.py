from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.untrained import layered_jacobian, stability_regimes

SIZE = 24


@pytest.fixture(scope="module")
def regimes() -> xr.Dataset:
    gains = {"stable": 0.5, "chaotic": 4.0}
    return stability_regimes(
        gains,
        hidden_size=SIZE,
        input_variance=0.6,
        initial_variance=1.0,
        n_inputs=2,
        n_initial_states=3,
        warmup=40,
        n_steps=60,
        seed=1,
    )


def test_jacobian_of_layers_agrees_with_automatic_differentiation_and_is_block_triangular():
    dataset = layered_jacobian("gru", n_layers=3, hidden_size=4, init_param=0.7, n_steps=5, seed=2)
    generator = torch.Generator().manual_seed(2)
    network = Network.initialise("gru", 4, 4, 0, [0.7], [generator], n_layers=3)
    inputs = torch.randn(5, 1, 4, generator=generator)
    state = network.initial_state(1)
    for x in inputs[:-1]:
        state = network.step(state, x)
    expected = torch.func.jacrev(lambda h: network.step(h[None, None], inputs[-1])[0, 0])(state[0, 0])
    np.testing.assert_allclose(dataset["jacobian"], expected, atol=1e-6)
    above = dataset["previous_layer"].values > dataset["layer"].values[:, None]
    assert (dataset["jacobian"].values[above] == 0).all()
    assert (dataset["jacobian"].values[~above] != 0).all()


def test_the_gain_sets_the_sign_of_the_largest_exponent(regimes):
    largest = regimes["lyapunov_exponent"].isel(exponent=0)
    assert (largest.sel(regime="stable") < 0).all() and (largest.sel(regime="chaotic") > 0).all()
    assert (regimes["lyapunov_exponent"].diff("exponent") <= 0).all()


def test_stable_networks_forget_their_initial_state_and_chaotic_ones_do_not(regimes):
    spread = regimes["activation"].std("initial_state").isel(time=-1)
    assert (spread.sel(regime="stable") < 1e-9).all() and (spread.sel(regime="chaotic") > 1e-3).all()
    both_inputs = regimes["activation"].isel(time=-1, initial_state=0).sel(regime="stable")
    assert abs(both_inputs[0] - both_inputs[1]) > 1e-3


def test_all_regimes_start_from_the_same_states(regimes):
    start = regimes["activation"].isel(time=0)
    assert (start == start.isel(regime=0, input=0)).all()
    assert regimes.sizes["time"] == 101


def test_inputs_and_initial_states_have_the_requested_variances():
    """Without recurrent weights, an activation is the tanh of the input."""

    def runs(variance: float) -> np.ndarray:
        made = stability_regimes({"none": 0.0}, 2, variance, variance, 1, 400, 0, 3, seed=1)
        return made["activation"].values[0, 0]

    small, large = runs(0.01), runs(0.04)
    np.testing.assert_allclose(large[:, 0], 2 * small[:, 0])
    np.testing.assert_allclose(np.arctanh(large[:, 1:]), 2 * np.arctanh(small[:, 1:]))
    assert small[:, 0].var() == pytest.approx(0.01, rel=0.2)
    many = stability_regimes({"none": 0.0}, 2, 0.01, 0.01, 400, 1, 0, 1, seed=1)["activation"].values[0, :, 0, 1]
    assert np.arctanh(many).var() == pytest.approx(0.01, rel=0.2)


def test_exponents_at_rest_without_inputs_are_the_logarithm_of_the_gain():
    """At zero, tanh has slope 1, so the Jacobian is g Q."""
    still = stability_regimes({"stable": 0.5, "chaotic": 3.0}, SIZE, 0.0, 0.0, 1, 1, 5, 20, seed=0)
    expected = np.log([[0.5], [3.0]]) * np.ones(SIZE)
    np.testing.assert_allclose(still["lyapunov_exponent"][:, 0, 0], expected, atol=1e-12)
