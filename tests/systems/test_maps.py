from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lyapunov_pkg import lyapunov_spectrum
from lyapunov_pkg.systems import (
    CatMap,
    Henon,
    Ikeda,
    LinearMap,
    LogisticMap,
    Lorenz,
    StandardMap,
    TowelMap,
    autonomous_inputs,
    orthogonal_map,
    trajectory,
)


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
        LogisticMap(),
        Ikeda(),
        StandardMap(),
        CatMap(),
        TowelMap(),
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
    """Return the Lorenz field of eq. 1.13."""
    x, y, z = state.unbind(-1)
    return torch.stack((-sigma * (x - y), rho * x - y - x * z, x * y - beta * z), dim=-1)


def test_lorenz_step_and_tangent_equations_follow_the_text():
    system, state = Lorenz(28, step_size=1e-4), 5 * random(6, 3)
    velocity = (system.step(state) - state) / 1e-4
    midpoint = (state + system.step(state)) / 2
    assert torch.allclose(velocity, lorenz_field(midpoint, 28), atol=1e-4)
    for point, matrix in zip(state, system.field_jacobian(state), strict=True):
        expected = torch.autograd.functional.jacobian(lambda u: lorenz_field(u, 28), point)
        assert torch.allclose(matrix, expected, atol=1e-12)


def test_lorenz_steps_have_fourth_order():
    start = torch.tensor([[1.0, 2.0, 20.0]], dtype=torch.float64)
    exact = trajectory(Lorenz(step_size=1 / 4096), start, 2048)[-1]
    errors = [(trajectory(Lorenz(step_size=1 / n), start, n // 2)[-1] - exact).norm() for n in (128, 256)]
    assert 13 < errors[0] / errors[1] < 19


def test_a_lorenz_stack_agrees_with_single_systems():
    stack, start = Lorenz([28.0, 5.0]), random(2, 4, 3)
    states, tangents = stack.push_forward(start, None, random(2, 4, 3, 2))
    for index, rho in enumerate((28.0, 5.0)):
        state, moved = Lorenz(rho).push_forward(start[index], None, random(2, 4, 3, 2)[index])
        assert torch.allclose(states[index], state, atol=1e-13)
        assert torch.allclose(tangents[index], moved, atol=1e-13)
        assert torch.equal(stack.fixed_point()[index], Lorenz(rho).fixed_point())
    assert stack.initial_state(4).shape == (2, 4, 3)


@pytest.mark.parametrize("rho", [0.3, 1.0, 5.0, 16.0, 24.0])
def test_lorenz_fixed_point_is_stationary(rho):
    point = Lorenz(rho).fixed_point()
    assert torch.allclose(Lorenz(rho).step(point), point, atol=1e-12)


def test_lorenz_exponents():
    """The exponents agree with Sprott (2003) at rho = 28 and with the eigenvalues at stable fixed points.

    Their sum is always the trace.
    """
    rho = [28.0, 16.0, 12.0, 5.0, 0.5]
    system = Lorenz(rho)
    start = 1 + torch.rand(5, 64, 3, generator=generator(), dtype=torch.float64)
    spectrum = lyapunov_spectrum(
        system, autonomous_inputs(64, 6000), initial_state=start, warmup=2000, orthonormalize_every=10
    )
    exponents = torch.from_numpy(spectrum["lyapunov_exponent"].values).mean(dim=1)
    assert torch.allclose(exponents.sum(dim=-1), torch.tensor(-41 / 3, dtype=torch.float64), atol=0.01)
    assert exponents[0, 0].item() == pytest.approx(0.906, abs=0.02)
    assert exponents[0, 1].item() == pytest.approx(0.0, abs=0.02)
    assert torch.allclose(exponents[1:], system.fixed_point_exponents()[1:], atol=0.01)


def test_lorenz_eigenvalues_at_the_origin_agree_with_the_closed_form():
    """The block of x and y has trace -(1 + sigma) and determinant sigma (1 - rho)."""
    root = (11**2 - 4 * 10 * 0.5) ** 0.5
    expected = torch.tensor([(-11 + root) / 2, -8 / 3, (-11 - root) / 2], dtype=torch.float64)
    assert torch.allclose(Lorenz(0.5).fixed_point_exponents(), expected, atol=1e-12)


def test_lorenz_fixed_points_lose_their_stability_at_the_hopf_bifurcation():
    """The bifurcation is at rho = sigma (sigma + beta + 3) / (sigma - beta - 1) = 24.737 (Sparrow 1982)."""
    largest = Lorenz([24.73, 24.75]).fixed_point_exponents()[:, 0]
    assert largest[0] < 0 < largest[1]


def test_lorenz_refuses_invalid_parameters():
    with pytest.raises(ValueError, match=r"rho: got shape \(1, 2\), expected a number, or several numbers"):
        Lorenz([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"step_size: got 0, expected more than 0 time units"):
        Lorenz(step_size=0)


KNOWN = {
    "logistic": (LogisticMap(), [math.log(2)], 0.005),
    "Hénon": (Henon(), [0.41922, -1.62319], 0.01),
    "Ikeda": (Ikeda(), [0.5076, -0.7183], 0.02),
    "towel": (TowelMap(), [0.4305, 0.3774, -3.2996], 0.02),
    "cat": (CatMap(), [0.96242, -0.96242], 1e-4),
    "standard": (StandardMap(20.0), [math.log(10), -math.log(10)], 0.03),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_exponents(name):
    """Sources: Sprott (2003), appendix A; ChaosTools.jl (towel); closed forms (logistic, cat); Chirikov (1979)."""
    system, expected, tolerance = KNOWN[name]
    starts = system.initial_state(100)
    starts = starts + 0.01 * torch.rand(starts.shape, generator=generator(), dtype=torch.float64)
    settings = {"n_steps": 700, "initial_state": starts, "warmup": 100}
    spectrum = lyapunov_spectrum(system, **settings)["lyapunov_exponent"]
    np.testing.assert_allclose(spectrum.mean("sequence"), expected, atol=tolerance)


@pytest.mark.parametrize(
    ("system", "expected"),
    [(Henon(), math.log(0.3)), (Ikeda(0.8), 2 * math.log(0.8)), (StandardMap(), 0.0), (CatMap(), 0.0)],
)
def test_the_sum_of_exponents_is_the_contraction_rate_of_volumes(system, expected):
    spectrum = lyapunov_spectrum(system, n_steps=150)["lyapunov_exponent"]
    np.testing.assert_allclose(spectrum.sum("exponent"), expected, atol=1e-12)


@pytest.mark.parametrize("k", [0.5, 6.0])
def test_area_preserving_maps_have_exponents_of_opposite_sign(k):
    spectrum = lyapunov_spectrum(StandardMap(k), n_steps=150)["lyapunov_exponent"]
    np.testing.assert_allclose(spectrum[0, 0], -spectrum[0, 1], atol=1e-12)


def test_the_largest_exponent_is_found_although_the_first_axes_are_decoupled():
    system = LinearMap(np.diag([0.8, 1.1, 1.3]))
    for n_exponents, expected in ((1, [1.3]), (2, [1.3, 1.1])):
        spectrum = lyapunov_spectrum(system, n_steps=200, n_exponents=n_exponents, warmup=100)["lyapunov_exponent"]
        np.testing.assert_allclose(spectrum[0], np.log(expected), atol=1e-7)
