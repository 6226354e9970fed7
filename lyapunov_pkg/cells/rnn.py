"""The vanilla recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Argument, Cell, Linearization, Params, affine, tanh_slope

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

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        return self._activation(affine(drive, state, prepared["recurrent_weight"]))

    def argument_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.argument_weights`."""
        return (prepared["recurrent_weight"],)

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """See `Cell.linearize`."""
        a = affine(drive, state, prepared["recurrent_weight"])
        return self._activation(a), Linearization({(0, 0): self._slope(a)}, {})

    def _activation(self, a: Tensor) -> Tensor:
        return torch.tanh(a) if self.nonlinearity == "tanh" else torch.relu(a)

    def _slope(self, a: Tensor) -> Tensor:
        return tanh_slope(a) if self.nonlinearity == "tanh" else (a >= 0).to(a.dtype)
