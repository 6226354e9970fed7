from __future__ import annotations

import pytest
import torch

from lyapunov_pkg import lyapunov_spectrum
from lyapunov_pkg.systems.maps import Henon, LinearMap, Lorenz, autonomous_inputs, orthogonal_map, trajectory


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(1), dtype=torch.float64)


@pytest.mark.parametrize(
    "system",
    [
        LinearMap(random(3, 3)),
        Henon(),
        Henon(a=1.1, b=-0.4),
        orthogonal_map(4, generator()),
        Lorenz(),
        Lorenz(14, 9, 2, step_size=0.03),
    ],
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


@pytest.mark.parametrize("system", [LinearMap([[2, 0], [1, 1]]), Henon(), Lorenz()])
def test_systems_compute_in_the_dtype_of_the_state(system):
    size = system.state_size
    state, tangents = system.push_forward(torch.zeros(3, size), None, torch.eye(size).expand(3, size, size))
    assert state.dtype == tangents.dtype == torch.float32
    assert system.initial_state(3).shape == (3, size)


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


def lorenz_field(state: torch.Tensor, rho: float, sigma: float = 10.0, beta: float = 8 / 3) -> torch.Tensor:
    """Eq. 1.13, written out."""
    x, y, z = state.unbind(-1)
    return torch.stack((-sigma * (x - y), rho * x - y - x * z, x * y - beta * z), dim=-1)


def test_lorenz_step_and_tangent_equations_are_those_of_the_text():
    system, state = Lorenz(28, step_size=1e-4), 5 * random(6, 3)
    velocity = (system.step(state) - state) / 1e-4
    midpoint = (state + system.step(state)) / 2
    assert torch.allclose(velocity, lorenz_field(midpoint, 28), atol=1e-4)
    for point, matrix in zip(state, system.field_jacobian(state), strict=True):
        expected = torch.autograd.functional.jacobian(lambda u: lorenz_field(u, 28), point)
        assert torch.allclose(matrix, expected, atol=1e-12)


def test_lorenz_steps_are_of_the_fourth_order():
    start = torch.tensor([[1.0, 2.0, 20.0]], dtype=torch.float64)
    exact = trajectory(Lorenz(step_size=1 / 4096), start, 2048)[-1]
    errors = [(trajectory(Lorenz(step_size=1 / n), start, n // 2)[-1] - exact).norm() for n in (128, 256)]
    assert 13 < errors[0] / errors[1] < 19


def test_lorenz_stack_treats_each_rho_as_alone():
    stack, start = Lorenz([28.0, 5.0]), random(2, 4, 3)
    states, tangents = stack.push_forward(start, None, random(2, 4, 3, 2))
    for index, rho in enumerate((28.0, 5.0)):
        state, moved = Lorenz(rho).push_forward(start[index], None, random(2, 4, 3, 2)[index])
        assert torch.allclose(states[index], state, atol=1e-13)
        assert torch.allclose(tangents[index], moved, atol=1e-13)
        assert torch.equal(stack.fixed_point()[index], Lorenz(rho).fixed_point())
    assert stack.initial_state(4).shape == (2, 4, 3)


@pytest.mark.parametrize("rho", [0.3, 1.0, 5.0, 16.0, 24.0])
def test_lorenz_fixed_point_does_not_move(rho):
    point = Lorenz(rho).fixed_point()
    assert torch.allclose(Lorenz(rho).step(point), point, atol=1e-12)


def test_lorenz_exponents(one_thread):
    """At rho = 28 those of Sprott (2003); elsewhere the real parts of the eigenvalues; in sum always the trace."""
    rho = [28.0, 16.0, 12.0, 5.0, 0.5]
    system, step_size = Lorenz(rho), 0.01
    start = 1 + torch.rand(5, 64, 3, generator=generator(), dtype=torch.float64)
    spectrum = lyapunov_spectrum(
        system, autonomous_inputs(64, 6000), initial_state=start, warmup=2000, orthonormalize_every=10
    )
    exponents = torch.from_numpy(spectrum["lyapunov_exponent"].values).mean(dim=1) / step_size
    assert torch.allclose(exponents.sum(dim=-1), torch.tensor(-41 / 3, dtype=torch.float64), atol=0.01)
    assert exponents[0, 0].item() == pytest.approx(0.906, abs=0.02)
    assert exponents[0, 1].item() == pytest.approx(0.0, abs=0.02)
    assert torch.allclose(exponents[1:], system.fixed_point_exponents()[1:], atol=0.01)


def test_lorenz_eigenvalues_at_the_origin_are_those_in_closed_form():
    """The block of x and y has trace -(1 + sigma) and determinant sigma (1 - rho)."""
    root = (11**2 - 4 * 10 * 0.5) ** 0.5
    expected = torch.tensor([(-11 + root) / 2, -8 / 3, (-11 - root) / 2], dtype=torch.float64)
    assert torch.allclose(Lorenz(0.5).fixed_point_exponents(), expected, atol=1e-12)


def test_lorenz_fixed_points_lose_their_stability_at_the_hopf_bifurcation():
    """rho = sigma (sigma + beta + 3) / (sigma - beta - 1) = 24.737 (Sparrow 1982)."""
    largest = Lorenz([24.73, 24.75]).fixed_point_exponents()[:, 0]
    assert largest[0] < 0 < largest[1]


def test_lorenz_refuses_what_it_cannot_step():
    with pytest.raises(ValueError, match=r"rho: got shape \(1, 2\), expected a number or a row of them"):
        Lorenz([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"step_size: got 0, expected more than 0 time units"):
        Lorenz(step_size=0)
