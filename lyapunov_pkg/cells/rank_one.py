"""The random rate network whose feedback FORCE trains: one rank of its connectivity."""

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

SOURCE = "dissertation, chapter 3, target learning"


@dataclass(frozen=True)
class RankOneRNN(Cell):
    """Rate network with fixed random connections (dissertation, chapter 3; Sussillo and Abbott 2009).

        x_t = (1 - dt) x_{t-1} + dt (M r_{t-1} + w_f z_{t-1}),    r = tanh(x)
        J = (1 - dt) I + dt M diag(sech² x_{t-1})

    M is `recurrent_weight`, w_f `input_weight`: the input z is what is fed back, the network's own output w_o·r or
    another signal in its place. With the loop closed (`closed_loop`) the map is autonomous, and its connections are
    M + w_f w_o, a random matrix and one trained rank.

    M acts on r, not on x, so a step begins with r = tanh(x_{t-1}): the state is (x, r), x the hidden units. The r of
    before is not used, and the network's own Jacobian is the reduced one here, dx_t/dx_{t-1}; the full one has a zero
    row of exponents besides.
    """

    name: ClassVar[str] = "rank_one"
    n_states: ClassVar[int] = 2
    pre_activations: ClassVar[tuple[PreActivation, ...]] = (PreActivation(source=1, drive=0, after=True),)

    dt: float = hyperparameter(0.1, "Time step.", SOURCE, unit="time constants of a unit", above=0, maximum=1)
    density: float = hyperparameter(0.1, "Share of M's entries that are not zero.", SOURCE, above=0, maximum=1)

    def draw_params(self, init_param: float, generator: torch.Generator) -> Params:
        """Draw M and w_f as the dissertation does (catalogue of chapter 3, target learning).

        A share `density` of M's entries, at random places, is normal with standard deviation g / sqrt(density H); the
        others are zero. w_f is uniform on [-1, 1] whatever g.

        Args:
            init_param: g, the gain of the connections; without feedback activity dies out for g < 1 and is chaotic
                for g well above 1.
            generator: random stream on the CPU; the numbers (float32) depend on it alone.

        Raises:
            ValueError: g is not a finite number above 0, or there are so few units that no entry is left.
        """
        import torch

        if not (math.isfinite(init_param) and init_param > 0):
            raise ValueError(f"init_param of rank_one, the gain g, is {init_param!r}; expected a finite number above 0")
        size = self.hidden_size
        n_connections = round(self.density * size**2)
        if n_connections == 0:
            raise ValueError(
                f"density {self.density} of {size} x {size} connections is none; expected more units or more of them"
            )
        places = torch.randperm(size**2, generator=generator)[:n_connections]
        recurrent = torch.zeros(size**2)
        scale = init_param / math.sqrt(self.density * size)
        recurrent[places] = scale * torch.randn(n_connections, generator=generator)
        feedback = torch.empty(size, self.input_size).uniform_(-1, 1, generator=generator)
        return {"input_weight": feedback, "recurrent_weight": recurrent.view(size, size)}

    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """See `Cell.pre_activation_weights`."""
        return (prepared["recurrent_weight"],)

    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """See `Cell.updates`."""
        constants = (self.dt, 1 - self.dt)
        return (
            Update(target=1, pre_activations=(), blocks=(0,), value=_rate, slopes=_rate_slopes),
            Update(target=0, pre_activations=(0,), blocks=(0,), value=_leak, slopes=_leak_slopes, constants=constants),
        )


def closed_loop(params: Params, readout: Tensor) -> Params:
    """Return the parameters of the autonomous network that feeds its own output z = w_o·r back to itself.

    Args:
        params: of a `RankOneRNN`, with or without leading axes.
        readout: w_o (*lead, H), or (*lead, F, H) for F outputs that are fed back.

    Returns:
        `recurrent_weight` M + w_f w_o, and `input_weight` zero.
    """
    feedback = params["input_weight"]
    if readout.ndim < feedback.ndim:
        readout = readout.unsqueeze(-2)
    return {
        "input_weight": feedback.new_zeros(feedback.shape),
        "recurrent_weight": params["recurrent_weight"] + feedback @ readout,
    }


def _rate(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    (x,) = blocks
    return tanh(x)


def _rate_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    (x,) = blocks
    return (), (tanh_slope(x),)


def _leak(pre_activations: Units, blocks: Units, constants: Constants) -> Tensor:
    (a,) = pre_activations
    (x,) = blocks
    dt, rest = constants
    return rest * x + dt * a


def _leak_slopes(pre_activations: Units, blocks: Units, constants: Constants) -> tuple[Slopes, Slopes]:
    dt, rest = constants
    return (dt,), (rest,)
