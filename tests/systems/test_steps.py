"""User-defined step functions: nested states, orders of arguments, and refused steps."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from lyapunov_pkg.spectra.driven import driven_system
from lyapunov_pkg.systems.steps import Order, argument_order
from tests.systems.reference import FEATURES, UNITS, by_lapack, exponents, of_module, random

WEIGHT, INPUT_WEIGHT = random(UNITS, UNITS), random(UNITS, FEATURES, seed=1)
INPUTS, ZEROS = random(3, 12, FEATURES, seed=2), torch.zeros(UNITS, dtype=torch.float64)


def tanh(state: Tensor, x: Tensor) -> Tensor:
    return torch.tanh(state @ WEIGHT.T + x @ INPUT_WEIGHT.T)


EXPECTED = np.stack([by_lapack(tanh, x, ZEROS) for x in INPUTS])


class TestStates:
    def test_tuples_dicts_and_lists(self):
        def of_pair(state, x):
            return tanh(state[0], x), 0.5 * state[1]

        def of_dict(state, x):
            return {"decaying": {"inner": 0.5 * state["decaying"]["inner"]}, "h": tanh(state["h"], x)}

        def of_list(state, x):
            return [0.5 * state[0], tanh(state[1], x)]

        other = torch.ones(1, 2, 2, dtype=torch.float64)
        expected = np.sort(np.concatenate([EXPECTED, np.full((3, 4), np.log(0.5))], axis=1))[:, ::-1]
        for step, start in (
            (of_pair, (ZEROS, other)),
            (of_dict, {"h": ZEROS, "decaying": {"inner": other}}),
            (of_list, [other.numpy(), ZEROS.numpy()]),
        ):
            np.testing.assert_allclose(exponents(step, INPUTS, initial_state=start), expected, atol=1e-9)

    def test_states_of_any_shape(self):
        def rotating(state: Tensor, x: Tensor) -> Tensor:
            return 2 * state.flip(-1) * (1 + 0 * x[:, :1, None])

        for shape in ((3, 2, 2), (1, 2, 2)):
            found = exponents(rotating, INPUTS, initial_state=torch.ones(shape))
            np.testing.assert_allclose(found, np.full((3, 4), np.log(2)), atol=1e-12)

    def test_lstm_cells_and_their_pairs(self):
        torch.manual_seed(0)
        cell = torch.nn.LSTMCell(FEATURES, UNITS).double()
        expected, start = of_module(cell, INPUTS), (ZEROS, ZEROS)
        for step in (lambda state, x: cell(x, state), lambda x, state: cell(x, state), lambda x, hx: cell(x, hx)):
            np.testing.assert_allclose(exponents(step, INPUTS, initial_state=start), expected, atol=1e-9)

    def test_gradients_reach_lists_of_tensors(self):
        rows = INPUTS.clone().requires_grad_()
        starts = torch.zeros(3, UNITS, dtype=torch.float64, requires_grad=True)
        driven = driven_system(
            tanh, [list(sequence) for sequence in rows], initial_state=(starts[:, :]), differentiable=True
        )
        (driven.inputs.sum() + 2 * driven.initial_state.sum()).backward()
        assert torch.equal(rows.grad, torch.ones_like(rows)) and torch.equal(starts.grad, 2 * torch.ones_like(starts))

    @pytest.mark.parametrize(
        ("start", "message"),
        [
            (
                torch.zeros(2, UNITS),
                r"initial_state: got shape \(2, 4\), expected \(3, ...\): axis 0 is that of the sequences",
            ),
            ({"h": torch.zeros(2, UNITS)}, r"initial_state\['h'\]: got shape \(2, 4\), expected \(3, ...\)"),
            ([], "initial_state: got no numbers"),
            (None, r"initial_state: got None, expected \(sequence, S\)"),
            ((ZEROS, torch.full((2,), np.nan)), r"initial_state\[1\]: got NaN"),
        ],
    )
    def test_states_that_do_not_match_are_refused(self, start, message):
        with pytest.raises(ValueError, match=message):
            exponents(tanh, INPUTS, initial_state=start)

    def test_the_wider_dtype_is_used(self):
        single, double = torch.zeros(1, 5, 0), np.full((100, 1), 0.3)
        assert (
            driven_system(lambda s, _: 4 * s * (1 - s), single, initial_state=double[:1]).inputs.dtype == torch.float64
        )
        starts = np.random.default_rng(0).uniform(0.1, 0.9, (100, 1))
        found = exponents(lambda s, _: 4 * s * (1 - s), torch.zeros(100, 2000, 0), initial_state=starts)
        np.testing.assert_allclose(found.mean(), np.log(2), atol=1e-3)
        assert driven_system(tanh, INPUTS, initial_state=torch.zeros(UNITS)).inputs.dtype == torch.float64
        weight = WEIGHT.float()
        in_single = driven_system(lambda s, x: s @ weight, INPUTS.float(), initial_state=torch.zeros(UNITS))
        assert in_single.inputs.dtype == torch.float32
        with pytest.raises(ValueError, match=r"runs in torch.float64, the wider type .*, or give dtype=torch.float32"):
            driven_system(lambda s, x: s @ weight, INPUTS.float(), initial_state=np.zeros(UNITS))

    def test_the_default_dtype_of_torch_changes_no_result(self):
        weight, inputs, start = WEIGHT.float(), INPUTS.float(), torch.zeros(UNITS, dtype=torch.float32)
        found = []
        try:
            for dtype in (torch.float32, torch.float64):
                torch.set_default_dtype(dtype)
                found.append(exponents(lambda h, x: torch.tanh(h @ weight + x[..., :1]), inputs, initial_state=start))
        finally:
            torch.set_default_dtype(torch.float32)
        np.testing.assert_array_equal(*found)


class TestArguments:
    @pytest.mark.parametrize(
        ("function", "order"),
        [
            (lambda state, x: 0, Order.STATE_FIRST),
            (lambda x, state: 0, Order.INPUT_FIRST),
            (lambda input, hidden: 0, Order.INPUT_FIRST),
            (lambda x_t, h_prev: 0, Order.INPUT_FIRST),
            (lambda inputs, hx=None: 0, Order.INPUT_FIRST),
            (lambda u, s: 0, Order.INPUT_FIRST),
            (lambda h, x: 0, Order.STATE_FIRST),
            (lambda x, u: 0, Order.STATE_FIRST),
            (lambda a, b: 0, Order.STATE_FIRST),
            (lambda *arguments: 0, Order.STATE_FIRST),
            (lambda state: 0, Order.STATE_ALONE),
            (partial(lambda a, state, x: 0, 1), Order.STATE_FIRST),
            (partial(lambda a, x, state: 0, 1), Order.INPUT_FIRST),
        ],
    )
    def test_argument_names_determine_their_order(self, function, order):
        assert argument_order(function, Order.STATE_FIRST, autonomous=False) is order

    def test_a_step_whose_second_argument_has_a_default_needs_no_inputs(self):
        found = exponents(lambda state, dt=0.25: state * (1 - dt), n_steps=5, initial_state=np.ones(2))
        np.testing.assert_allclose(found, np.log([[0.75, 0.75]]), atol=1e-12)

    @pytest.mark.parametrize("kind", [torch.nn.RNNCell, torch.nn.GRUCell])
    def test_swapped_arguments_are_detected_from_their_shapes(self, kind):
        cell = kind(FEATURES, UNITS).double()
        with pytest.raises(ValueError, match=r"Called as step\(x, state\) it works: choose argument names"):
            exponents(lambda a, b: cell(a, b), INPUTS, initial_state=ZEROS)

    def test_one_argument_and_autonomous_systems(self):
        def logistic(state: Tensor) -> Tensor:
            return 4 * state * (1 - state)

        found = exponents(logistic, n_steps=3000, initial_state=np.array([[0.3], [0.4], [0.123]]))
        np.testing.assert_allclose(found, np.log(2), atol=0.01)
        assert exponents(logistic, n_steps=3, initial_state=[0.3, 0.2]).shape == (1, 2)
        with pytest.raises(ValueError, match=r"system: got step\(state\), which takes only the state.*3 features"):
            exponents(logistic, INPUTS, initial_state=ZEROS)

    def test_outputs_as_inputs_of_the_next_step(self):
        torch.manual_seed(0)
        cell, readout = torch.nn.LSTMCell(2, UNITS).double(), torch.nn.Linear(UNITS, 2).double()

        def of_vector(state: Tensor, _: Tensor) -> Tensor:
            h, c = state[None, :UNITS], state[None, UNITS:]
            return torch.cat(cell(readout(h), (h, c)), dim=-1)[0]

        start = random(2, 2 * UNITS)
        found = exponents(
            lambda hc: cell(readout(hc[0]), hc), n_steps=20, initial_state=(start[:, :UNITS], start[:, UNITS:])
        )
        expected = [by_lapack(of_vector, torch.zeros(20, 0), one) for one in start]
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_a_step_of_one_sequence_is_vectorised_with_vmap(self):
        def of_one(state: Tensor, x: Tensor) -> Tensor:
            return torch.tanh(WEIGHT @ state + INPUT_WEIGHT @ x)

        np.testing.assert_allclose(exponents(torch.vmap(of_one), INPUTS, initial_state=ZEROS), EXPECTED, atol=1e-9)
        with pytest.raises(ValueError, match=r"It is a step of one sequence: use torch.vmap\(step\)"):
            exponents(of_one, INPUTS, initial_state=ZEROS)


class TestDerivatives:
    @pytest.mark.parametrize(
        "step",
        [
            lambda state, x: torch.tanh(x @ INPUT_WEIGHT.T),
            lambda state, x: torch.zeros(len(x), UNITS, dtype=x.dtype),
            lambda state, x: tanh(state.detach(), x),
            lambda state, x: torch.zeros_like(state),
        ],
    )
    def test_a_step_that_ignores_or_detaches_its_state_loses_all_directions(self, step):
        assert np.isneginf(exponents(step, INPUTS, initial_state=ZEROS)).all()
        assert np.isneginf(exponents(step, INPUTS, initial_state=ZEROS, n_exponents=2)).all()

    @pytest.mark.parametrize(
        "step",
        [
            lambda state, x: tanh(state, x) * state.norm().item(),
            lambda state, x: torch.stack([float(s[0]) * s for s in state]),
        ],
    )
    def test_a_step_that_converts_its_state_to_numbers_is_refused(self, step):
        with pytest.raises(ValueError, match=r"has a derivative that automatic differentiation does not find"):
            exponents(step, INPUTS[:1], initial_state=ZEROS + 0.3)

    def test_numbers_without_effect_on_the_result_are_allowed(self):
        found = exponents(lambda s, x: tanh(s, x) if s.norm().item() < 1e9 else s, INPUTS, initial_state=ZEROS)
        np.testing.assert_allclose(found, EXPECTED, atol=1e-9)

    @pytest.mark.parametrize(
        "step",
        [
            lambda state, x: torch.from_numpy(np.tanh(state.numpy())),
            lambda state, x: torch.as_tensor(np.tanh(state.detach().numpy())),
            lambda state, x: np.tanh(state),
        ],
    )
    def test_numpy_steps_are_refused_with_a_suggestion(self, step):
        with pytest.raises(ValueError, match=r"cannot be differentiated in forward mode: .* torch operations only"):
            exponents(step, INPUTS, initial_state=ZEROS)

    def test_arrays_are_refused_as_new_states(self):
        with pytest.raises(TypeError, match=r"returned ndarray, expected the next state, a tensor.* torch operations"):
            exponents(lambda state, x: np.zeros((3, UNITS)), INPUTS, initial_state=ZEROS)


CALLS = []


class TestDeterminism:
    @pytest.mark.parametrize(
        "step",
        [
            lambda state, x: tanh(state, x) + torch.randn(UNITS, dtype=x.dtype),
            lambda state, x: tanh(state, x) + torch.from_numpy(np.random.default_rng().normal(size=UNITS)),
            lambda state, x: torch.nn.functional.dropout(tanh(state, x)),
            lambda state, x: CALLS.append(1) or tanh(state, x) * len(CALLS),
        ],
    )
    def test_random_steps_are_refused(self, step):
        with pytest.raises(ValueError, match=r"returned another state in a second call"):
            exponents(step, INPUTS, initial_state=ZEROS)

    @pytest.mark.parametrize(
        "mix",
        [
            lambda state: state + state[-1:],
            lambda state: state + state[:1],
            lambda state: state.roll(1, dims=0),
            lambda state: state.cumsum(0),
            lambda state: state.flip(0).cumsum(0).flip(0),
            lambda state: state - state.mean(0),
            lambda state: torch.cat((state[:3], state[4:5], state[4:])),
        ],
    )
    def test_steps_that_mix_sequences_are_refused(self, mix):
        with pytest.raises(ValueError, match=r"system: a change in the state of one sequence changed another"):
            exponents(lambda state, x: tanh(mix(state), x), random(6, 4, FEATURES), initial_state=ZEROS)

    @pytest.mark.parametrize(
        "mix", [lambda x: x - x.mean(0), lambda x: x.flip(0), lambda x: x.sort(0).values, lambda x: x * x.argmax(0)]
    )
    def test_steps_that_mix_inputs_are_refused(self, mix):
        with pytest.raises(ValueError, match=r"system: the input or the state of one sequence changed the next state"):
            exponents(lambda state, x: tanh(state, mix(x)), INPUTS, initial_state=ZEROS)

    def test_torchs_random_number_state_is_unchanged(self):
        before = torch.get_rng_state()
        exponents(tanh, INPUTS, initial_state=ZEROS)
        assert torch.equal(torch.get_rng_state(), before)
