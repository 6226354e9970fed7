"""Long short-term memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lyapunov_pkg.cells.base import Cell, Constants, Params, PreActivation, Slopes, Units, Update
from lyapunov_pkg.cells.functions import sigmoid, sigmoid_slope, tanh, tanh_slope

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory (dissertation, chapter 2 and appendix C of chapter 3, "LSTM"; unnumbered).

        i_t, f_t, o_t = sigmoid(y_i), sigmoid(y_f), sigmoid(y_o),    y_* = W_* x_t + U_* h_{t-1} + b_*
        c_t = f_t ∘ c_{t-1} + i_t ∘ tanh(y_c)
        h_t = o_t ∘ tanh(c_t)

    The state is (h, c). The blocks of W (`input_weight`) and U (`recurrent_weight`) have the order of torch.nn.LSTM: i,
    f, c, o. The dissertation's Jacobian dh_t/dh_{t-1}, with c_{t-1} held fixed, is the reduced Jacobian of this class.
    """

    name: ClassVar[str] = "lstm"
    n_gates: ClassVar[int] = 4
    n_states: ClassVar[int] = 2
    pre_activations: ClassVar[tuple[PreActivation, ...]] = tuple(
        PreActivation(source=0, drive=gate) for gate in range(4)
    )

    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.pre_activation_weights`."""
        return prepared["recurrent_weight"].chunk(4, dim=-2)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        return (
            Update(target=1, pre_activations=(0, 1, 2), blocks=(1,), value=_next_c, slopes=_next_c_slopes),
            Update(target=0, pre_activations=(3,), blocks=(1,), value=_next_h, slopes=_next_h_slopes),
        )


def _next_c(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    y_i, y_f, y_c = pre_activations
    (c,) = blocks
    return sigmoid(y_f) * c + sigmoid(y_i) * tanh(y_c)


def _next_c_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    y_i, y_f, y_c = pre_activations
    (c,) = blocks
    return (sigmoid_slope(y_i) * tanh(y_c), sigmoid_slope(y_f) * c, sigmoid(y_i) * tanh_slope(y_c)), (sigmoid(y_f),)


def _next_h(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    (y_o,) = pre_activations
    (c,) = blocks
    return sigmoid(y_o) * tanh(c)


def _next_h_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    (y_o,) = pre_activations
    (c,) = blocks
    return (sigmoid_slope(y_o) * tanh(c),), (sigmoid(y_o) * tanh_slope(c),)
