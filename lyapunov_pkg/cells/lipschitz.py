"""Lipschitz recurrent network."""

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

SOURCE = "Erichson et al. 2021, for sequential MNIST"


@dataclass(frozen=True)
class LipschitzRNN(Cell):
    """Lipschitz RNN, by Euler's method (dissertation, appendix C of chapter 3, "Lipschitz RNN"; Erichson et al. 2021).

        h_t = h_{t-1} + dt (alpha A h_{t-1} + tanh(W h_{t-1} + U x_t + b))
        A = (1 - beta_A)(M_A + M_Aᵀ) + beta_A (M_A - M_Aᵀ) - gamma_A I,    W from M_W likewise
        J = I + dt (alpha A + diag(sech²(W h_{t-1} + U x_t + b)) W)

    U is `input_weight`. `recurrent_weight` (2H, H) is M_A stacked on M_W.

    `initialisation` is one of:

    * "uniform": all weights on [-p, p], as for other cells. With 64 units a step then multiplies the state by 1.7 at p
      = 5, and by 5.6 at p = 20.
    * "normal": M_A and M_W from N(0, (p/H)²), and U uniform on [-1/sqrt(F), 1/sqrt(F)] with F input features. This is
      the initialisation of the authors' program, where `init_std` is p.
    """

    name: ClassVar[str] = "lipschitz"
    # The linear term and the pre-activation of tanh.
    pre_activations: ClassVar[tuple[PreActivation, ...]] = (
        PreActivation(source=0, drive=None),
        PreActivation(source=0, drive=0),
    )

    dt: float = hyperparameter(0.03, "Time step.", SOURCE, above=0)
    beta_A: float = hyperparameter(0.75, "Share of the antisymmetric part of A.", SOURCE, minimum=0, maximum=1)
    beta_W: float = hyperparameter(0.75, "Share of the antisymmetric part of W.", SOURCE, minimum=0, maximum=1)
    gamma_A: float = hyperparameter(0.001, "Damping of A.", SOURCE, minimum=0)
    gamma_W: float = hyperparameter(0.001, "Damping of W.", SOURCE, minimum=0)
    alpha: float = hyperparameter(1.0, "Weight of the linear term.", "dissertation, appendix C of chapter 3", minimum=0)
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
            bound = 1 / math.sqrt(self.input_size)
            params["input_weight"].uniform_(-bound, bound, generator=generator)
            params["recurrent_weight"].normal_(std=init_param / self.hidden_size, generator=generator)
        return params

    def parameter_shapes(self) -> dict[str, tuple[int, int]]:
        """See `Cell.parameter_shapes`."""
        size = self.hidden_size
        return {"input_weight": (size, self.input_size), "recurrent_weight": (2 * size, size)}

    def prepare(self, params: Params) -> Params:
        """Return alpha A stacked on W as "recurrent_weight"."""
        import torch

        m_a, m_w = params["recurrent_weight"].chunk(2, dim=-2)
        a = symmetric_skew(m_a, self.beta_A, self.gamma_A)
        return {"recurrent_weight": torch.cat([self.alpha * a, symmetric_skew(m_w, self.beta_W, self.gamma_W)], dim=-2)}

    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.pre_activation_weights`."""
        return prepared["recurrent_weight"].chunk(2, dim=-2)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        return (
            Update(0, pre_activations=(0, 1), blocks=(0,), value=_next_h, slopes=_next_h_slopes, constants=(self.dt,)),
        )


def _next_h(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    linear, a = pre_activations
    (h,) = blocks
    (dt,) = constants
    return h + dt * (linear + tanh(a))


def _next_h_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    _, a = pre_activations
    (dt,) = constants
    return (dt, dt * tanh_slope(a)), (1.0,)


def symmetric_skew(m: Tensor, beta: float, gamma: float) -> Tensor:
    """Return (1 - beta)(M + Mᵀ) + beta (M - Mᵀ) - gamma I = M + (1 - 2 beta) Mᵀ - gamma I; M (*lead, H, H)."""
    import torch

    identity = torch.eye(m.shape[-1], dtype=m.dtype, device=m.device)
    return m + (1 - 2 * beta) * m.mT - gamma * identity
