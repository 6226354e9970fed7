"""Requirements on user-defined systems, and errors for systems that violate them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lyapunov_pkg import covariant_vectors, finite_time_exponents, lyapunov_spectrum
from lyapunov_pkg.systems import LinearMap

SIZE = 4


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WEIGHT, INPUT_WEIGHT, INPUTS = random(SIZE, SIZE), random(SIZE, 3, seed=1), random(2, 12, 3, seed=2)


CELL = torch.nn.RNNCell(3, SIZE, bias=False)


def tanh_step(state: Tensor, x: Tensor) -> Tensor:
    return torch.tanh(state @ WEIGHT.T + x @ INPUT_WEIGHT.T)


def tanh_module() -> torch.nn.RNN:
    rnn = torch.nn.RNN(3, SIZE, bias=False, batch_first=True).double()
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(WEIGHT)
        rnn.weight_ih_l0.copy_(INPUT_WEIGHT)
    return rnn


def filled(state: Tensor, x: Tensor) -> Tensor:
    after = torch.empty_like(state)
    for unit in range(SIZE):
        after[:, unit] = torch.tanh(state @ WEIGHT[unit] + x @ INPUT_WEIGHT[unit])
    return after


def with_own_copy(state: Tensor, x: Tensor) -> Tensor:
    state = state @ WEIGHT.T
    state += x @ INPUT_WEIGHT.T
    return state.tanh_()


def branching(state: Tensor, x: Tensor) -> Tensor:
    return tanh_step(state, x) if state.shape[0] < 100 and x.sum().item() < np.inf else state


def with_cell(state: Tensor, x: Tensor) -> Tensor:
    return torch.func.functional_call(CELL, {"weight_hh": WEIGHT, "weight_ih": INPUT_WEIGHT}, (x, state))


class TestSteps:
    @pytest.mark.parametrize("step", [tanh_step, filled, with_own_copy, branching, with_cell])
    def test_ordinary_torch_code_is_differentiated(self, step):
        settings = {"warmup": 2, "orthonormalize_every": 2, "n_exponents": 3}
        spectrum = lyapunov_spectrum(step, INPUTS, initial_state=torch.zeros(SIZE), **settings)
        expected = lyapunov_spectrum(tanh_module(), INPUTS, **settings)
        np.testing.assert_allclose(spectrum["lyapunov_exponent"], expected["lyapunov_exponent"], atol=1e-12)

    @pytest.mark.parametrize("function", [finite_time_exponents, covariant_vectors])
    def test_all_functions_accept_a_step(self, function):
        found, expected = function(tanh_step, INPUTS, initial_state=np.zeros(SIZE)), function(tanh_module(), INPUTS)
        for name in expected.data_vars:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-8)

    def test_a_step_without_inputs(self):
        spectrum = lyapunov_spectrum(
            lambda state, x: state * torch.tensor([2.0, 0.5]).double(),
            np.empty((1, 6, 0)),
            initial_state=np.zeros(2),
            dtype=torch.float64,
        )
        np.testing.assert_allclose(spectrum["lyapunov_exponent"], np.log([[2.0, 0.5]]))

    def test_an_immediately_overflowing_sequence_is_nan_and_passes_the_independence_check(self):
        start = np.array([[0.1, 0.2], [0.1, 1000.0]])
        spectrum = lyapunov_spectrum(
            lambda state, x: torch.exp(state) / 4, np.zeros((2, 9, 1)), initial_state=start, dtype=torch.float64
        )["lyapunov_exponent"]
        assert np.isfinite(spectrum[0]).all() and np.isnan(spectrum[1]).all()

    def test_few_exponents_need_few_tangent_vectors_and_no_jacobian(self):
        size, steps, calls = 40, 3, []
        weight = random(size, size)

        def step(state: Tensor, x: Tensor) -> Tensor:
            calls.append(state.shape)
            return torch.tanh(state @ weight.T)

        def products(n_exponents: int) -> float:
            """Return the number of products of the weights with a vector, per sequence and step."""
            calls.clear()
            with FlopCounterMode(display=False) as counter:
                lyapunov_spectrum(step, np.empty((2, steps, 0)), initial_state=np.zeros(size), n_exponents=n_exponents)
            counts = counter.get_flop_counts()["Global"]
            flops = sum(count for name, count in counts.items() if "mm" in str(name))
            return flops / (2 * size**2 * 2)

        two = products(2)
        assert products(9) - two == steps * 7
        # Each step calls the function once with all tangents. Nine more calls check that the function is a step. Three
        # check whether it can be converted to a program, which fails here because the function appends to a list.
        assert len(calls) == steps + 12


def first_alone(state: Tensor, x: Tensor) -> Tensor:
    return tanh_step(state, x)[0]


def in_single_precision(state: Tensor, x: Tensor) -> Tensor:
    return tanh_step(state, x).float()


def with_output(state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return tanh_step(state, x), state


def in_numpy(state: Tensor, x: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(state.numpy() @ WEIGHT.numpy()))


def in_place(state: Tensor, x: Tensor) -> Tensor:
    state += x @ INPUT_WEIGHT.T
    return torch.tanh(state)


def columns_not_rows(state: Tensor, x: Tensor) -> Tensor:
    return torch.tanh(WEIGHT @ state)


def normalising(state: Tensor, x: Tensor) -> Tensor:
    return state - state.mean(dim=0)


def dropping_out(state: Tensor, x: Tensor) -> Tensor:
    return torch.nn.functional.dropout(state)


WITH = r"system: step\(state, x\), with state \(4, 4\) of torch.float64 and x \(4, 3\) of torch.float64, "


class TestErrorsOfSteps:
    @pytest.mark.parametrize(
        ("step", "message"),
        [
            (first_alone, WITH + r"returned \(4,\) of torch.float64, expected the next state, \(4, 4\) of torch.flo"),
            (in_single_precision, WITH + r"returned \(4, 4\) of torch.float32, expected the next state, \(4, 4\) of"),
            (in_numpy, WITH + "cannot be differentiated in forward mode"),
            (dropping_out, WITH + "returned another state in a second call, expected a deterministic step"),
            (in_place, WITH + "changed one of its arguments in place, expected a new tensor"),
            (
                columns_not_rows,
                "a change in the state of one sequence changed another sequence; expected a step that treats",
            ),
            (normalising, "a change in the state of one sequence changed another"),
            (lambda state, x: state @ WEIGHT.float(), WITH + "failed: expected m1 and m2 to have the same dtype"),
            (lambda state: state, r"got step\(state\), which takes only the state, but inputs with 3 features"),
        ],
    )
    def test_an_invalid_step_is_refused(self, step: Callable, message: str):
        inputs = random(4, 6, 3)
        with pytest.raises(ValueError, match=message):
            lyapunov_spectrum(step, inputs, initial_state=np.zeros(SIZE))

    def test_a_step_must_return_a_tensor(self):
        with pytest.raises(TypeError, match=WITH + r"returned \(\(4, 4\) of .*\), expected the next state, a tensor"):
            lyapunov_spectrum(with_output, random(4, 6, 3), initial_state=np.zeros(SIZE))

    @pytest.mark.parametrize(
        ("returned", "error", "message"),
        [
            (lambda state, tangents: state, TypeError, "push_forward returned Tensor, expected two tensors in a tuple"),
            (
                lambda state, tangents: (state, tangents[..., 0]),
                ValueError,
                r"push_forward returned \('\(2, 4\) of torch.float64', '\(2, 4\) of torch.float64'\), expected",
            ),
            (
                lambda state, tangents: (state, tangents.sum(0).expand_as(tangents)),
                ValueError,
                "a change in the state of one sequence changed another",
            ),
        ],
    )
    def test_an_invalid_push_forward_is_refused(self, returned, error, message):
        class System:
            def push_forward(self, state, x, tangents):
                return returned(state, tangents)

        with pytest.raises(error, match=message):
            lyapunov_spectrum(System(), INPUTS, initial_state=np.zeros(SIZE))


class TestErrorsOfNetworks:
    @pytest.mark.parametrize(
        ("network", "message"),
        [
            (torch.nn.LSTM(3, 4, bidirectional=True), "system: got a bidirectional module, expected one direction"),
        ],
    )
    @pytest.mark.parametrize("function", [lyapunov_spectrum, finite_time_exponents, covariant_vectors])
    def test_networks_that_are_no_map_of_their_hidden_state_are_refused(self, function, network, message):
        with pytest.raises(ValueError, match=message):
            function(network, INPUTS)

    @pytest.mark.parametrize("inputs", ["sequence", np.array([[["a"]]]), [[None]]])
    def test_inputs_must_be_numbers(self, inputs):
        with pytest.raises(TypeError, match=r"inputs: got .*, expected a tensor or an array of numbers"):
            lyapunov_spectrum(tanh_module(), inputs)

    def test_counts_must_be_integers(self):
        with pytest.raises(ValueError, match=r"n_exponents: got 2.5, expected 1 to 4"):
            lyapunov_spectrum(tanh_module(), INPUTS, n_exponents=2.5)


class TestNumberOfSteps:
    """Of systems without inputs."""

    def test_one_step_is_enough(self):
        found = lyapunov_spectrum(LinearMap(np.diag([0.5, 3.0])), n_steps=1)["lyapunov_exponent"]
        np.testing.assert_allclose(found, [np.log([3.0, 0.5])])

    @pytest.mark.parametrize("n_steps", [0, -1, 2.5, True])
    def test_anything_but_a_whole_number_from_one_on_is_refused(self, n_steps):
        with pytest.raises(ValueError, match=f"n_steps: got {n_steps}, expected a whole number of steps, 1 or more"):
            lyapunov_spectrum(LinearMap(np.eye(2)), n_steps=n_steps)

    def test_inputs_have_a_number_of_their_own(self):
        with pytest.raises(ValueError, match="got inputs and n_steps, expected one of them"):
            lyapunov_spectrum(tanh_module(), INPUTS, n_steps=12)
        with pytest.raises(ValueError, match="inputs: got None, expected inputs, or n_steps of an autonomous system"):
            lyapunov_spectrum(LinearMap(np.eye(2)))
