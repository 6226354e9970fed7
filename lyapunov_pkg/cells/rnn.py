"""The vanilla recurrent network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lyapunov_pkg.cells.base import Cell, Constants, Params, PreActivation, Slopes, Units, Update
from lyapunov_pkg.cells.functions import relu, relu_slope, tanh, tanh_slope
from lyapunov_pkg.cells.hyperparameters import hyperparameter

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class RNN(Cell):
    """Vanilla RNN (dissertation, eq. 2.1 to 2.4).

        h_t = s(V h_{t-1} + U x_t + b),    J = diag(s'(V h_{t-1} + U x_t + b)) V

    with s = tanh or ReLU. U is `input_weight`, V `recurrent_weight`. The slope of ReLU at 0 is 1, as in eq. 2.4.

    For sequences of hundreds of steps, other initial weights than those of other cells are available. `initialisation`
    is one of:

    * "uniform": on [-p, p].
    * "normal": mean 0 and standard deviation p (0.001 or 0.005 in the dissertation's programs of chapter 4).
    * "xavier_normal": p times normal draws of variance 2 / (rows + columns) (Glorot & Bengio 2010). The dissertation
      uses it in chapter 4 with p = 1.
    * "orthogonal": V is p times a random orthogonal matrix (Saxe et al. 2014), and U is as for "xavier_normal".
    """

    name: ClassVar[str] = "rnn"
    pre_activations: ClassVar[tuple[PreActivation, ...]] = (PreActivation(source=0, drive=0),)

    nonlinearity: str = hyperparameter("tanh", "The nonlinearity s.", "dissertation, eq. 2.1", choices=("tanh", "relu"))
    initialisation: str = hyperparameter(
        "uniform",
        "Distribution of the initial weights.",
        "dissertation, appendix A of chapter 3",
        choices=("uniform", "normal", "xavier_normal", "orthogonal"),
    )

    def draw_params(self, init_param: float, generator: torch.Generator) -> Params:
        """Return random weights, drawn as `initialisation` says; see `Cell.draw_params`."""
        import torch

        params = super().draw_params(init_param, generator)
        if self.initialisation == "uniform":
            return params
        for name, weight in params.items():
            if self.initialisation == "orthogonal" and name == "recurrent_weight":
                torch.nn.init.orthogonal_(weight, init_param, generator)
            else:
                xavier = math.sqrt(2 / sum(weight.shape)) if self.initialisation != "normal" else 1.0
                weight.normal_(std=init_param * xavier, generator=generator)
        return params

    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.pre_activation_weights`."""
        return (prepared["recurrent_weight"],)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        if self.nonlinearity == "tanh":
            return (Update(target=0, pre_activations=(0,), blocks=(), value=_tanh, slopes=_tanh_slopes),)
        return (Update(target=0, pre_activations=(0,), blocks=(), value=_relu, slopes=_relu_slopes),)


def _tanh(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    (a,) = pre_activations
    return tanh(a)


def _tanh_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    (a,) = pre_activations
    return (tanh_slope(a),), ()


def _relu(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    (a,) = pre_activations
    return relu(a)


def _relu_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    (a,) = pre_activations
    return (relu_slope(a),), ()
