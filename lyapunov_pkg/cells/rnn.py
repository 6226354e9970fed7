"""The vanilla recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params, affine, push, scale, tanh_slope

NONLINEARITIES = ("tanh", "relu")


@dataclass(frozen=True)
class RNN(Cell):
    """Vanilla RNN (dissertation, eq. 2.1 to 2.4).

        h_t = s(V h_{t-1} + U x_t + b),    J = diag(s'(V h_{t-1} + U x_t + b)) V

    with s = tanh or ReLU. U is `input_weight`, V `recurrent_weight`. The slope of ReLU at 0 is 1, as in eq. 2.4.
    """

    name: ClassVar[str] = "rnn"

    nonlinearity: str = "tanh"

    def __post_init__(self) -> None:
        """Refuse sizes and a nonlinearity out of range."""
        super().__post_init__()
        if self.nonlinearity not in NONLINEARITIES:
            raise ValueError(f"nonlinearity of rnn is {self.nonlinearity!r}; expected one of {NONLINEARITIES}")

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        return self._activation(affine(drive, state, prepared["recurrent_weight"]))

    def advance_tangents(
        self, prepared: Params, state: Tensor, drive: Tensor, tangents: Tensor, drive_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Cell.advance_tangents`."""
        a = affine(drive, state, prepared["recurrent_weight"])
        da = push(prepared["recurrent_weight"], tangents)
        if drive_tangents is not None:
            da = da + drive_tangents
        return self._activation(a), scale(self._slope(a), da)

    def _activation(self, a: Tensor) -> Tensor:
        return torch.tanh(a) if self.nonlinearity == "tanh" else torch.relu(a)

    def _slope(self, a: Tensor) -> Tensor:
        return tanh_slope(a) if self.nonlinearity == "tanh" else (a >= 0).to(a.dtype)
