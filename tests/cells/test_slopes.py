"""Slopes of a layer along its trajectory agree with `Update.slopes` at every step, from any initial state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lyapunov_pkg.cells import Cell, make_cell
from lyapunov_pkg.cells.sequences import linearize_sequence
from lyapunov_pkg.cells.stepping import run_updates
from tests.cells.cell_settings import map_settings

N_VARIANTS, N_SEQUENCES, N_STEPS, INPUT_SIZE, HIDDEN_SIZE = 2, 3, 6, 4, 5
SETTINGS = map_settings()


@pytest.fixture(params=SETTINGS)
def cell(request) -> Cell:
    architecture, hyperparameters = SETTINGS[request.param]
    return make_cell(architecture, INPUT_SIZE, HIDDEN_SIZE, **hyperparameters)


def draw(cell: Cell) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return parameters with biases, inputs (V, T, B, F) and an initial state (V, B, S)."""
    shapes = cell.parameter_shapes() | {"bias": (cell.n_gates * HIDDEN_SIZE,)}
    params = {name: torch.randn(N_VARIANTS, *shape, dtype=torch.float64) for name, shape in shapes.items()}
    inputs = torch.randn(N_VARIANTS, N_STEPS, N_SEQUENCES, INPUT_SIZE, dtype=torch.float64)
    return params, inputs, torch.randn(N_VARIANTS, N_SEQUENCES, cell.state_size, dtype=torch.float64)


def step_by_step(cell: Cell, params: dict[str, Tensor], inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return the result of `linearize_sequence`, computed with tensors step by step."""
    prepared, states, derivatives = cell.prepare(params), [state], []
    for x in inputs.unbind(1):
        blocks, slopes = list(states[-1].chunk(cell.n_states, dim=-1)), []
        for update, pre_activations, values in run_updates(cell, prepared, blocks, cell.drive(params, x), None):
            for of_kind in update.slopes(pre_activations, values, update.constants):
                slopes += [torch.as_tensor(slope, dtype=torch.float64).expand_as(blocks[0]) for slope in of_kind]
            blocks[update.target] = update.value(pre_activations, values, update.constants)
        derivatives.append(torch.stack(slopes, dim=-2))
        states.append(torch.cat(blocks, dim=-1))
    return torch.stack(derivatives, dim=1), torch.stack(states, dim=1)


@pytest.mark.parametrize("n_threads", [1, 2, 64])
def test_slopes_and_states_agree_with_single_steps(cell, n_threads):
    """There are 36 rows, so one case has more threads than rows."""
    params, inputs, state = draw(cell)
    expected = step_by_step(cell, params, inputs, state)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        found = linearize_sequence(cell, params, inputs, state)
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_later_call_does_not_change_an_earlier_result(cell):
    """Reused memory is separate from the memory of an earlier result."""
    params, inputs, state = draw(cell)
    first = linearize_sequence(cell, params, inputs, state)
    kept = [tensor.clone() for tensor in first]
    linearize_sequence(cell, params, inputs + 1, state)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(first, kept, strict=True))


def test_float32_agrees_with_float64_within_its_precision(cell):
    params, inputs, state = draw(cell)
    exact = step_by_step(cell, params, inputs[:, :2], state)
    single = {name: value.float() for name, value in params.items()}
    found = linearize_sequence(cell, single, inputs[:, :2].float(), state.float())
    for actual, expected in zip(found, exact, strict=True):
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5)
