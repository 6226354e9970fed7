"""Coupled oscillatory recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Argument, Cell, Linearization, Params, affine, tanh_slope


@dataclass(frozen=True)
class CoRNN(Cell):
    """Coupled oscillatory RNN (dissertation, appendix C of chapter 3, "CoRNN"; Rusch and Mishra 2021).

        z_t = z_{t-1} + dt (tanh(W_y y_{t-1} + W_z z_{t-1} + V u_t + b) - gamma y_{t-1} - epsilon z_{t-1})
        y_t = y_{t-1} + dt z_t

    The state is (y, z), y the hidden units. V is `input_weight`; `recurrent_weight` is (W_y, W_z), side by side. The
    dissertation's Jacobian is dy_t/dy_{t-1} = (1 - dt² gamma) I + dt² diag(sech²) W_y, the reduced one here.
    """

    name: ClassVar[str] = "cornn"
    states: ClassVar[int] = 2
    # Both terms of the one argument of tanh, W_y y with the drive and W_z z.
    arguments: ClassVar[tuple[Argument, ...]] = (Argument(source=0, drive=0), Argument(source=1, drive=None))

    dt: float = 0.042
    """Time step."""
    gamma: float = 2.7
    """Squared frequency of an uncoupled oscillator."""
    epsilon: float = 4.7
    """Damping."""

    def parameter_shapes(self) -> dict[str, tuple[int, int]]:
        """See `Cell.parameter_shapes`."""
        size = self.hidden_size
        return {"input_weight": (size, self.input_size), "recurrent_weight": (size, 2 * size)}

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        return self._integrate(state, affine(drive, state, prepared["recurrent_weight"]))

    def argument_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.argument_weights`."""
        return prepared["recurrent_weight"].chunk(2, dim=-1)

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """See `Cell.linearize`."""
        a = affine(drive, state, prepared["recurrent_weight"])
        of_z = self.dt * tanh_slope(a)
        of_y = self.dt * of_z
        slopes = {(1, 0): of_z, (1, 1): of_z, (0, 0): of_y, (0, 1): of_y}
        z_by_y, z_by_z = -self.dt * self.gamma, 1 - self.dt * self.epsilon
        direct = {(1, 0): z_by_y, (1, 1): z_by_z, (0, 0): 1 + self.dt * z_by_y, (0, 1): self.dt * z_by_z}
        return self._integrate(state, a), Linearization(slopes, direct)

    def _integrate(self, state: Tensor, a: Tensor) -> Tensor:
        """Return the state one time step on, with `a` the argument of tanh."""
        y, z = state.chunk(2, dim=-1)
        force = torch.tanh(a) - self.gamma * y - self.epsilon * z
        z = torch.add(z, force, alpha=self.dt)
        return torch.cat([torch.add(y, z, alpha=self.dt), z], dim=-1)
