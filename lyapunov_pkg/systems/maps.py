"""Maps with known Lyapunov exponents and with Jacobians in closed form.

They test the computation of spectra. They also show the method that it needs: `push_forward(state, x, tangents)`.
States are (..., state_size), tangents (..., state_size, k). An autonomous map ignores its input. Call
`lyapunov_spectrum` with `n_steps`.

Values attributed to Sprott are from Sprott, J. C.: Chaos and Time-Series Analysis. Oxford University Press (2003),
appendix A.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor


class AutonomousMap(ABC):
    """A map x -> f(x) with a Jacobian in closed form. It computes in the dtype and on the device of the state."""

    state_size: int
    input_size = 0

    def initial_state(self, n_sequences: int) -> Tensor:
        """Return the origin, once per sequence: (n_sequences, state_size), float64."""
        return torch.zeros(n_sequences, self.state_size, dtype=torch.float64)

    @abstractmethod
    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state, (..., state_size)."""

    @abstractmethod
    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the derivative of the step, (..., state_size, state_size) or broadcastable to it."""

    def push_forward(self, state: Tensor, x: Tensor | None, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next state, and the Jacobian at `state` times `tangents`, (..., state_size, k)."""
        return self.step(state, x), self.jacobian(state, x) @ tangents


class LinearMap(AutonomousMap):
    """The map x -> A x. Its exponents are the logarithms of the moduli of A's eigenvalues.

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
        """Return A x."""
        return state @ self.jacobian(state).T

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return A, (n, n)."""
        return self.matrix.to(state)


class Henon(AutonomousMap):
    """The Hénon map (x, y) -> (1 - a x^2 + y, b x) (Hénon 1976).

    At a = 1.4 and b = 0.3 the exponents are 0.419 and -1.623 (Sprott 2003, appendix A). Their sum is log |b| for every
    a, because the Jacobian's determinant is -b everywhere.

    References:
        Hénon, M.: A two-dimensional mapping with a strange attractor. Communications in Mathematical Physics 50, 69-77
        (1976).
    """

    state_size = 2

    def __init__(self, a: float = 1.4, b: float = 0.3) -> None:
        self.a = a
        self.b = b

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return (1 - a x^2 + y, b x)."""
        first, second = state.unbind(-1)
        return torch.stack((1 - self.a * first**2 + second, self.b * first), dim=-1)

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return [[-2 a x, 1], [b, 0]], (..., 2, 2)."""
        first = state[..., 0]
        one = torch.ones_like(first)
        rows = (torch.stack((-2 * self.a * first, one), -1), torch.stack((self.b * one, 0 * one), -1))
        return torch.stack(rows, dim=-2)


class LogisticMap(AutonomousMap):
    """The logistic map x -> r x (1 - x) on [0, 1] (May 1976).

    At r = 4 the exponent is ln 2 = 0.693, because the map is conjugate to the tent map.

    References:
        May, R. M.: Simple mathematical models with very complicated dynamics. Nature 261, 459-467 (1976).
    """

    state_size = 1

    def __init__(self, r: float = 4.0) -> None:
        self.r = r

    def initial_state(self, n_sequences: int) -> Tensor:
        """Return 0.3, (n_sequences, 1)."""
        return torch.full((n_sequences, 1), 0.3, dtype=torch.float64)

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return r x (1 - x)."""
        return self.r * state * (1 - state)

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return r (1 - 2 x), (..., 1, 1)."""
        return (self.r * (1 - 2 * state))[..., None]


class Ikeda(AutonomousMap):
    """The Ikeda map of a plane (Ikeda 1979).

    (x, y) -> (1 + u (x cos t - y sin t), u (x sin t + y cos t)) with t = 0.4 - 6 / (1 + x^2 + y^2).

    The sum of the exponents is 2 ln u for every trajectory, because the map changes areas by the factor u^2. At u = 0.9
    the exponents are 0.508 and -0.718 (Sprott 2003, appendix A).

    References:
        Ikeda, K.: Multiple-valued stationary state and its instability of the transmitted light by a ring cavity
        system. Optics Communications 30, 257-261 (1979).
    """

    state_size = 2

    def __init__(self, u: float = 0.9) -> None:
        self.u = u

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the state after a rotation by t, a contraction by u, and a shift by (1, 0)."""
        turned = self._turn(state) @ state[..., None]
        return turned[..., 0] + torch.tensor([1.0, 0.0]).to(state)

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return u R (I + 6 / (1 + |s|^2)^2 * 2 s^perp s^T), with the rotation R and s^perp = (-y, x): (..., 2, 2)."""
        across = torch.stack((-state[..., 1], state[..., 0]), dim=-1)
        rate = 12 / (1 + state.square().sum(-1))[..., None, None].square()
        by_angle = rate * across[..., :, None] * state[..., None, :]
        return self._turn(state) @ (torch.eye(2).to(state) + by_angle)

    def _turn(self, state: Tensor) -> Tensor:
        angle = 0.4 - 6 / (1 + state.square().sum(-1))
        cosine, sine = self.u * angle.cos(), self.u * angle.sin()
        return _matrix([[cosine, -sine], [sine, cosine]])


