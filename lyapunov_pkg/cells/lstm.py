"""Long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lyapunov_pkg.cells.base import (
    Argument,
    Cell,
    Params,
    Unit,
    Units,
    Update,
    sigmoid,
    sigmoid_slope,
    tanh,
    tanh_slope,
)


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

    def argument_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.argument_weights`."""
        return prepared["recurrent_weight"].chunk(4, dim=-2)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        return (
            Update(target=1, arguments=(0, 1, 2), blocks=(1,), value=_next_c, slopes=_next_c_slopes),
            Update(target=0, arguments=(3,), blocks=(1,), value=_next_h, slopes=_next_h_slopes),
        )


def _next_c(arguments: Units, blocks: Units, constants: Units) -> Unit:
    y_i, y_f, y_c = arguments
    (c,) = blocks
    return sigmoid(y_f) * c + sigmoid(y_i) * tanh(y_c)


def _next_c_slopes(arguments: Units, blocks: Units, constants: Units) -> tuple[Units, Units]:
    y_i, y_f, y_c = arguments
    (c,) = blocks
    return (sigmoid_slope(y_i) * tanh(y_c), sigmoid_slope(y_f) * c, sigmoid(y_i) * tanh_slope(y_c)), (sigmoid(y_f),)


def _next_h(arguments: Units, blocks: Units, constants: Units) -> Unit:
    (y_o,) = arguments
    (c,) = blocks
    return sigmoid(y_o) * tanh(c)


def _next_h_slopes(arguments: Units, blocks: Units, constants: Units) -> tuple[Units, Units]:
    (y_o,) = arguments
    (c,) = blocks
    return (sigmoid_slope(y_o) * tanh(c),), (sigmoid(y_o) * tanh_slope(c),)
