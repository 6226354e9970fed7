"""Every cell's analytic derivative agrees with automatic differentiation of its own `step` in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd, vmap

from lyapunov_pkg.cells import CELLS, Cell, make_cell
from tests.cells.cell_settings import map_settings

N_SEQUENCES, INPUT_SIZE, HIDDEN_SIZE = 4, 3, 5
SETTINGS = map_settings()


def draw(cell: Cell, lead: tuple[int, ...], biases: bool, seed: int = 0) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return random parameters with leading axes, a state and an input."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*lead, *shape, dtype=torch.float64, generator=generator)

    params = {name: normal(*shape) for name, shape in cell.parameter_shapes().items()}
    if biases:
        params["bias"] = normal(cell.n_gates * cell.hidden_size)
        if cell.name == "gru":
            params["recurrent_bias"] = normal(cell.n_gates * cell.hidden_size)
    return params, normal(N_SEQUENCES, cell.state_size), normal(N_SEQUENCES, cell.input_size)


def differentiate(cell: Cell, params: dict[str, Tensor], state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return forward-mode derivatives of `step` by the state (*lead, B, S, S) and by the input (*lead, B, S, F)."""

    def one_sequence(params: dict[str, Tensor], state: Tensor, x: Tensor) -> Tensor:
        return cell.step(params, state[None], x[None])[0]

    def all_sequences(function):
        mapped = vmap(function, in_dims=(None, 0, 0))
        for _ in range(state.dim() - 2):
            mapped = vmap(mapped)
        return mapped(params, state, x)

    return all_sequences(jacfwd(one_sequence, argnums=1)), all_sequences(jacfwd(one_sequence, argnums=2))


@pytest.fixture(params=SETTINGS)
def cell(request) -> Cell:
    architecture, hyperparameters = SETTINGS[request.param]
    return make_cell(architecture, INPUT_SIZE, HIDDEN_SIZE, **hyperparameters)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("biases", [False, True])
