"""Autonomous reference systems whose Lyapunov exponents are known, with the interface of a network.

They check the computation of spectra and show what it needs of a system: `push_forward(state, x, tangents)`. States are
(..., state_size), tangents (..., state_size, k). An autonomous map ignores its input, whose length alone says how many
steps to take: see `autonomous_inputs`. A flow is the map that one step of its integration makes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from numpy.typing import ArrayLike
from torch import Tensor


class AutonomousMap(ABC):
    """A map x -> f(x) with its Jacobian in closed form. It computes in the dtype and on the device of the state."""

    state_size: int
    input_size = 0

    def initial_state(self, n_sequences: int) -> Tensor:
        """The origin, once per sequence: (n_sequences, state_size), float64."""
        return torch.zeros(n_sequences, self.state_size, dtype=torch.float64)

    @abstractmethod
    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """The next state, (..., state_size)."""

    @abstractmethod
    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """The derivative of the next state by this one, (..., state_size, state_size) or broadcastable to it."""

    def push_forward(self, state: Tensor, x: Tensor | None, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """The next state, and the Jacobian at this one applied to `tangents`, (..., state_size, k)."""
        return self.step(state, x), self.jacobian(state, x) @ tangents


class LinearMap(AutonomousMap):
    """x -> A x. Its exponents are the logarithms of the moduli of A's eigenvalues.

    Args:
        matrix: A, (n, n), tensor or array.

    Raises:
        ValueError: A is not a square matrix.
    """

    def __init__(self, matrix: ArrayLike) -> None:
        matrix = torch.as_tensor(matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"matrix: got shape {tuple(matrix.shape)}, expected a square matrix (n, n)")
        self.matrix = matrix
        self.state_size = matrix.shape[0]

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """A x."""
        return state @ self.jacobian(state).T

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """A, (n, n)."""
        return self.matrix.to(state)


class Henon(AutonomousMap):
    """(x, y) -> (1 - a x^2 + y, b x) (Henon 1976).

    At a = 1.4 and b = 0.3 the exponents are 0.419 and -1.623 (Sprott 2003, appendix A). Their sum is log |b| for every
    a, since the Jacobian's determinant is -b everywhere.
    """

    state_size = 2

    def __init__(self, a: float = 1.4, b: float = 0.3) -> None:
        self.a = a
        self.b = b

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """(1 - a x^2 + y, b x)."""
        first, second = state.unbind(-1)
        return torch.stack((1 - self.a * first**2 + second, self.b * first), dim=-1)

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """[[-2 a x, 1], [b, 0]], (..., 2, 2)."""
        first = state[..., 0]
        one = torch.ones_like(first)
        rows = (torch.stack((-2 * self.a * first, one), -1), torch.stack((self.b * one, 0 * one), -1))
        return torch.stack(rows, dim=-2)


class Lorenz(AutonomousMap):
    """One step of the Lorenz flow and of its tangent equations (eq. 1.13, 1.14), by the classical Runge-Kutta method.

    dx/dt = sigma (y - x), dy/dt = rho x - y - x z, dz/dt = x y - beta z. The tangent vectors take the same Runge-Kutta
    step as the state, which makes their map the exact derivative of the state's. Its error is of the fourth order in
    `step_size`: at 0.01 the sum of the exponents is -(1 + sigma + beta), as it is for the flow, to 1e-4.

    As of any map, exponents are computed in nats per step; divided by `step_size` they are in nats per time unit. At
    sigma = 10, beta = 8/3 and rho = 28 they are 0.906, 0 and -14.572 (Sprott 2003, appendix A). Where the trajectory
    ends on a fixed point, they are the real parts of the eigenvalues there, `fixed_point_exponents`.

    Args:
        rho: Rayleigh number; one number, or several (V,) for a stack of systems with states (V, sequence, 3).
        sigma: Prandtl number.
        beta: aspect ratio of the convection cells.
        step_size: time units of a step; exponents need |eigenvalues| * step_size well below 2.8, where the method
            becomes unstable. For the values above 0.01 is ample.

    Raises:
        ValueError: `rho` has more than one axis, or `step_size` is not positive.
    """

    state_size = 3

    def __init__(
        self, rho: ArrayLike = 28.0, sigma: float = 10.0, beta: float = 8 / 3, *, step_size: float = 0.01
    ) -> None:
        self.rho = torch.as_tensor(rho, dtype=torch.float64)
        if self.rho.ndim > 1:
            raise ValueError(f"rho: got shape {tuple(self.rho.shape)}, expected a number or a row of them (V,)")
        if not step_size > 0:
            raise ValueError(f"step_size: got {step_size}, expected more than 0 time units")
        self.beta = beta
        self.step_size = step_size
        # The field is A u + x B u; here A lies above B, so that one product does for both.
        matrix = torch.zeros(*self.rho.shape, 6, 3, dtype=torch.float64)
        matrix[..., 0, 0], matrix[..., 0, 1] = -sigma, sigma
        matrix[..., 1, 0], matrix[..., 1, 1] = self.rho, -1
        matrix[..., 2, 2] = -beta
        matrix[..., 4, 2], matrix[..., 5, 1] = -1, 1
        self.matrix = matrix[:, None] if self.rho.ndim else matrix

    def initial_state(self, n_sequences: int) -> Tensor:
        """(1, 1, 1), since the origin is a fixed point: (n_sequences, 3), or (V, n_sequences, 3) of a stack."""
        return torch.ones(*self.rho.shape, n_sequences, 3, dtype=torch.float64)

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """The state `step_size` time units later."""
        return self._advance(state[..., None])[..., 0]

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """The derivative of the step, (..., 3, 3)."""
        return self.push_forward(state, x, torch.eye(3).to(state).expand(*state.shape, 3))[1]

    def push_forward(self, state: Tensor, x: Tensor | None, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """State and tangent vectors (..., 3, k) `step_size` time units later."""
        columns = self._advance(torch.cat((state[..., None], tangents), dim=-1))
        return columns[..., 0], columns[..., 1:]

    def field_jacobian(self, state: Tensor) -> Tensor:
        """The matrix of the tangent equations (eq. 1.14), per time unit: (..., 3, 3)."""
        identity = torch.eye(3).to(state).expand(*state.shape, 3)
        columns = torch.cat((state[..., None], identity), dim=-1)
        return self._field(columns, self.matrix.to(state))[..., 1:]

    def fixed_point(self) -> Tensor:
        """The origin for rho up to 1, beyond it C+ = (r, r, rho - 1), r^2 = beta (rho - 1): (3,), or (V, 3) of a stack.

        C+ and its mirror image (-r, -r, rho - 1) have the same eigenvalues.
        """
        height = (self.rho - 1).clamp(min=0)
        radius = (self.beta * height).sqrt()
        return torch.stack((radius, radius, height), dim=-1)

    def fixed_point_exponents(self) -> Tensor:
        """Real parts of the eigenvalues at `fixed_point`, decreasing, nats per time unit: (3,), or (V, 3) of a stack.

        They are the Lyapunov exponents of all trajectories that end there.
        """
        # One sequence, for the axis that a stack has there.
        jacobian = self.field_jacobian(self.fixed_point().unsqueeze(-2)).squeeze(-3)
        return torch.linalg.eigvals(jacobian).real.sort(dim=-1, descending=True).values

    def _advance(self, columns: Tensor) -> Tensor:
        """A Runge-Kutta step of columns (..., 3, 1 + k): the state, then the tangent vectors."""
        matrix, step_size = self.matrix.to(columns), self.step_size
        first = self._field(columns, matrix)
        second = self._field(torch.add(columns, first, alpha=step_size / 2), matrix)
        third = self._field(torch.add(columns, second, alpha=step_size / 2), matrix)
        fourth = self._field(torch.add(columns, third, alpha=step_size), matrix)
        return torch.add(columns, first + 2 * (second + third) + fourth, alpha=step_size / 6)

    @staticmethod
    def _field(columns: Tensor, matrix: Tensor) -> Tensor:
        """Velocity of the state u, A u + x B u, and of each tangent vector e, A e + x B e + e_x B u."""
        linear, by_x = (matrix @ columns).chunk(2, dim=-2)
        velocity = linear + columns[..., :1, :1] * by_x
        velocity[..., 1:] += columns[..., :1, 1:] * by_x[..., :1]
        return velocity


def orthogonal_map(size: int, generator: torch.Generator) -> LinearMap:
    """A random orthogonal linear map of `size` dimensions, float64: all of its exponents are zero."""
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return LinearMap(q)


@torch.no_grad()
def trajectory(system: AutonomousMap, initial_state: Tensor, n_steps: int) -> Tensor:
    """The states before the first step and after each one, (n_steps + 1, ..., state_size)."""
    states = [initial_state]
    for _ in range(n_steps):
        states.append(system.step(states[-1]))
    return torch.stack(states)


def autonomous_inputs(n_sequences: int, n_steps: int) -> Tensor:
    """Inputs without features, (n_sequences, n_steps, 0), float64: they say how often an autonomous map is applied."""
    return torch.empty(n_sequences, n_steps, 0, dtype=torch.float64)
