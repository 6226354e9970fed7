"""Coupled oscillatory recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lyapunov_pkg.cells.base import Cell, Constants, Params, PreActivation, Slopes, Units, Update
from lyapunov_pkg.cells.functions import tanh, tanh_slope
from lyapunov_pkg.cells.hyperparameters import hyperparameter

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "Rusch and Mishra 2021, for sequential MNIST"


@dataclass(frozen=True)
class CoRNN(Cell):
    """Coupled oscillatory RNN (dissertation, appendix C of chapter 3, "CoRNN"; Rusch and Mishra 2021).

        z_t = z_{t-1} + dt (tanh(W_y y_{t-1} + W_z z_{t-1} + V u_t + b) - gamma y_{t-1} - epsilon z_{t-1})
        y_t = y_{t-1} + dt z_t

    The state is (y, z), and y are the hidden units. V is `input_weight`. `recurrent_weight` is (W_y, W_z), joined along
    columns. The dissertation's Jacobian dy_t/dy_{t-1} = (1 - dt² gamma) I + dt² diag(sech²) W_y is the reduced Jacobian
    of this class.
    """

    name: ClassVar[str] = "cornn"
    n_states: ClassVar[int] = 2
    # W_y y with the drive, and W_z z.
    pre_activations: ClassVar[tuple[PreActivation, ...]] = (
        PreActivation(source=0, drive=0),
        PreActivation(source=1, drive=None, joins=0),
    )

    dt: float = hyperparameter(0.042, "Time step.", SOURCE, above=0)
    gamma: float = hyperparameter(2.7, "Squared frequency of an uncoupled oscillator.", SOURCE, minimum=0)
    epsilon: float = hyperparameter(4.7, "Damping.", SOURCE, minimum=0)

    def parameter_shapes(self) -> dict[str, tuple[int, int]]:
        """See `Cell.parameter_shapes`."""
        size = self.hidden_size
        return {"input_weight": (size, self.input_size), "recurrent_weight": (size, 2 * size)}

    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.pre_activation_weights`."""
        return prepared["recurrent_weight"].chunk(2, dim=-1)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        of_z = (self.dt, -self.dt * self.gamma, 1 - self.dt * self.epsilon)
        return (
            Update(target=1, pre_activations=(0,), blocks=(1, 0), value=_next_z, slopes=_next_z_slopes, constants=of_z),
            Update(
                target=0, pre_activations=(), blocks=(0, 1), value=_next_y, slopes=_next_y_slopes, constants=(self.dt,)
            ),
        )


def _next_z(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    (a,) = pre_activations
    z, y = blocks
    dt, by_y, by_z = constants
    return by_z * z + by_y * y + dt * tanh(a)


def _next_z_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    (a,) = pre_activations
    dt, by_y, by_z = constants
    return (dt * tanh_slope(a),), (by_z, by_y)


def _next_y(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    y, z = blocks
    (dt,) = constants
    return y + dt * z


def _next_y_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    (dt,) = constants
    return (), (1.0, dt)