def test_jacobian_is_the_derivative_of_step(cell, lead, biases):
    params, state, x = draw(cell, lead, biases)
    by_state, _ = differentiate(cell, params, state, x)
    torch.testing.assert_close(cell.jacobian(params, state, x), by_state, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_reduced_jacobian_is_the_leading_block(cell, lead):
    params, state, x = draw(cell, lead, biases=True)
    by_state, _ = differentiate(cell, params, state, x)
    reduced = cell.jacobian(params, state, x, jacobian="reduced")
    torch.testing.assert_close(reduced, by_state[..., :HIDDEN_SIZE, :HIDDEN_SIZE], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("n_tangents", [1, 4])
def test_push_forward_includes_state_and_input_directions(cell, lead, reduced, n_tangents):
    params, state, x = draw(cell, lead, biases=True)
    by_state, by_input = differentiate(cell, params, state, x)
    rows = HIDDEN_SIZE if reduced else cell.state_size
    tangents = torch.randn(*state.shape[:-1], rows, n_tangents, dtype=torch.float64)
    input_tangents = torch.randn(*x.shape, n_tangents, dtype=torch.float64)

    next_state, moved = cell.push_forward(params, state, x, tangents, input_tangents)

    expected = by_state[..., :rows, :rows] @ tangents + by_input[..., :rows, :] @ input_tangents
    torch.testing.assert_close(moved, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(next_state, cell.step(params, state, x), rtol=1e-13, atol=1e-13)


def test_tangents_may_be_stored_with_vectors_or_units_first(cell):
    params, state, x = draw(cell, (2,), biases=False)
    tangents = torch.randn(2, N_SEQUENCES, cell.state_size, 3, dtype=torch.float64)
    by_units = cell.push_forward(params, state, x, tangents)[1]
    by_vectors = cell.push_forward(params, state, x, tangents.mT.contiguous().mT)[1]
    torch.testing.assert_close(by_units, by_vectors, rtol=1e-13, atol=1e-13)


def test_leading_axes_change_nothing(cell):
    params, state, x = draw(cell, (3,), biases=True)
    together = cell.jacobian(params, state, x)
    for variant in range(3):
        own = {name: value[variant] for name, value in params.items()}
        alone = cell.jacobian(own, state[variant], x[variant])
        torch.testing.assert_close(together[variant], alone, rtol=1e-13, atol=1e-13)


# rank_one is linear in its input.
@pytest.mark.parametrize("architecture", [name for name in CELLS if name != "rank_one"])
def test_tangents_keep_relative_accuracy_in_float32_with_saturated_units(architecture):
    cell = make_cell(architecture, 1, 3)
    sizes = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in cell.parameter_shapes().items()}
    # Without recurrence, the derivative by the input is a product of slopes at pre-activations of about 12.
    params = sizes | {"input_weight": 12 + torch.rand(sizes["input_weight"].shape, dtype=torch.float64)}
    params = {name: value.float().double() for name, value in params.items()}
    state, x = torch.zeros(1, cell.state_size, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    tangents, input_tangents = torch.zeros(1, cell.state_size, 1).double(), torch.ones(1, 1, 1).double()
    exact = cell.push_forward(params, state, x, tangents, input_tangents)[1]

    in_float32 = cell.push_forward(
        {name: value.float() for name, value in params.items()},
        *(tensor.float() for tensor in (state, x, tangents, input_tangents)),
    )[1]

    assert (exact != 0).all()
    torch.testing.assert_close(in_float32.double(), exact, rtol=1e-5, atol=0)


def with_noise(cell: Cell, lead: tuple[int, ...]) -> Tensor | None:
    """Return the noise of one training step, or None for cells without noise."""
    if cell.n_noise == 0:
        return None
    return torch.randn(*lead, N_SEQUENCES, cell.n_noise, HIDDEN_SIZE, dtype=torch.float64)


def pull_back(cell, prepared, linearization, cotangents) -> tuple[Tensor, dict[int, Tensor]]:
    """Apply the transposed derivative of a step to a covector.

    Returns the gradients by the state and by each pre-activation.
    """
    weights = cell.pre_activation_weights(prepared)
    after = list(cotangents.split(HIDDEN_SIZE, dim=-1))
    before = [torch.zeros_like(block) for block in after]
    by_pre_activation = [0.0] * len(cell.pre_activations)
    for target in range(cell.n_states):
        for (i, g), slope in linearization.slopes.items():
            by_pre_activation[g] = by_pre_activation[g] + slope * after[target] if i == target else by_pre_activation[g]
        for (i, j), coefficient in linearization.direct.items():
            before[j] = before[j] + coefficient * after[target] if i == target else before[j]
        for source in range(target + 1, cell.n_states):
            for g in cell.acting_on(source, after=True):
                after[source] = after[source] + by_pre_activation[g] @ weights[g]
    for source in range(cell.n_states):
        for g in cell.acting_on(source, after=False):
            before[source] = before[source] + by_pre_activation[g] @ weights[g]
    return torch.cat(before, dim=-1), by_pre_activation


@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("noisy", [False, True])
def test_the_transposed_linearization_agrees_with_reverse_mode(cell, lead, noisy):
    """Gradients by the state and by each pre-activation agree with and without noise, through its weight and drive."""
    params, state, x = draw(cell, lead, biases=True)
    prepared = {name: value.requires_grad_() for name, value in cell.prepare(params).items()}
    state.requires_grad_()
    drive = cell.drive(params, x).requires_grad_()
    noise = with_noise(cell, lead) if noisy else None
    cotangents = torch.randn_like(state)
    names = [name for name in prepared if name.endswith("weight") and name != "input_weight"]

    expected = torch.autograd.grad(
        cell.advance(prepared, state, drive, noise), [state, drive, *(prepared[name] for name in names)], cotangents
    )
    next_state, linearization = cell.linearize(prepared, state, drive, noise)
    by_state, by_pre_activation = pull_back(cell, prepared, linearization, cotangents)

    torch.testing.assert_close(next_state, cell.advance(prepared, state, drive, noise), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(by_state, expected[0], rtol=1e-10, atol=1e-10)
    by_drive = [
        sum(by_pre_activation[g] for g, a in enumerate(cell.pre_activations) if a.drive == block)
        for block in range(cell.n_gates)
    ]
    torch.testing.assert_close(torch.cat(by_drive, dim=-1), expected[1], rtol=1e-10, atol=1e-10)
    weights = cell.pre_activation_weights(prepared)
    surrogate = 0
    for g, pre_activation in enumerate(cell.pre_activations):
        if pre_activation.source is not None:
            acted_on = (next_state if pre_activation.after else state).split(HIDDEN_SIZE, dim=-1)[pre_activation.source]
            surrogate = surrogate + (by_pre_activation[g].detach() * (acted_on.detach() @ weights[g].mT)).sum()
    by_weights = torch.autograd.grad(surrogate, [prepared[name] for name in names])
    for actual, exact in zip(by_weights, expected[2:], strict=True):
        torch.testing.assert_close(actual, exact, rtol=1e-10, atol=1e-10)


def test_noise_scales_the_slopes():
    cell = make_cell("noisy", INPUT_SIZE, HIDDEN_SIZE, dt=0.2, multiplicative_noise=0.4, additive_noise=0.3)
    params, state, x = draw(cell, (2,), biases=True)
    noise = with_noise(cell, (2,))
    prepared, drive = cell.prepare(params), cell.drive(params, x)
    quiet = cell.linearize(prepared, state, drive)[1]
    noisy = cell.linearize(prepared, state, drive, noise)[1]
    factor = 0.4 * noise[..., 0, :] + 0.6
    assert noisy.direct == quiet.direct
    for key, slope in quiet.slopes.items():
        torch.testing.assert_close(noisy.slopes[key], factor * slope)
        assert (noisy.slopes[key] - slope).abs().max() > 1e-3
