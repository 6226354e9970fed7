"""Gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lyapunov_pkg.cells.base import Cell, Constants, Params, PreActivation, Slopes, Units, Update
from lyapunov_pkg.cells.functions import sigmoid, sigmoid_slope, tanh, tanh_slope

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GRU(Cell):
    """Gated recurrent unit (dissertation, chapter 2 and appendix C of chapter 3, "GRU"; unnumbered).

        r_t = sigmoid(W_r x_t + b_xr + U_r h_{t-1} + b_hr),    z_t likewise
        n_t = tanh(W_n x_t + b_xn + r_t ∘ (U_n h_{t-1} + b_hn))
        h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ n_t

    The blocks of W (`input_weight`) and U (`recurrent_weight`) have the order of torch.nn.GRU: r, z, n. r_t multiplies
    b_hn, so that the biases b_h are a separate, optional parameter "recurrent_bias" (*lead, 3H).
    """

    name: ClassVar[str] = "gru"
    n_gates: ClassVar[int] = 3
    # r, z, and the two terms of n's pre-activation separately, because r multiplies only the recurrent term.
    pre_activations: ClassVar[tuple[PreActivation, ...]] = (
        PreActivation(source=0, drive=0),
        PreActivation(source=0, drive=1),
        PreActivation(source=0, drive=None),
        PreActivation(source=None, drive=2),
    )

    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.pre_activation_weights`."""
        return (*prepared["recurrent_weight"].chunk(3, dim=-2), None)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        return (Update(0, pre_activations=(0, 1, 2, 3), blocks=(0,), value=_next_h, slopes=_next_h_slopes),)

    def recurrent_biases(self, prepared: Params) -> dict[int, Tensor]:
        """See `Cell.recurrent_biases`."""
        if "recurrent_bias" not in prepared:
            return {}
        return dict(enumerate(prepared["recurrent_bias"].chunk(3, dim=-1)))


def _next_h(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    y_r, y_z, h_n, x_n = pre_activations
    (h,) = blocks
    n = tanh(x_n + sigmoid(y_r) * h_n)
    return n + sigmoid(y_z) * (h - n)


def _next_h_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    y_r, y_z, h_n, x_n = pre_activations
    (h,) = blocks
    r = sigmoid(y_r)
    y_n = x_n + r * h_n
    by_y_n = sigmoid(-y_z) * tanh_slope(y_n)  # sigmoid(-y_z) = 1 - z, without cancellation
    by_y_z = sigmoid_slope(y_z) * (h - tanh(y_n))
    return (by_y_n * h_n * sigmoid_slope(y_r), by_y_z, by_y_n * r, by_y_n), (sigmoid(y_z),)
