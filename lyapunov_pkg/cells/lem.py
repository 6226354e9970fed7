"""Long expressive memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lyapunov_pkg.cells.base import Cell, Constants, Params, PreActivation, Slopes, Units, Update
from lyapunov_pkg.cells.functions import sigmoid, sigmoid_slope, tanh, tanh_slope
from lyapunov_pkg.cells.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LEM(Cell):
    """Long expressive memory (dissertation, eq. 3.8 and 3.9; Rusch et al. 2022).

        Δ_n = dt sigmoid(W_1 y_{n-1} + V_1 u_n + b_1),    Δ̄_n = dt sigmoid(W_2 y_{n-1} + V_2 u_n + b_2)
        z_n = (1 - Δ_n) ∘ z_{n-1} + Δ_n ∘ tanh(W_z y_{n-1} + V_z u_n + b_z)
        y_n = (1 - Δ̄_n) ∘ y_{n-1} + Δ̄_n ∘ tanh(W_y z_n + V_y u_n + b_y)

    The state is (y, z), and y are the hidden units. The blocks of V (`input_weight`) and W (`recurrent_weight`) have
    the order 1, 2, z, y. The last block of W multiplies z_n, the others multiply y_{n-1}. The dissertation's Jacobian
    dy_n/dy_{n-1}, with z_{n-1} held fixed, is the reduced Jacobian of this class.
    """

    name: ClassVar[str] = "lem"
    n_gates: ClassVar[int] = 4
    n_states: ClassVar[int] = 2
    pre_activations: ClassVar[tuple[PreActivation, ...]] = (
        PreActivation(source=0, drive=0),
        PreActivation(source=0, drive=1),
        PreActivation(source=0, drive=2),
        PreActivation(source=1, drive=3, after=True),
    )

    dt: float = hyperparameter(1.0, "Largest time step.", "Rusch et al. 2022, the default of their program", above=0)

    def prepare(self, params: Params) -> Params:
        """Return the blocks W_1, W_2, W_z as "recurrent_weight" and W_y as "memory_weight"."""
        on_y, on_z = params["recurrent_weight"].split([3 * self.hidden_size, self.hidden_size], dim=-2)
        return {"recurrent_weight": on_y, "memory_weight": on_z}

    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.pre_activation_weights`."""
        return (*prepared["recurrent_weight"].chunk(3, dim=-2), prepared["memory_weight"])

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        constants = (self.dt, 1 - self.dt)
        return (
            Update(
                target=1, pre_activations=(0, 2), blocks=(1,), value=_relax, slopes=_relax_slopes, constants=constants
            ),
            Update(
                target=0, pre_activations=(1, 3), blocks=(0,), value=_relax, slopes=_relax_slopes, constants=constants
            ),
        )


def _relax(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    """Return (1 - Δ) value + Δ tanh(a), Δ = dt sigmoid(a_step)."""
    a_step, a = pre_activations
    (value,) = blocks
    dt, _ = constants
    return value + dt * sigmoid(a_step) * (tanh(a) - value)


def _relax_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    a_step, a = pre_activations
    (value,) = blocks
    dt, rest = constants
    by_step = dt * sigmoid_slope(a_step) * (tanh(a) - value)
    # rest + dt sigmoid(-a_step) equals 1 - Δ, without cancellation at dt = 1.
    return (by_step, dt * sigmoid(a_step) * tanh_slope(a)), (rest + dt * sigmoid(-a_step),)
