"""Long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params, affine, push, scale, sigmoid_slope, tanh_slope


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory (dissertation, chapter 2 and appendix C of chapter 3, "LSTM"; unnumbered).

        i_t, f_t, o_t = sigmoid(y_i), sigmoid(y_f), sigmoid(y_o),    y_* = W_* x_t + U_* h_{t-1} + b_*
        c_t = f_t ∘ c_{t-1} + i_t ∘ tanh(y_c)
        h_t = o_t ∘ tanh(c_t)

    The state is (h, c). The blocks of W (`input_weight`) and U (`recurrent_weight`) stand in the order of
    torch.nn.LSTM: i, f, c, o. The dissertation's Jacobian is dh_t/dh_{t-1} with c_{t-1} held, the reduced one here.
    """

    name: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        h, c = state.chunk(2, dim=-1)
        y_i, y_f, y_c, y_o = affine(drive, h, prepared["recurrent_weight"]).chunk(4, dim=-1)
        c = torch.sigmoid(y_f) * c + torch.sigmoid(y_i) * torch.tanh(y_c)
        return torch.cat([torch.sigmoid(y_o) * torch.tanh(c), c], dim=-1)

    def advance_tangents(
        self, prepared: Params, state: Tensor, drive: Tensor, tangents: Tensor, drive_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Cell.advance_tangents`."""
        h, c = state.chunk(2, dim=-1)
        dh, dc = self.split_tangents(tangents)
        y_i, y_f, y_c, y_o = affine(drive, h, prepared["recurrent_weight"]).chunk(4, dim=-1)
        dy = push(prepared["recurrent_weight"], dh)
        if drive_tangents is not None:
            dy = dy + drive_tangents
        dy_i, dy_f, dy_c, dy_o = dy.chunk(4, dim=-2)

        i, f, o, candidate = torch.sigmoid(y_i), torch.sigmoid(y_f), torch.sigmoid(y_o), torch.tanh(y_c)
        c_next = f * c + i * candidate
        dc_next = (
            scale(sigmoid_slope(y_f) * c, dy_f)
            + scale(sigmoid_slope(y_i) * candidate, dy_i)
            + scale(i * tanh_slope(y_c), dy_c)
        )
        if dc is not None:
            dc_next = dc_next + scale(f, dc)
        tanh_c = torch.tanh(c_next)
        dh_next = scale(sigmoid_slope(y_o) * tanh_c, dy_o) + scale(o * tanh_slope(c_next), dc_next)
        state = torch.cat([o * tanh_c, c_next], dim=-1)
        return state, dh_next if dc is None else torch.cat([dh_next, dc_next], dim=-2)
