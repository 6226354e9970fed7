"""Noisy recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lyapunov_pkg.cells.base import Constants, Slopes, Units, Update
from lyapunov_pkg.cells.functions import tanh, tanh_slope
from lyapunov_pkg.cells.hyperparameters import hyperparameter
from lyapunov_pkg.cells.lipschitz import LipschitzRNN

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "Lim et al. 2021, for sequential MNIST"


@dataclass(frozen=True)
class NoisyRNN(LipschitzRNN):
    """A Lipschitz RNN with noise in training (dissertation, appendix C of chapter 3, "Noisy RNN"; Lim et al. 2021).

        h_t = h_{t-1} + dt m_t ∘ (alpha A h_{t-1} + tanh(W h_{t-1} + U x_t + b)) + additive_noise ξ_t
        m_t = multiplicative_noise η_t + (1 - multiplicative_noise)

    with ξ_t, η_t ~ N(0, 1) for each hidden unit, and A, W as in the Lipschitz RNN. Without `noise`, m_t is 1 and ξ_t is
    0. This map is used for evaluation and for the Jacobian. The dissertation writes states as rows, h A. Its matrices
    are therefore the transposes of these, which only relabels the trained weights.
    """

    name: ClassVar[str] = "noisy"
    n_noise: ClassVar[int] = 2

    dt: float = hyperparameter(0.01, "Time step.", SOURCE, above=0)
    multiplicative_noise: float = hyperparameter(
        0.02, "Standard deviation of the multiplicative noise, k of the dissertation.", SOURCE, minimum=0, maximum=1
    )
    additive_noise: float = hyperparameter(
        0.02, "Standard deviation of the additive noise of a step.", SOURCE, minimum=0
    )

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`. The draws are η for the multiplicative noise and ξ for the additive noise."""
        if not noisy:
            return super().updates()
        mean = self.dt * (1 - self.multiplicative_noise)
        constants = (mean, self.dt * self.multiplicative_noise, self.additive_noise)
        return (Update(0, (0, 1), (0,), _next_h, _next_h_slopes, constants, draws=(0, 1)),)


def _next_h(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    linear, a = pre_activations
    h, eta, xi = blocks
    mean, deviation, additive = constants
    return h + (mean + deviation * eta) * (linear + tanh(a)) + additive * xi


def _next_h_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    _, a = pre_activations
    _, eta, _ = blocks
    mean, deviation, _ = constants
    step = mean + deviation * eta
    return (step, step * tanh_slope(a)), (1.0,)
