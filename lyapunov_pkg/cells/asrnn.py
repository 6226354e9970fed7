"""Antisymmetric recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params, affine, push, scale, tanh_slope


@dataclass(frozen=True)
class ASRNN(Cell):
    """Antisymmetric RNN (dissertation, eq. 3.3 and 3.4; Chang et al. 2019).

        h_t = h_{t-1} + eps tanh(A h_{t-1} + W x_t + b),    A = U - Uᵀ - gamma I
        J = I + eps diag(sech²(A h_{t-1} + W x_t + b)) A

    W is `input_weight`, U `recurrent_weight`. Eq. 3.1 is not this map's Jacobian: it lacks the identity and the step.
    """

    name: ClassVar[str] = "asrnn"

    eps: float = 0.01
    """Step size."""
    gamma: float = 0.01
    """Diffusion."""

    def prepare(self, params: Params) -> Params:
        """Return A = U - Uᵀ - gamma I as "recurrent_weight"."""
        weight = params["recurrent_weight"]
        identity = torch.eye(self.hidden_size, dtype=weight.dtype, device=weight.device)
        return {"recurrent_weight": weight - weight.mT - self.gamma * identity}

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Cell.advance`."""
        return torch.add(state, torch.tanh(affine(drive, state, prepared["recurrent_weight"])), alpha=self.eps)

    def advance_tangents(
        self, prepared: Params, state: Tensor, drive: Tensor, tangents: Tensor, drive_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Cell.advance_tangents`."""
        a = affine(drive, state, prepared["recurrent_weight"])
        da = push(prepared["recurrent_weight"], tangents)
        if drive_tangents is not None:
            da = da + drive_tangents
        return torch.add(state, torch.tanh(a), alpha=self.eps), tangents + scale(self.eps * tanh_slope(a), da)
