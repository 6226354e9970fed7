"""Gradients of exponents agree with central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from lyapunov_pkg import lyapunov_spectrum
from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.networks import Network
from lyapunov_pkg.systems.maps import LinearMap, autonomous_inputs

MODULES = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def module(kind: str, n_layers: int = 1) -> torch.nn.RNNBase:
    torch.manual_seed(7)
    return MODULES[kind](3, 4, num_layers=n_layers, batch_first=True).double()


def stack(architecture: str, n_variants: int = 2) -> Network:
    generators = [generator(seed) for seed in range(n_variants)]
    network = Network.initialise(architecture, 3, 4, 2, [0.8] * n_variants, generators).to(dtype=torch.float64)
    return network.with_params({name: value.requires_grad_() for name, value in network.params.items()})


def assert_gradients(exponents: Callable[[], Tensor], leaves: Sequence[Tensor], step: float = 1e-5) -> None:
    """Compare the derivative of a random combination of exponents along a random direction in each leaf."""
    weights = random(*exponents().shape, seed=11)
    gradients = torch.autograd.grad((exponents() * weights).sum(), leaves)
    for index, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        direction = random(*leaf.shape, seed=20 + index)
        values = []
        with torch.no_grad():
            for sign in (1, -2, 1):  # Take a step forward, two steps back, and return.
                leaf += sign * step * direction
                values.append((exponents() * weights).sum())
        expected = (values[0] - values[1]) / (2 * step)
        assert abs(expected) > 1e-6
        torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-6)


class TestAgainstFiniteDifferences:
    @pytest.mark.parametrize(("warmup", "interval"), [(0, 1), (4, 3)])
    @pytest.mark.parametrize("kind", MODULES)
    def test_weights_of_torch_modules(self, kind, warmup, interval):
        rnn, inputs = module(kind), random(2, 11, 3)
        settings = {"warmup": warmup, "orthonormalize_every": interval, "differentiable": True, "n_exponents": 4}
        assert_gradients(lambda: lyapunov_spectrum(rnn, inputs, **settings), list(rnn.parameters()))

    def test_depth_reduced_jacobian_inputs_and_initial_state(self):
        rnn = module("lstm", n_layers=2)
        inputs, start = random(2, 8, 3).requires_grad_(), (0.3 * random(2, 16, seed=1)).requires_grad_()
        settings = {"jacobian": "reduced", "n_exponents": 3, "differentiable": True}
        leaves = [inputs, start, rnn.weight_hh_l0, rnn.bias_hh_l1]
        assert_gradients(lambda: lyapunov_spectrum(rnn, inputs, initial_state=start, **settings), leaves)

    @pytest.mark.parametrize("architecture", CELLS)
    def test_parameters_of_networks(self, architecture):
        network, inputs = stack(architecture), random(2, 8, 3)
        leaves = [network.params["layer_0.recurrent_weight"], network.params["layer_0.input_weight"]]
        assert_gradients(lambda: lyapunov_spectrum(network, inputs, n_exponents=3, differentiable=True), leaves)

    def test_tensors_in_the_closure_of_a_step_function(self):
        weight, inputs, start = random(4, 4).requires_grad_(), random(2, 8, 3), random(4, seed=1).requires_grad_()

        def exponents() -> Tensor:
            def step(state: Tensor, x: Tensor) -> Tensor:
                return torch.tanh(state @ weight.T + torch.nn.functional.pad(x, (0, 1)))

            return lyapunov_spectrum(step, inputs, initial_state=start, warmup=2, differentiable=True)

        assert_gradients(exponents, [weight, start])


def test_values_agree_with_those_without_gradients():
    for network in (module("gru"), stack("lstm")):
        settings = {"warmup": 3, "orthonormalize_every": 2}
        expected = lyapunov_spectrum(network, random(2, 12, 3), **settings)["lyapunov_exponent"]
        exponents = lyapunov_spectrum(network, random(2, 12, 3), differentiable=True, **settings)
        assert exponents.requires_grad and exponents.shape == expected.shape
        np.testing.assert_allclose(exponents.detach(), expected, atol=1e-12)


def test_results_without_gradients_have_no_graph():
    exponents = lyapunov_spectrum(LinearMap(torch.diag(torch.tensor([2.0, 0.5]))), autonomous_inputs(1, 4))
    tensor = lyapunov_spectrum(
        LinearMap(torch.diag(torch.tensor([2.0, 0.5]))), autonomous_inputs(1, 4), differentiable=True
    )
    assert not tensor.requires_grad
    np.testing.assert_allclose(tensor, exponents["lyapunov_exponent"])


def test_gradients_have_the_dtype_of_the_weights_and_the_weights_are_unchanged():
    rnn, inputs = module("lstm").float(), random(2, 9, 3)
    before = rnn.weight_hh_l0.detach().clone()
    for dtype in (torch.float32, torch.float64):
        exponents = lyapunov_spectrum(rnn, inputs, dtype=dtype, differentiable=True)
        exponents.sum().backward()
        assert exponents.dtype == dtype and rnn.weight_hh_l0.grad.dtype == torch.float32
    assert torch.equal(rnn.weight_hh_l0, before)


def test_gradient_descent_brings_exponents_to_zero():
    rnn, inputs = module("rnn"), random(2, 15, 3)
    optimizer = torch.optim.Adam(rnn.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        loss = lyapunov_spectrum(rnn, inputs, n_exponents=2, differentiable=True).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("trouble", ["lost", "diverged"])
def test_undefined_gradients_are_nan_only_for_their_variant(trouble):
    generators = [generator(0), generator(1)]
    network = Network.initialise("rnn", 3, 4, 0, [0.8, 0.8], generators, nonlinearity="relu").to(dtype=torch.float64)
    weight = network.params["layer_0.recurrent_weight"]
    weight[0] = 0.5 * torch.eye(4) + 0.1 * torch.ones(4, 4)
    weight[1] = weight[0] if trouble == "lost" else torch.full((4, 4), 1e200, dtype=torch.float64)
    network.params["layer_0.input_weight"][:] = 1.0
    if trouble == "lost":
        network.params["layer_0.input_weight"][1, 2] = -1.0
        weight[1, 2] = -1.0
    network = network.with_params({name: value.requires_grad_() for name, value in network.params.items()})
    exponents = lyapunov_spectrum(network, torch.ones(2, 6, 3), differentiable=True)
    exponents.sum().backward()
    gradient = network.params["layer_0.recurrent_weight"].grad
    assert torch.isfinite(exponents[0]).all() and torch.isfinite(gradient[0]).all()
    assert torch.isneginf(exponents[1, :, -1]).all() if trouble == "lost" else torch.isnan(exponents[1]).all()
    assert torch.isnan(gradient[1]).any()


def test_leading_exponents_have_gradients_although_others_are_lost():
    torch.manual_seed(0)
    rnn = torch.nn.RNN(3, 5, nonlinearity="relu", batch_first=True).double()
    with torch.no_grad():
        rnn.bias_hh_l0.fill_(20.0)
        rnn.bias_hh_l0[4] = -1000.0
    inputs = random(2, 6, 3)
    assert np.isneginf(lyapunov_spectrum(rnn, inputs)["lyapunov_exponent"][:, -1]).all()
    assert_gradients(lambda: lyapunov_spectrum(rnn, inputs, n_exponents=3, differentiable=True), [rnn.weight_hh_l0])


class TestSecondDerivatives:
    """Second derivatives are refused for every kind of incoming gradient."""

    @staticmethod
    def exponents(k: int | None = None) -> tuple[Tensor, Tensor]:
        rnn = module("rnn")
        return lyapunov_spectrum(rnn, random(1, 8, 3), n_exponents=k, differentiable=True), rnn.weight_hh_l0

    @pytest.mark.parametrize("k", [1, 2, None])
    @pytest.mark.parametrize("loss", [Tensor.mean, lambda exponents: exponents.square().sum(), lambda e: e[0, 0]])
    def test_of_a_loss(self, loss, k):
        exponents, weight = self.exponents(k)
        (first,) = torch.autograd.grad(loss(exponents), weight, create_graph=True)
        with pytest.raises(RuntimeError, match="differentiable: got a request for second derivatives"):
            torch.autograd.grad(first.sum(), weight)

    def test_of_a_penalty_on_the_gradient(self):
        exponents, weight = self.exponents()
        (first,) = torch.autograd.grad(exponents.sum(), weight, create_graph=True)
        with pytest.raises(RuntimeError, match="differentiable: got a request for second derivatives"):
            (exponents.sum() + first.square().sum()).backward()

    def test_create_graph_without_second_derivatives_is_allowed(self):
        exponents, weight = self.exponents()
        (kept,) = torch.autograd.grad(exponents.sum(), weight, create_graph=True)
        exponents, weight = self.exponents()
        (plain,) = torch.autograd.grad(exponents.sum(), weight)
        assert torch.equal(kept.detach(), plain)


def test_flossing_of_unconnected_units_has_finite_gradients():
    """Tangent vectors that start as unit vectors would stay in one block, and its saturated units would lose them."""
    torch.manual_seed(0)
    rnn = torch.nn.RNN(1, 6, bias=False).double()
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(torch.diag(torch.tensor([0.0, 0.0, 0.0, 0.9, 0.8, 0.7])))
    exponents = lyapunov_spectrum(rnn, random(2, 30, 1), n_exponents=2, differentiable=True)
    exponents.square().mean().backward()
    assert torch.isfinite(exponents).all() and torch.isfinite(rnn.weight_hh_l0.grad).all()
    assert rnn.weight_hh_l0.grad[3, 3] != 0
