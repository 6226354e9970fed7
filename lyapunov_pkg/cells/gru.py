"""Gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params, push, scale, sigmoid_slope, tanh_slope


@dataclass(frozen=True)
class GRU(Cell):
    """Gated recurrent unit (dissertation, chapter 2 and appendix C of chapter 3, "GRU"; unnumbered).

        r_t = sigmoid(W_r x_t + b_xr + U_r h_{t-1} + b_hr),    z_t likewise
        n_t = tanh(W_n x_t + b_xn + r_t ∘ (U_n h_{t-1} + b_hn))
        h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ n_t

    The blocks of W (`input_weight`) and U (`recurrent_weight`) stand in the order of torch.nn.GRU: r, z, n. Since r_t
    multiplies b_hn, the biases b_h are a parameter of their own here, the optional "recurrent_bias" (*lead, 3H).
    """

    name: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        x_gates, x_n, h_gates, h_n = self._arguments(prepared, state, drive)
        r, z = torch.sigmoid(x_gates + h_gates).chunk(2, dim=-1)
        return torch.lerp(torch.tanh(x_n + r * h_n), state, z)

    def advance_tangents(
        self, prepared: Params, state: Tensor, drive: Tensor, tangents: Tensor, drive_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Cell.advance_tangents`."""
        x_gates, x_n, h_gates, h_n = self._arguments(prepared, state, drive)
        y_r, y_z = (x_gates + h_gates).chunk(2, dim=-1)
        r, z = torch.sigmoid(y_r), torch.sigmoid(y_z)
        y_n = x_n + r * h_n
        n = torch.tanh(y_n)

        dy_r, dy_z, dh_n = push(prepared["recurrent_weight"], tangents).chunk(3, dim=-2)
        dy_n = scale(r, dh_n)
        if drive_tangents is not None:
            dx_r, dx_z, dx_n = drive_tangents.chunk(3, dim=-2)
            dy_r, dy_z, dy_n = dy_r + dx_r, dy_z + dx_z, dy_n + dx_n
        dy_n = dy_n + scale(sigmoid_slope(y_r) * h_n, dy_r)
        tangents = (
            scale(z, tangents)
            + scale(torch.sigmoid(-y_z) * tanh_slope(y_n), dy_n)  # sigmoid(-y_z) = 1 - z, without cancellation
            + scale(sigmoid_slope(y_z) * (state - n), dy_z)
        )
        return torch.lerp(n, state, z), tangents

    def _arguments(self, prepared: Params, state: Tensor, drive: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what x_t and h_{t-1} contribute to the gates r, z (*lead, B, 2H) and to n (*lead, B, H), apart."""
        recurrent = state @ prepared["recurrent_weight"].mT
        if "recurrent_bias" in prepared:
            recurrent = recurrent + prepared["recurrent_bias"].unsqueeze(-2)
        sizes = [2 * self.hidden_size, self.hidden_size]
        return *drive.split(sizes, dim=-1), *recurrent.split(sizes, dim=-1)
