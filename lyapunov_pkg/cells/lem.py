"""Long expressive memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Argument, Cell, Linearization, Params, affine, sigmoid_slope, tanh_slope


@dataclass(frozen=True)
class LEM(Cell):
    """Long expressive memory (dissertation, eq. 3.8 and 3.9; Rusch et al. 2022).

        Δ_n = dt sigmoid(W_1 y_{n-1} + V_1 u_n + b_1),    Δ̄_n = dt sigmoid(W_2 y_{n-1} + V_2 u_n + b_2)
        z_n = (1 - Δ_n) ∘ z_{n-1} + Δ_n ∘ tanh(W_z y_{n-1} + V_z u_n + b_z)
        y_n = (1 - Δ̄_n) ∘ y_{n-1} + Δ̄_n ∘ tanh(W_y z_n + V_y u_n + b_y)

    The state is (y, z), y the hidden units. The blocks of V (`input_weight`) and W (`recurrent_weight`) stand in the
    order 1, 2, z, y; the last block of W acts on z_n, the others on y_{n-1}. The dissertation's Jacobian is
    dy_n/dy_{n-1} with z_{n-1} held, the reduced one here.
    """

    name: ClassVar[str] = "lem"
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2
    arguments: ClassVar[tuple[Argument, ...]] = (
        Argument(source=0, drive=0),
        Argument(source=0, drive=1),
        Argument(source=0, drive=2),
        Argument(source=1, drive=3, after=True),
    )

    dt: float = 1.0
    """Largest time step."""

    def prepare(self, params: Params) -> Params:
        """Return the blocks W_1, W_2, W_z as "recurrent_weight" and W_y as "memory_weight"."""
        on_y, on_z = params["recurrent_weight"].split([3 * self.hidden_size, self.hidden_size], dim=-2)
        return {"recurrent_weight": on_y, "memory_weight": on_z}

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        y, z = state.chunk(2, dim=-1)
        steps, a_z, drive_y = self._arguments(prepared, y, drive)
        step_z, step_y = (self.dt * torch.sigmoid(steps)).chunk(2, dim=-1)
        z = torch.lerp(z, torch.tanh(a_z), step_z)
        y = torch.lerp(y, torch.tanh(affine(drive_y, z, prepared["memory_weight"])), step_y)
        return torch.cat([y, z], dim=-1)

    def argument_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.argument_weights`."""
        return (*prepared["recurrent_weight"].chunk(3, dim=-2), prepared["memory_weight"])

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """See `Cell.linearize`."""
        y, z = state.chunk(2, dim=-1)
        steps, a_z, drive_y = self._arguments(prepared, y, drive)
        a_1, a_2 = steps.chunk(2, dim=-1)
        z_next, z_by_step, z_by_target, z_kept = self._relax(z, a_1, a_z)
        a_y = affine(drive_y, z_next, prepared["memory_weight"])
        y_next, y_by_step, y_by_target, y_kept = self._relax(y, a_2, a_y)
        slopes = {(1, 0): z_by_step, (1, 2): z_by_target, (0, 1): y_by_step, (0, 3): y_by_target}
        return torch.cat([y_next, z_next], dim=-1), Linearization(slopes, {(1, 1): z_kept, (0, 0): y_kept})

    def _arguments(self, prepared: Params, y: Tensor, drive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the arguments of both steps (*lead, B, 2H) and of z's tanh, and the drive of y's (*lead, B, H)."""
        size = self.hidden_size
        drive_on_y, drive_y = drive.split([3 * size, size], dim=-1)
        steps, a_z = affine(drive_on_y, y, prepared["recurrent_weight"]).split([2 * size, size], dim=-1)
        return steps, a_z, drive_y

    def _relax(self, value: Tensor, a_step: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (1 - Δ) value + Δ tanh(a), Δ = dt sigmoid(a_step), and its derivatives by a_step, a and value."""
        target, step = torch.tanh(a), self.dt * torch.sigmoid(a_step)
        by_step = self.dt * sigmoid_slope(a_step) * (target - value)
        kept = (1 - self.dt) + self.dt * torch.sigmoid(-a_step)  # 1 - Δ, without cancellation at dt = 1
        return torch.lerp(value, target, step), by_step, step * tanh_slope(a), kept
