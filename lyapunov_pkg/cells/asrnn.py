"""Antisymmetric recurrent network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lyapunov_pkg.cells.base import Cell, Constants, Params, PreActivation, Slopes, Units, Update
from lyapunov_pkg.cells.functions import tanh, tanh_slope
from lyapunov_pkg.cells.hyperparameters import hyperparameter

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class ASRNN(Cell):
    """Antisymmetric RNN (dissertation, eq. 3.3 and 3.4; Chang et al. 2019).

        h_t = h_{t-1} + eps tanh(A h_{t-1} + W x_t + b),    A = U - Uᵀ - gamma I
        J = I + eps diag(sech²(A h_{t-1} + W x_t + b)) A

    W is `input_weight`, U `recurrent_weight`. Eq. 3.1 is not this map's Jacobian: it lacks the identity and the step.

    `initialisation` is one of:

    * "uniform": W and U on [-p, p], as for other cells.
    * "normal": W from N(0, 1) and U from N(0, p²/n) with n hidden units (Chang et al. 2019, section 4). p is the sigma
      of the dissertation's study of the ASRNN.
    """

    name: ClassVar[str] = "asrnn"
    pre_activations: ClassVar[tuple[PreActivation, ...]] = (PreActivation(source=0, drive=0),)

    eps: float = hyperparameter(0.01, "Step size.", "dissertation, chapter 3, ASRNN, one of its values", above=0)
    gamma: float = hyperparameter(0.01, "Diffusion.", "dissertation, chapter 3, ASRNN, one of its values", minimum=0)
    initialisation: str = hyperparameter(
        "uniform",
        "Distribution of the initial weights.",
        "dissertation, appendix A of chapter 3",
        choices=("uniform", "normal"),
    )

    def draw_params(self, init_param: float, generator: torch.Generator) -> Params:
        """Return random weights, drawn as `initialisation` says; see `Cell.draw_params`."""
        params = super().draw_params(init_param, generator)
        if self.initialisation == "normal":
            params["input_weight"].normal_(generator=generator)
            params["recurrent_weight"].normal_(std=init_param / math.sqrt(self.hidden_size), generator=generator)
        return params

    def prepare(self, params: Params) -> Params:
        """Return A = U - Uᵀ - gamma I as "recurrent_weight"."""
        import torch

        weight = params["recurrent_weight"]
        identity = torch.eye(self.hidden_size, dtype=weight.dtype, device=weight.device)
        return {"recurrent_weight": weight - weight.mT - self.gamma * identity}

    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.pre_activation_weights`."""
        return (prepared["recurrent_weight"],)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        return (
            Update(0, pre_activations=(0,), blocks=(0,), value=_next_h, slopes=_next_h_slopes, constants=(self.eps,)),
        )


def _next_h(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    (a,) = pre_activations
    (h,) = blocks
    (eps,) = constants
    return h + eps * tanh(a)


def _next_h_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    (a,) = pre_activations
    (eps,) = constants
    return (eps * tanh_slope(a),), (1.0,)
