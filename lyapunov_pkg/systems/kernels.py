"""Compiled steps of the systems of this package.

The kernel of a system is a function `step(state, parameters, tangents)`. It updates the state (S,) of one trajectory
and its tangent vectors (k, at least S) in place. Entries of a tangent vector after the first S stay zero. Parameters
are (P,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numba.extending import register_jitable
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.systems.flows import DampedOscillator, Flow, HenonHeiles, Lorenz, Lorenz96, Rossler
from lyapunov_pkg.systems.maps import CatMap, Henon, Ikeda, LinearMap, LogisticMap, StandardMap, TowelMap

LARGEST_MATRIX = 16
"""Largest size of a linear map with a kernel. Above it PyTorch's products are faster."""


class SystemKernel(NamedTuple):
    """The kernel of a system with its parameters.

    Attributes:
        step: `step(state, parameters, tangents)`, a module-level function that Numba can compile.
        parameters: (trajectory, P), or (1, P) for all trajectories.
    """

    step: Callable[..., None]
    parameters: Tensor


def kernel_of(system: object, state: Tensor) -> SystemKernel | None:
    """Return the kernel of a system for trajectories from a state (..., S); None if it has none.

    Subclasses have no kernel, because their steps may differ. Parameters may have any shape that broadcasts in PyTorch.
    """
    entry = _KERNELS.get(type(system))
    values = None if entry is None else entry[1](system)
    if entry is None or values is None:
        return None
    try:
        numbers = [torch.as_tensor(value, dtype=torch.float64).detach() for value in values]
        if all(number.ndim == 0 for number in numbers):
            return SystemKernel(entry[0], torch.stack(numbers)[None] if numbers else torch.zeros(1, 0).double())
        rows = torch.stack([number.expand(state.shape[:-1]) for number in numbers], dim=-1)
    except (TypeError, ValueError, RuntimeError):
        return None
    return SystemKernel(entry[0], rows.reshape(-1, len(numbers)))


