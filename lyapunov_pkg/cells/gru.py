"""Gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Argument, Cell, Linearization, Params, sigmoid_slope, tanh_slope


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
    # r, z, and the two terms of n's argument apart, since r multiplies the recurrent one alone.
    arguments: ClassVar[tuple[Argument, ...]] = (
        Argument(source=0, drive=0),
        Argument(source=0, drive=1),
        Argument(source=0, drive=None),
        Argument(source=None, drive=2),
    )

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        x_gates, x_n, h_gates, h_n = self._arguments(prepared, state, drive)
        r, z = torch.sigmoid(x_gates + h_gates).chunk(2, dim=-1)
        return torch.lerp(torch.tanh(x_n + r * h_n), state, z)

    def argument_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.argument_weights`."""
        return (*prepared["recurrent_weight"].chunk(3, dim=-2), None)

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """See `Cell.linearize`."""
        x_gates, x_n, h_gates, h_n = self._arguments(prepared, state, drive)
        y_r, y_z = (x_gates + h_gates).chunk(2, dim=-1)
        r, z = torch.sigmoid(y_r), torch.sigmoid(y_z)
        y_n = x_n + r * h_n
        n = torch.tanh(y_n)
        by_y_n = torch.sigmoid(-y_z) * tanh_slope(y_n)  # sigmoid(-y_z) = 1 - z, without cancellation
        slopes = {
            (0, 0): by_y_n * h_n * sigmoid_slope(y_r),
            (0, 1): sigmoid_slope(y_z) * (state - n),
            (0, 2): by_y_n * r,
            (0, 3): by_y_n,
        }
        return torch.lerp(n, state, z), Linearization(slopes, {(0, 0): z})

    def _arguments(self, prepared: Params, state: Tensor, drive: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what x_t and h_{t-1} contribute to the gates r, z (*lead, B, 2H) and to n (*lead, B, H), apart."""
        recurrent = state @ prepared["recurrent_weight"].mT
        if "recurrent_bias" in prepared:
            recurrent = recurrent + prepared["recurrent_bias"].unsqueeze(-2)
        sizes = [2 * self.hidden_size, self.hidden_size]
        return *drive.split(sizes, dim=-1), *recurrent.split(sizes, dim=-1)
