"""Long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Argument, Cell, Linearization, Params, affine, sigmoid_slope, tanh_slope


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
    arguments: ClassVar[tuple[Argument, ...]] = tuple(Argument(source=0, drive=gate) for gate in range(4))

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        h, c = state.chunk(2, dim=-1)
        y_i, y_f, y_c, y_o = affine(drive, h, prepared["recurrent_weight"]).chunk(4, dim=-1)
        c = torch.sigmoid(y_f) * c + torch.sigmoid(y_i) * torch.tanh(y_c)
        return torch.cat([torch.sigmoid(y_o) * torch.tanh(c), c], dim=-1)

    def argument_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.argument_weights`."""
        return prepared["recurrent_weight"].chunk(4, dim=-2)

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """See `Cell.linearize`."""
        h, c = state.chunk(2, dim=-1)
        y_i, y_f, y_c, y_o = affine(drive, h, prepared["recurrent_weight"]).chunk(4, dim=-1)
        i, f, o, candidate = torch.sigmoid(y_i), torch.sigmoid(y_f), torch.sigmoid(y_o), torch.tanh(y_c)
        c_next = f * c + i * candidate
        tanh_c = torch.tanh(c_next)
        # How c_t moves with the arguments of i, f, c; h_t moves with c_t, and with the argument of o.
        of_c = [sigmoid_slope(y_i) * candidate, sigmoid_slope(y_f) * c, i * tanh_slope(y_c)]
        by_c = o * tanh_slope(c_next)
        slopes = {(1, gate): slope for gate, slope in enumerate(of_c)}
        slopes |= {(0, gate): by_c * slope for gate, slope in enumerate(of_c)}
        slopes[0, 3] = sigmoid_slope(y_o) * tanh_c
        return torch.cat([o * tanh_c, c_next], dim=-1), Linearization(slopes, {(1, 1): f, (0, 1): by_c * f})
