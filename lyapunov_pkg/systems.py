"""Autonomous reference maps whose Lyapunov exponents are known, with the interface of a network.

They check the computation of spectra and show what it needs of a system: `push_forward(state, x, tangents)`. States are
(..., state_size), tangents (..., state_size, k). An autonomous map ignores its input, whose length alone says how many
steps to take: see `autonomous_inputs`.
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


def orthogonal_map(size: int, generator: torch.Generator) -> LinearMap:
    """A random orthogonal linear map of `size` dimensions, float64: all of its exponents are zero."""
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return LinearMap(q)


def autonomous_inputs(n_sequences: int, n_steps: int) -> Tensor:
    """Inputs without features, (n_sequences, n_steps, 0), float64: they say how often an autonomous map is applied."""
    return torch.empty(n_sequences, n_steps, 0, dtype=torch.float64)
