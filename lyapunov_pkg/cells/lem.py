"""Long expressive memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params, affine, push, scale, sigmoid_slope, tanh_slope


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

    def advance_tangents(
        self, prepared: Params, state: Tensor, drive: Tensor, tangents: Tensor, drive_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Cell.advance_tangents`."""
        y, z = state.chunk(2, dim=-1)
        dy, dz = self.split_tangents(tangents)
        steps, a_z, drive_y = self._arguments(prepared, y, drive)
        a_1, a_2 = steps.chunk(2, dim=-1)
        d_on_y = push(prepared["recurrent_weight"], dy)
        if drive_tangents is not None:
            d_drive, d_drive_y = drive_tangents.split([3 * self.hidden_size, self.hidden_size], dim=-2)
            d_on_y = d_on_y + d_drive
        da_1, da_2, da_z = d_on_y.chunk(3, dim=-2)

        z, dz_next = self._relax(z, dz, a_1, da_1, a_z, da_z)
        a_y = affine(drive_y, z, prepared["memory_weight"])
        da_y = push(prepared["memory_weight"], dz_next)
        if drive_tangents is not None:
            da_y = da_y + d_drive_y
        y, dy_next = self._relax(y, dy, a_2, da_2, a_y, da_y)
        return torch.cat([y, z], dim=-1), dy_next if dz is None else torch.cat([dy_next, dz_next], dim=-2)

    def _arguments(self, prepared: Params, y: Tensor, drive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the arguments of both steps (*lead, B, 2H) and of z's tanh, and the drive of y's (*lead, B, H)."""
        size = self.hidden_size
        drive_on_y, drive_y = drive.split([3 * size, size], dim=-1)
        steps, a_z = affine(drive_on_y, y, prepared["recurrent_weight"]).split([2 * size, size], dim=-1)
        return steps, a_z, drive_y

    def _relax(
        self, value: Tensor, d_value: Tensor | None, a_step: Tensor, da_step: Tensor, a: Tensor, da: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (1 - Δ) value + Δ tanh(a), Δ = dt sigmoid(a_step), and its tangents; d_value None: value held."""
        target, step = torch.tanh(a), self.dt * torch.sigmoid(a_step)
        tangents = scale(step * tanh_slope(a), da) + scale(self.dt * sigmoid_slope(a_step) * (target - value), da_step)
        if d_value is not None:
            kept = (1 - self.dt) + self.dt * torch.sigmoid(-a_step)  # 1 - Δ, without cancellation at dt = 1
            tangents = tangents + scale(kept, d_value)
        return torch.lerp(value, target, step), tangents
