"""Coupled oscillatory recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params, affine, push, scale, tanh_slope


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

    def advance_tangents(
        self, prepared: Params, state: Tensor, drive: Tensor, tangents: Tensor, drive_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Cell.advance_tangents`."""
        weight = prepared["recurrent_weight"]
        a = affine(drive, state, weight)
        da = push(weight[..., : tangents.shape[-2]], tangents)
        if drive_tangents is not None:
            da = da + drive_tangents

        dy, dz = self.split_tangents(tangents)
        dz_next = scale(self.dt * tanh_slope(a), da) - self.dt * self.gamma * dy
        if dz is not None:
            dz_next = dz_next + (1 - self.dt * self.epsilon) * dz
        dy_next = torch.add(dy, dz_next, alpha=self.dt)
        return self._integrate(state, a), dy_next if dz is None else torch.cat([dy_next, dz_next], dim=-2)

    def _integrate(self, state: Tensor, a: Tensor) -> Tensor:
        """Return the state one time step on, with `a` the argument of tanh."""
        y, z = state.chunk(2, dim=-1)
        force = torch.tanh(a) - self.gamma * y - self.epsilon * z
        z = torch.add(z, force, alpha=self.dt)
        return torch.cat([torch.add(y, z, alpha=self.dt), z], dim=-1)
