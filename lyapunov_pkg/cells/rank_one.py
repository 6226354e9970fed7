"""Random rate network with a trained feedback loop, for FORCE learning."""

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

    M is `recurrent_weight`, w_f is `input_weight`. The input z is the feedback: the network's own output w_o·r, or
    another signal in its place. With a closed loop (`closed_loop`) the map is autonomous. Its connections are then M +
    w_f w_o, a random matrix plus a trained matrix of rank one.

    M multiplies r, not x, so that a step begins with r = tanh(x_{t-1}). The state is (x, r), and x are the hidden
    units. The previous r is not used. The network's own Jacobian dx_t/dx_{t-1} is the reduced Jacobian of this class.
    The full Jacobian has H additional zero columns.
    """

    name: ClassVar[str] = "rank_one"
    n_states: ClassVar[int] = 2
    pre_activations: ClassVar[tuple[PreActivation, ...]] = (PreActivation(source=1, drive=0, after=True),)

    dt: float = hyperparameter(0.1, "Time step.", SOURCE, unit="time constants of a unit", above=0, maximum=1)
    density: float = hyperparameter(0.1, "Share of M's entries that are not zero.", SOURCE, above=0, maximum=1)

    def draw_params(self, init_param: float, generator: torch.Generator) -> Params:
        """Return random M and w_f as in the dissertation (chapter 3, target learning).

        A share `density` of M's entries, at random places, is normal with standard deviation g / sqrt(density H). All
        other entries are zero. w_f is uniform on [-1, 1] for every g.

        Args:
            init_param: g, the gain of the connections. Without feedback, activity decays for g < 1 and is chaotic for g
                well above 1.
            generator: random generator on the CPU. The weights (float32) depend only on it.

        Raises:
            ValueError: g is not a finite number above 0, or there are too few units for one nonzero entry.
        """
        import torch

        if not (math.isfinite(init_param) and init_param > 0):
            raise ValueError(
                f"init_param: got {init_param!r} as the gain g of rank_one, expected a finite number above 0"
            )
        size = self.hidden_size
        n_connections = round(self.density * size**2)
        if n_connections == 0:
            raise ValueError(
                f"density: got {self.density}, which leaves none of {size} x {size} connections; expected a larger "
                "density or more units"
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
    """Return the parameters of the autonomous network whose feedback is its own output z = w_o·r.

    Args:
        params: parameters of a `RankOneRNN`, with or without leading axes.
        readout: w_o (*lead, H), or (*lead, F, H) for F outputs.

    Returns:
        `recurrent_weight` is M + w_f w_o, and `input_weight` is zero.
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
