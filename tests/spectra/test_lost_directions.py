"""Exactly the directions that float64 cannot resolve have the exponent -inf, and the result counts them."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.networks import Network, from_torch
from lyapunov_pkg.spectra import average_exponents
from lyapunov_pkg.spectra.averaging import Average


def tanh_network(p: float, seed: int, size: int = 10) -> Network:
    generator = torch.Generator().manual_seed(seed)
    return Network.initialise("rnn", 3, size, 0, [p], [generator]).to(dtype=torch.float64)


def noise(n_steps: int, seed: int = 1) -> Tensor:
    return torch.randn(1, n_steps, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def average(network: Network, x: Tensor, jacobian: str = "full", **settings: int) -> Average:
    return average_exponents(network, x, network.initial_state(len(x)), network.initial_tangents(jacobian), **settings)


def exact_exponents(network: Network, x: Tensor, digits: int = 60) -> NDArray:
    """Return exponents by algorithm 2 with the given number of digits, along the trajectory in float64."""
    state, jacobians = network.initial_state(1), []
    for step in x.unbind(1):
        jacobians.append(network.jacobian(state, step)[0, 0].tolist())
        state = network.step(state, step)
    with mpmath.workdps(digits):
        rows = len(jacobians[0])
        q = [[mpmath.mpf(int(i == j)) for i in range(rows)] for j in range(rows)]
        total = [mpmath.mpf(0)] * rows
        for jacobian in jacobians:
            matrix = [[mpmath.mpf(entry) for entry in row] for row in jacobian]
            q = [[mpmath.fdot(row, column) for row in matrix] for column in q]
            for j, column in enumerate(q):
                for _ in range(2):
                    for unit in q[:j]:
                        product = mpmath.fdot(unit, column)
                        column = [a - product * u for a, u in zip(column, unit, strict=True)]
                length = mpmath.sqrt(mpmath.fdot(column, column))
                total[j] += mpmath.log(length)
                q[j] = [a / length for a in column]
        return np.sort([float(sum_of_logs / len(jacobians)) for sum_of_logs in total])[::-1]


def lstm_of_large_weights(gain: float) -> Network:
    torch.manual_seed(1)
    lstm = torch.nn.LSTM(3, 5).double()
    with torch.no_grad():
        for weight in lstm.parameters():
            weight *= gain
    return from_torch(lstm)


@pytest.mark.parametrize(
    ("network", "tolerance"),
    [
        (lstm_of_large_weights(8), 1e-5),
        # One step has a sine of 1e-13. eps over the sine is 2e-3, and LAPACK's error is 6e-3.
        (lstm_of_large_weights(10), 5e-3),
        (tanh_network(3.0, 0), 1e-5),
        (tanh_network(3.0, 1), 1e-5),
        (tanh_network(2.0, 2), 1e-5),
    ],
    ids=["lstm 8", "lstm 10", "tanh 0", "tanh 1", "tanh 2"],
)
def test_saturated_networks_agree_with_high_precision(network, tolerance):
    """The trajectory is computed alone and in a group."""
    x = noise(20)
    expected = exact_exponents(network, x)
    assert expected[-1] < -10
    for n_sequences in (1, 9):
        found = average(network, x.expand(n_sequences, -1, -1))
        for exponents in found.exponents[0]:
            np.testing.assert_allclose(exponents, expected, rtol=0, atol=tolerance)
        assert not found.n_lost.any() and not found.n_lossy_intervals.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_exponents_of_a_saturated_tanh_network_sum_to_the_log_determinant(dtype):
    """det J = det W times the product of the slopes 1 - h², which reach 1e-16 here (1e-7 in float32)."""
    network = tanh_network(2.0 if dtype == torch.float64 else 0.9, 3).to(dtype=dtype)
    x = noise(40).to(dtype)
    state, expected = network.initial_state(1), 0.0
    determinant = torch.linalg.slogdet(network.params["layer_0.recurrent_weight"][0].double()).logabsdet
    for step in x.unbind(1):
        state = network.step(state, step)
        expected += (1 - state.square()).double().log().sum() + determinant
    found = average(network, x)
    assert torch.isfinite(expected) and not found.n_lost.any()
    assert found.exponents.double().sum() * 40 == pytest.approx(
        expected.item(), rel=1e-6 if dtype == torch.float64 else 1e-4
    )


@pytest.mark.parametrize("n_sequences", [3, 19], ids=["one by one", "in groups"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_inactive_units_lose_directions_and_the_result_counts_them(n_sequences, dtype):
    """A unit of this ReLU network is inactive at the steps at which its input is negative."""
    identity = torch.eye(4, dtype=dtype)[None]
    network = Network.from_params(
        "rnn", {"layer_0.input_weight": identity, "layer_0.recurrent_weight": identity}, nonlinearity="relu"
    )
    x = torch.ones(n_sequences, 12, 4, dtype=dtype)
    x[0, 5, 0] = x[0, 8, 0] = -100.0  # One unit is inactive at two steps.
    x[1, 7, :3] = -100.0  # Three units are inactive at one step.
    x[2, 1, :] = -100.0  # All units are inactive at one step of the warm-up.
    found = average_exponents(
        network, x, torch.zeros(1, n_sequences, 4, dtype=dtype), torch.eye(4, dtype=dtype), warmup=3
    )
    assert found.n_lost[0, :3].tolist() == [1, 3, 0]
    assert found.n_lossy_intervals[0, :3].tolist() == [2, 1, 0]
    assert torch.equal(torch.isneginf(found.exponents).sum(-1), found.n_lost)
    assert not found.n_lost[0, 3:].any() and not found.n_lossy_intervals[0, 3:].any()
    assert (found.exponents[~torch.isneginf(found.exponents)] == 0).all()
    intervals = average_exponents(
        network,
        x,
        torch.zeros(1, n_sequences, 4, dtype=dtype),
        torch.eye(4, dtype=dtype),
        warmup=3,
        orthonormalize_every=9,
    )
    assert intervals.n_lossy_intervals[0, :3].tolist() == [1, 1, 0]  # There is only one orthonormalisation.


def test_units_without_connections_are_lost_at_every_step():
    """A matrix with a row of zeros is singular in any state."""
    network = tanh_network(0.5, 0)
    network.params["layer_0.recurrent_weight"][0, 2] = 0
    network.params["layer_0.recurrent_weight"][0, 7] = 0
    found = average(network, noise(20), warmup=5)
    assert found.n_lost.item() == 2 and found.n_lossy_intervals.item() == 15
    assert torch.isneginf(found.exponents[0, 0, -2:]).all() and torch.isfinite(found.exponents[0, 0, :-2]).all()


def test_a_diverged_trajectory_has_no_exponents_and_no_lost_directions():
    network = tanh_network(0.5, 0)
    state = network.initial_state(2)
    state[0, 1] = torch.nan
    found = average_exponents(network, noise(6).expand(2, -1, -1), state, network.initial_tangents())
    assert found.exponents[0, 1].isnan().all() and found.n_lost.tolist() == [[0, 0]]


def test_steps_through_pytorch_lose_the_same_directions_as_the_kernels():
    class Silent:
        def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
            return state, tangents * torch.where(x > 0, 1.0, 0.0)[..., None]

    x = torch.ones(2, 6, 3, dtype=torch.float64)
    x[0, 2:4, 1] = -1
    found = average_exponents(Silent(), x, torch.zeros(2, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    assert found.n_lost.tolist() == [1, 0] and found.n_lossy_intervals.tolist() == [2, 0]
