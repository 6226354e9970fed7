"""The vanilla recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lyapunov_pkg.cells.base import Argument, Cell, Params, Unit, Units, Update, relu, relu_slope, tanh, tanh_slope

NONLINEARITIES = ("tanh", "relu")


@dataclass(frozen=True)
class RNN(Cell):
    """Vanilla RNN (dissertation, eq. 2.1 to 2.4).

        h_t = s(V h_{t-1} + U x_t + b),    J = diag(s'(V h_{t-1} + U x_t + b)) V

    with s = tanh or ReLU. U is `input_weight`, V `recurrent_weight`. The slope of ReLU at 0 is 1, as in eq. 2.4.
    """

    name: ClassVar[str] = "rnn"
    arguments: ClassVar[tuple[Argument, ...]] = (Argument(source=0, drive=0),)

    nonlinearity: str = "tanh"

    def __post_init__(self) -> None:
        """Refuse sizes and a nonlinearity out of range."""
        super().__post_init__()
        if self.nonlinearity not in NONLINEARITIES:
            raise ValueError(f"nonlinearity of rnn is {self.nonlinearity!r}; expected one of {NONLINEARITIES}")

    def argument_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.argument_weights`."""
        return (prepared["recurrent_weight"],)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        if self.nonlinearity == "tanh":
            return (Update(target=0, arguments=(0,), blocks=(), value=_tanh, slopes=_tanh_slopes),)
        return (Update(target=0, arguments=(0,), blocks=(), value=_relu, slopes=_relu_slopes),)


def _tanh(arguments: Units, blocks: Units, constants: Units) -> Unit:
    (a,) = arguments
    return tanh(a)


def _tanh_slopes(arguments: Units, blocks: Units, constants: Units) -> tuple[Units, Units]:
    (a,) = arguments
    return (tanh_slope(a),), ()


def _relu(arguments: Units, blocks: Units, constants: Units) -> Unit:
    (a,) = arguments
    return relu(a)


def _relu_slopes(arguments: Units, blocks: Units, constants: Units) -> tuple[Units, Units]:
    (a,) = arguments
    return (relu_slope(a),), ()