class StandardMap(AutonomousMap):
    """The standard map (angle, momentum) -> (angle + p', p') modulo 2 pi (Chirikov 1979).

    Here p' = momentum + K sin(angle).

    The map preserves areas, so that the two exponents are of opposite sign. For large K the positive one is about ln(K
    / 2) in the chaotic sea.

    References:
        Chirikov, B. V.: A universal instability of many-dimensional oscillator systems. Physics Reports 52, 263-379
        (1979).
    """

    state_size = 2

    def __init__(self, k: float = 6.0) -> None:
        self.k = k

    def initial_state(self, n_sequences: int) -> Tensor:
        """Return (2, 1), because the origin is a fixed point: (n_sequences, 2)."""
        return torch.tensor([2.0, 1.0], dtype=torch.float64).repeat(n_sequences, 1)

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next angle and momentum, from 0 to 2 pi."""
        angle, momentum = state.unbind(-1)
        kicked = momentum + self.k * angle.sin()
        return torch.stack((angle + kicked, kicked), dim=-1).remainder(2 * torch.pi)

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return [[1 + K cos(angle), 1], [K cos(angle), 1]], (..., 2, 2)."""
        kick = self.k * state[..., 0].cos()
        one = torch.ones_like(kick)
        return _matrix([[one + kick, one], [kick, one]])


class CatMap(AutonomousMap):
    """The cat map (x, y) -> (2 x + y, x + y) modulo 1 (Arnold and Avez 1968).

    The exponents are exactly ln((3 + sqrt 5) / 2) = 0.9624 and its negative.

    References:
        Arnold, V. I., Avez, A.: Ergodic Problems of Classical Mechanics. Benjamin (1968).
    """

    state_size = 2

    def initial_state(self, n_sequences: int) -> Tensor:
        """Return (0.1, 0.3), (n_sequences, 2)."""
        return torch.tensor([0.1, 0.3], dtype=torch.float64).repeat(n_sequences, 1)

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next point of the unit square."""
        return (state @ self.jacobian(state).T).remainder(1)

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return [[2, 1], [1, 1]]."""
        return torch.tensor([[2.0, 1.0], [1.0, 1.0]]).to(state)


class TowelMap(AutonomousMap):
    """The folded towel map, which stretches in two directions (Rössler 1979).

    x' = 3.8 x (1 - x) - 0.05 (y + 0.35) (1 - 2 z), y' = 0.1 ((y + 0.35) (1 - 2 z) - 1) (1 - 1.9 x),
    z' = 3.78 z (1 - z) + 0.2 y. The exponents are 0.4305, 0.3774 and -3.2996 (documentation of ChaosTools.jl,
    `lyapunovspectrum`).

    References:
        Rössler, O. E.: An equation for hyperchaos. Physics Letters A 71, 155-157 (1979).
    """

    state_size = 3

    def initial_state(self, n_sequences: int) -> Tensor:
        """Return (0.085, -0.121, 0.075), which is near the attractor: (n_sequences, 3)."""
        return torch.tensor([0.085, -0.121, 0.075], dtype=torch.float64).repeat(n_sequences, 1)

    def step(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state."""
        first, second, third = state.unbind(-1)
        shifted = (second + 0.35) * (1 - 2 * third)
        return torch.stack(
            (
                3.8 * first * (1 - first) - 0.05 * shifted,
                0.1 * (shifted - 1) * (1 - 1.9 * first),
                3.78 * third * (1 - third) + 0.2 * second,
            ),
            dim=-1,
        )

    def jacobian(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the derivative of the step, (..., 3, 3)."""
        first, second, third = state.unbind(-1)
        by_second, by_third = 1 - 2 * third, -2 * (second + 0.35)
        fold, zero = 1 - 1.9 * first, torch.zeros_like(first)
        shifted = (second + 0.35) * (1 - 2 * third)
        return _matrix(
            [
                [3.8 * (1 - 2 * first), -0.05 * by_second, -0.05 * by_third],
                [-0.19 * (shifted - 1), 0.1 * fold * by_second, 0.1 * fold * by_third],
                [zero, zero + 0.2, 3.78 * (1 - 2 * third)],
            ]
        )


def _matrix(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return entries (...) stacked to matrices (..., row, column)."""
    return torch.stack([torch.stack(list(row), dim=-1) for row in rows], dim=-2)


def orthogonal_map(size: int, generator: torch.Generator) -> LinearMap:
    """Return a random orthogonal linear map in `size` dimensions, float64. All its exponents are zero."""
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return LinearMap(q)


@torch.no_grad()
def trajectory(system: AutonomousMap, initial_state: Tensor, n_steps: int) -> Tensor:
    """Return the states before the first step and after each step, (n_steps + 1, ..., state_size)."""
    states = [initial_state]
    for _ in range(n_steps):
        states.append(system.step(states[-1]))
    return torch.stack(states)


def autonomous_inputs(n_sequences: int, n_steps: int) -> Tensor:
    """Return inputs without features, (n_sequences, n_steps, 0), float64, for an autonomous map."""
    return torch.empty(n_sequences, n_steps, 0, dtype=torch.float64)