def henon(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `maps.Henon`."""
    a, b, x = parameters[0], parameters[1], state[0]
    state[0], state[1] = 1 - a * (x * x) + state[1], b * x
    for c in range(len(tangents)):
        vector = tangents[c]
        vector[0], vector[1] = -2 * a * x * vector[0] + vector[1], b * vector[0]


def logistic(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `maps.LogisticMap`."""
    r, x = parameters[0], state[0]
    state[0] = r * x * (1 - x)
    for c in range(len(tangents)):
        vector = tangents[c]
        vector[0] *= r * (1 - 2 * x)


def ikeda(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `maps.Ikeda`."""
    u, x, y = parameters[0], state[0], state[1]
    nearness = 1 / (1 + x * x + y * y)
    angle = 0.4 - 6 * nearness
    cosine, sine = u * math.cos(angle), u * math.sin(angle)
    state[0], state[1] = 1 + cosine * x - sine * y, sine * x + cosine * y
    for c in range(len(tangents)):
        vector = tangents[c]
        turned = 12 * nearness * nearness * (x * vector[0] + y * vector[1])
        first, second = vector[0] - y * turned, vector[1] + x * turned
        vector[0], vector[1] = cosine * first - sine * second, sine * first + cosine * second


def standard_map(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `maps.StandardMap`."""
    k, angle = parameters[0], state[0]
    kicked = state[1] + k * math.sin(angle)
    state[0], state[1] = (angle + kicked) % (2 * math.pi), kicked % (2 * math.pi)
    for c in range(len(tangents)):
        vector = tangents[c]
        vector[1] += k * math.cos(angle) * vector[0]
        vector[0] += vector[1]


def cat_map(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `maps.CatMap`."""
    x, y = state[0], state[1]
    state[0], state[1] = (2 * x + y) % 1.0, (x + y) % 1.0
    for c in range(len(tangents)):
        vector = tangents[c]
        vector[1] += vector[0]
        vector[0] += vector[1]


def towel_map(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `maps.TowelMap`."""
    x, y, z = state[0], state[1], state[2]
    by_y, by_z = 1 - 2 * z, -2 * (y + 0.35)
    shifted, fold = (y + 0.35) * by_y, 1 - 1.9 * x
    state[0] = 3.8 * x * (1 - x) - 0.05 * shifted
    state[1] = 0.1 * (shifted - 1) * fold
    state[2] = 3.78 * z * (1 - z) + 0.2 * y
    for c in range(len(tangents)):
        vector = tangents[c]
        by_shift = by_y * vector[1] + by_z * vector[2]
        third = 0.2 * vector[1] + 3.78 * by_y * vector[2]
        vector[1] = -0.19 * (shifted - 1) * vector[0] + 0.1 * fold * by_shift
        vector[0] = 3.8 * (1 - 2 * x) * vector[0] - 0.05 * by_shift
        vector[2] = third


def linear_map(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `maps.LinearMap`."""
    n = len(state)
    before = np.empty(n, state.dtype)
    _apply_matrix(parameters, state, before)
    for c in range(len(tangents)):
        vector = tangents[c]
        _apply_matrix(parameters, vector, before)


@register_jitable
def _apply_matrix(matrix: NDArray[Any], vector: NDArray[Any], before: NDArray[Any]) -> None:
    n = len(before)
    before[:] = vector[:n]
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += matrix[i * n + j] * before[j]
        vector[i] = total


@register_jitable
def runge_kutta(
    field: Callable[..., None],
    derivative: Callable[..., None],
    state: NDArray[Any],
    parameters: NDArray[Any],
    tangents: NDArray[Any],
) -> None:
    """Take one step of the classical Runge-Kutta method, with the state and the tangent vectors.

    Args:
        field: `field(state, parameters, velocity)` writes the velocity.
        derivative: `derivative(state, parameters, vector, velocity)` writes the field's Jacobian times a vector.
        state: (S,).
        parameters: the step size, followed by the parameters of the field.
        tangents: (k, at least S).
    """
    n, step_size, of_field = len(state), parameters[0], parameters[1:]
    points, velocities = np.empty((4, n)), np.empty((4, n))
    point = np.empty(n)
    for stage in range(4):
        _shift(state, velocities, stage, step_size, points[stage])
        field(points[stage], of_field, velocities[stage])
    _add_up(state, velocities, step_size)
    for c in range(len(tangents)):
        vector = tangents[c]
        for stage in range(4):
            _shift(vector, velocities, stage, step_size, point)
            derivative(points[stage], of_field, point, velocities[stage])
        _add_up(vector, velocities, step_size)


@register_jitable
def _shift(start: NDArray[Any], velocities: NDArray[Any], stage: int, step_size: float, point: NDArray[Any]) -> None:
    """Write the point at which a stage evaluates the field."""
    shift = 0.0 if stage == 0 else step_size if stage == 3 else step_size / 2
    for i in range(len(point)):
        point[i] = start[i] if stage == 0 else start[i] + shift * velocities[stage - 1, i]


@register_jitable
def _add_up(start: NDArray[Any], velocities: NDArray[Any], step_size: float) -> None:
    for i in range(velocities.shape[1]):
        rate = velocities[0, i] + 2 * (velocities[1, i] + velocities[2, i]) + velocities[3, i]
        start[i] += step_size / 6 * rate


@register_jitable
def _lorenz_field(state: NDArray[Any], parameters: NDArray[Any], velocity: NDArray[Any]) -> None:
    rho, sigma, beta = parameters[0], parameters[1], parameters[2]
    x, y, z = state[0], state[1], state[2]
    velocity[0], velocity[1], velocity[2] = sigma * (y - x), rho * x - y - x * z, x * y - beta * z


@register_jitable
def _lorenz_derivative(
    state: NDArray[Any], parameters: NDArray[Any], vector: NDArray[Any], velocity: NDArray[Any]
) -> None:
    rho, sigma, beta = parameters[0], parameters[1], parameters[2]
    velocity[0] = sigma * (vector[1] - vector[0])
    velocity[1] = (rho - state[2]) * vector[0] - vector[1] - state[0] * vector[2]
    velocity[2] = state[1] * vector[0] + state[0] * vector[1] - beta * vector[2]


def lorenz(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `flows.Lorenz`."""
    runge_kutta(_lorenz_field, _lorenz_derivative, state, parameters, tangents)


@register_jitable
def _rossler_field(state: NDArray[Any], parameters: NDArray[Any], velocity: NDArray[Any]) -> None:
    x, y, z = state[0], state[1], state[2]
    velocity[0], velocity[1] = -y - z, x + parameters[0] * y
    velocity[2] = parameters[1] + z * (x - parameters[2])


@register_jitable
def _rossler_derivative(
    state: NDArray[Any], parameters: NDArray[Any], vector: NDArray[Any], velocity: NDArray[Any]
) -> None:
    velocity[0], velocity[1] = -vector[1] - vector[2], vector[0] + parameters[0] * vector[1]
    velocity[2] = state[2] * vector[0] + (state[0] - parameters[2]) * vector[2]


def rossler(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `flows.Rossler`."""
    runge_kutta(_rossler_field, _rossler_derivative, state, parameters, tangents)


@register_jitable
def _lorenz_96_field(state: NDArray[Any], parameters: NDArray[Any], velocity: NDArray[Any]) -> None:
    n = len(state)
    for i in range(n):
        velocity[i] = (state[(i + 1) % n] - state[i - 2]) * state[i - 1] - state[i] + parameters[0]


@register_jitable
def _lorenz_96_derivative(
    state: NDArray[Any], parameters: NDArray[Any], vector: NDArray[Any], velocity: NDArray[Any]
) -> None:
    n = len(state)
    for i in range(n):
        after = (i + 1) % n
        by_advection = (vector[after] - vector[i - 2]) * state[i - 1] + (state[after] - state[i - 2]) * vector[i - 1]
        velocity[i] = by_advection - vector[i]


def lorenz_96(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `flows.Lorenz96`."""
    runge_kutta(_lorenz_96_field, _lorenz_96_derivative, state, parameters, tangents)


@register_jitable
def _oscillator_field(state: NDArray[Any], parameters: NDArray[Any], velocity: NDArray[Any]) -> None:
    omega, gamma = parameters[0], parameters[1]
    velocity[0], velocity[1] = state[1], -omega * omega * state[0] - 2 * gamma * state[1]


@register_jitable
def _oscillator_derivative(
    state: NDArray[Any], parameters: NDArray[Any], vector: NDArray[Any], velocity: NDArray[Any]
) -> None:
    _oscillator_field(vector, parameters, velocity)


def damped_oscillator(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `flows.DampedOscillator`."""
    runge_kutta(_oscillator_field, _oscillator_derivative, state, parameters, tangents)


@register_jitable
def _henon_heiles_field(state: NDArray[Any], parameters: NDArray[Any], velocity: NDArray[Any]) -> None:
    x, y = state[0], state[1]
    velocity[0], velocity[1] = state[2], state[3]
    velocity[2], velocity[3] = -x - 2 * x * y, -y - x * x + y * y


@register_jitable
def _henon_heiles_derivative(
    state: NDArray[Any], parameters: NDArray[Any], vector: NDArray[Any], velocity: NDArray[Any]
) -> None:
    x, y = state[0], state[1]
    velocity[0], velocity[1] = vector[2], vector[3]
    velocity[2] = -(1 + 2 * y) * vector[0] - 2 * x * vector[1]
    velocity[3] = -2 * x * vector[0] + (2 * y - 1) * vector[1]


def henon_heiles(state: NDArray[Any], parameters: NDArray[Any], tangents: NDArray[Any]) -> None:
    """See `flows.HenonHeiles`."""
    runge_kutta(_henon_heiles_field, _henon_heiles_derivative, state, parameters, tangents)


def _of_flow(*names: str) -> Callable[..., list[Tensor | float] | None]:
    def values(flow: Flow) -> list[Tensor | float] | None:
        return [flow.step_size, *(flow.parameters[name] for name in names)] if flow.method == "rk4" else None

    return values


def _of_lorenz(system: Lorenz) -> list[Tensor | float]:
    return [system.step_size, system.matrix[..., 1, 0], system.matrix[..., 0, 1], -system.matrix[..., 2, 2]]


def _of_linear_map(system: LinearMap) -> list[Tensor | float] | None:
    return list(system.matrix.flatten().unbind()) if system.state_size <= LARGEST_MATRIX else None


_KERNELS: dict[type, tuple[Callable[..., None], Callable[..., list[Tensor | float] | None]]] = {
    CatMap: (cat_map, lambda system: []),
    DampedOscillator: (damped_oscillator, _of_flow("omega", "gamma")),
    Henon: (henon, lambda system: [system.a, system.b]),
    HenonHeiles: (henon_heiles, _of_flow()),
    Ikeda: (ikeda, lambda system: [system.u]),
    LinearMap: (linear_map, _of_linear_map),
    LogisticMap: (logistic, lambda system: [system.r]),
    Lorenz: (lorenz, _of_lorenz),
    Lorenz96: (lorenz_96, _of_flow("forcing")),
    Rossler: (rossler, _of_flow("a", "b", "c")),
    StandardMap: (standard_map, lambda system: [system.k]),
    TowelMap: (towel_map, lambda system: []),
}
"""Step and parameters of each system."""
