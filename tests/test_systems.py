from __future__ import annotations

import pytest
import torch

from lyapunov_pkg.systems import Henon, LinearMap, autonomous_inputs, orthogonal_map


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(1), dtype=torch.float64)


@pytest.mark.parametrize(
    "system", [LinearMap(random(3, 3)), Henon(), Henon(a=1.1, b=-0.4), orthogonal_map(4, generator())]
)
def test_push_forward_agrees_with_automatic_differentiation(system):
    state = random(2, 5, system.state_size)
    tangents = random(2, 5, system.state_size, 2)
    after, moved = system.push_forward(state, None, tangents)
    assert torch.equal(after, system.step(state))
    for variant in range(2):
        for sequence in range(5):
            jacobian = torch.autograd.functional.jacobian(system.step, state[variant, sequence])
            assert torch.allclose(moved[variant, sequence], jacobian @ tangents[variant, sequence], atol=1e-12)


@pytest.mark.parametrize("system", [LinearMap([[2, 0], [1, 1]]), Henon()])
def test_systems_compute_in_the_dtype_of_the_state(system):
    state, tangents = system.push_forward(torch.zeros(3, 2), None, torch.eye(2).expand(3, 2, 2))
    assert state.dtype == tangents.dtype == torch.float32
    assert system.initial_state(3).shape == (3, 2)


def test_orthogonal_map_is_orthogonal_and_follows_its_generator():
    matrix = orthogonal_map(6, generator(4)).matrix
    assert torch.allclose(matrix @ matrix.T, torch.eye(6, dtype=torch.float64), atol=1e-14)
    assert torch.equal(matrix, orthogonal_map(6, generator(4)).matrix)


def test_autonomous_inputs_carry_only_a_number_of_steps():
    assert autonomous_inputs(4, 25).shape == (4, 25, 0)


@pytest.mark.parametrize("shape", [(2, 3), (4,), (2, 2, 2)])
def test_a_linear_map_needs_a_square_matrix(shape):
    with pytest.raises(ValueError, match=r"matrix: got shape .* expected a square matrix"):
        LinearMap(torch.ones(shape))
