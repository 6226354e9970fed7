"""Layers over whole sequences: values and gradients agree with `Cell.advance` and autograd step by step in float64."""

from __future__ import annotations

import pytest
import torch
from numba import njit
from torch import Tensor

from lyapunov_pkg.cells import Cell, functions, make_cell
from lyapunov_pkg.cells.sequences import run_sequence, updates
from tests.cells.cell_settings import map_settings

N_VARIANTS, N_SEQUENCES, N_STEPS, INPUT_SIZE, HIDDEN_SIZE = 2, 3, 6, 4, 5
SETTINGS = map_settings()


@pytest.fixture(params=SETTINGS)
def cell(request) -> Cell:
    architecture, hyperparameters = SETTINGS[request.param]
    return make_cell(architecture, INPUT_SIZE, HIDDEN_SIZE, **hyperparameters)


def draw(cell: Cell, biases: bool, dtype: torch.dtype = torch.float64) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return random parameters, inputs (V, T, B, F) and noise; all except the noise require gradients."""
    shapes = dict(cell.parameter_shapes())
    if biases:
        shapes["bias"] = (cell.n_gates * HIDDEN_SIZE,)
    if biases and cell.name == "gru":
        shapes["recurrent_bias"] = (3 * HIDDEN_SIZE,)
    params = {name: torch.randn(N_VARIANTS, *shape, dtype=dtype, requires_grad=True) for name, shape in shapes.items()}
    inputs = torch.randn(N_VARIANTS, N_STEPS, N_SEQUENCES, INPUT_SIZE, dtype=dtype, requires_grad=True)
    noise = torch.randn(N_VARIANTS, N_SEQUENCES, N_STEPS, cell.n_noise, HIDDEN_SIZE, dtype=dtype)
    return params, inputs, noise if cell.n_noise else None


def step_by_step(cell: Cell, params: dict[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
    """Return the result of `run_sequence` (V, T, B, H), computed by `advance`."""
    prepared = cell.prepare(params)
    state = inputs.new_zeros(N_VARIANTS, inputs.shape[2], cell.state_size)
    hidden = []
    for step in range(inputs.shape[1]):
        own_noise = None if noise is None else noise[:, :, step]
        state = cell.advance(prepared, state, cell.drive(params, inputs[:, step]), own_noise)
        hidden.append(state[..., :HIDDEN_SIZE])
    return torch.stack(hidden, dim=1)


def gradients(hidden: Tensor, params: dict[str, Tensor], inputs: Tensor) -> list[Tensor]:
    """Return gradients of a loss in which every unit at every step has a different weight."""
    weights = torch.randn(hidden.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((weights.to(hidden) * hidden**2).sum(), [*params.values(), inputs])


def assert_same(actual: list[Tensor], expected: list[Tensor], tolerance: float = 1e-10) -> None:
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("last_only", [False, True])
def test_values_and_gradients_agree_with_autograd(cell, biases, last_only):
    params, inputs, draws = draw(cell, biases)
    for noise in (None, draws) if cell.n_noise else (None,):
        expected = step_by_step(cell, params, inputs, noise)
        expected = expected[:, -1] if last_only else expected
        hidden = run_sequence(cell, params, inputs, noise, last_only)
        torch.testing.assert_close(hidden, expected, rtol=1e-12, atol=1e-12)
        assert_same(gradients(hidden, params, inputs), gradients(expected, params, inputs))


def test_tensor_operations_and_compiled_kernels_agree(cell, monkeypatch):
    """The CPU runs the tensor operations that other devices use."""
    params, inputs, noise = draw(cell, biases=True)
    compiled = run_sequence(cell, params, inputs, noise)
    by_compiled = gradients(compiled, params, inputs)
    monkeypatch.setattr(updates, "COMPILED_PRECISIONS", {})
    tensors = run_sequence(cell, params, inputs, noise)
    torch.testing.assert_close(tensors, compiled, rtol=1e-12, atol=1e-12)
    assert_same(gradients(tensors, params, inputs), by_compiled)


def test_float32_keeps_its_precision(cell):
    params, inputs, noise = draw(cell, biases=True)
    exact = gradients(step_by_step(cell, params, inputs, noise), params, inputs)
    params = {name: value.detach().float().requires_grad_() for name, value in params.items()}
    inputs, noise = inputs.detach().float().requires_grad_(), None if noise is None else noise.float()
    single = gradients(run_sequence(cell, params, inputs, noise), params, inputs)
    for actual, expected in zip(single, exact, strict=True):
        assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("n_steps", [1, 4, 9])
def test_any_number_of_steps(cell, n_steps):
    params, _, _ = draw(cell, biases=False)
    inputs = torch.randn(N_VARIANTS, n_steps, N_SEQUENCES, INPUT_SIZE, dtype=torch.float64, requires_grad=True)
    expected = step_by_step(cell, params, inputs, None)
    hidden = run_sequence(cell, params, inputs)
    assert_same([hidden, *gradients(hidden, params, inputs)], [expected, *gradients(expected, params, inputs)])


def test_runs_share_workspace_without_side_effects(cell):
    """The test keeps two graphs, runs without gradients in between, and differentiates each graph twice."""
    runs = [draw(cell, biases=False) for _ in range(2)]
    expected = [step_by_step(cell, *run) for run in runs]
    hidden = [run_sequence(cell, *run) for run in runs]
    with torch.no_grad():
        torch.testing.assert_close(run_sequence(cell, *runs[0]), expected[0], rtol=1e-12, atol=1e-12)
    for run, actual, exact in [*zip(runs, hidden, expected, strict=True)][::-1]:
        torch.testing.assert_close(actual, exact, rtol=1e-12, atol=1e-12)
        params, inputs, _ = run
        first = torch.autograd.grad(actual.square().sum(), [*params.values(), inputs], retain_graph=True)
        again = torch.autograd.grad(actual.square().sum(), [*params.values(), inputs])
        assert_same(first, torch.autograd.grad(exact.square().sum(), [*params.values(), inputs]))
        assert_same(again, first)


@pytest.mark.parametrize("name", ["sigmoid", "sigmoid_slope", "tanh", "tanh_slope", "relu", "relu_slope"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_scalar_functions_agree_with_tensor_functions(name, dtype):
    function = getattr(functions, name)
    compiled = njit(lambda a: function(a))
    a = torch.cat([torch.linspace(-40, 40, 801), torch.logspace(-30, 1, 100), -torch.logspace(-30, 1, 100)]).to(dtype)
    values = torch.tensor([compiled(number) for number in a.numpy()], dtype=torch.float64)
    precision = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(values, function(a.double()), rtol=precision, atol=0)
    # For saturated units, the slope must stay accurate down to the smallest numbers: its logarithm enters an exponent.
    far = torch.linspace(40, 120, 801, dtype=dtype)
    for a in (far, -far):
        values = torch.tensor([compiled(number) for number in a.numpy()], dtype=torch.float64)
        torch.testing.assert_close(values, function(a.double()).to(dtype).double(), rtol=precision, atol=3e-45)
    assert torch.tensor(compiled(torch.tensor([torch.nan], dtype=dtype).numpy()[0])).isnan() or "relu_slope" in name
    for infinite in (torch.inf, -torch.inf):
        limit = compiled(torch.tensor([infinite], dtype=dtype).numpy()[0])
        assert limit == pytest.approx(function(torch.tensor(infinite)).item(), abs=1e-30)
