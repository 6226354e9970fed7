"""The recurrent map as a statement: what every cell declares. One step and its derivative follow from it in `stepping`.

Symbols: B sequences, H hidden units, S state size, F input features, k tangent vectors, G blocks of the drive. Every
tensor may carry the same leading axes (*lead), usually one axis of variants.

The modules of cells load without PyTorch, which takes seconds, so that the workflow can ask for their hyperparameters
whenever it starts. Whatever needs PyTorch imports it in its function.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from lyapunov_pkg.cells.hyperparameters import SIZES, Hyperparameter, declared

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Params: TypeAlias = "dict[str, Tensor]"
Units: TypeAlias = "tuple[Tensor, ...]"
"""What an `Update` computes with: tensors (*lead, B, H); compiled kernels call it with single numbers instead."""
Constants: TypeAlias = tuple[float, ...]
Slopes: TypeAlias = "tuple[Tensor | float, ...]"
UnitFunction: TypeAlias = "Callable[[Units, Units, Constants], Tensor]"
SlopesFunction: TypeAlias = "Callable[[Units, Units, Constants], tuple[Slopes, Slopes]]"
JacobianKind: TypeAlias = Literal["full", "reduced"]

SIZE = Hyperparameter("size", 1, "Number of units or features.", "1", "", above=0)


@dataclass(frozen=True)
class PreActivation:
    """One block of H pre-activations of a cell's nonlinearities, a = W state_source + drive_block.

    Attributes:
        source: the block of the state that W acts on; None: the drive alone.
        drive: the block of the drive that is added; None: none.
        after: W acts on the block as it is after this step, not before.
        joins: the pre-activation, earlier and of another source, that this one is added to before any nonlinearity;
            None: it stands for itself.
    """

    source: int | None
    drive: int | None
    after: bool = False
    joins: int | None = None


@dataclass(frozen=True)
class Update:
    """How a step renews one block of the state, unit by unit, and the derivative of that.

    Blocks are renewed in the order of `Cell.updates`, so that an update reads earlier ones as they are after the step.

    `value` and `slopes` take (pre-activations, blocks and then draws, constants), each a tuple. They do nothing but
    arithmetic and the functions of `lyapunov_pkg.cells.functions`, because they run on tensors and, compiled, on single
    numbers. They may hold no other number than 1.0, since in a compiled kernel a literal would raise the precision.

    Attributes:
        target: the block that is renewed.
        pre_activations: the pre-activations that it takes, those that join another left out.
        blocks: the blocks of the state that it takes; the target, if among them, first.
        value: returns the new value.
        slopes: returns its derivatives by each of `pre_activations` and by each of `blocks`.
        constants: numbers that follow from the hyperparameters.
        draws: which standard normal draws it takes.
    """

    target: int
    pre_activations: tuple[int, ...]
    blocks: tuple[int, ...]
    value: UnitFunction
    slopes: SlopesFunction
    constants: Constants = ()
    draws: tuple[int, ...] = ()


@dataclass(frozen=True)
class Linearization:
    """The derivative of one step at a state and a drive, by blocks of H units.

        d state'_i = sum_g slopes[i, g] ∘ d a_g + sum_j direct[i, j] ∘ d state_j,
        d a_g = W_g d state_source(g) + d drive_block(g)

    with a_g the cell's `pre_activations` and W_g its `pre_activation_weights`. All other derivatives are zero.

    Attributes:
        slopes: (*lead, B, H) by (block of the next state, pre-activation).
        direct: (*lead, B, H), or one number for all, by (block of the next state, block of the state).
    """

    slopes: dict[tuple[int, int], Tensor]
    direct: dict[tuple[int, int], Tensor | float]


@dataclass(frozen=True)
class Cell(ABC):
    """A stateless recurrent map `state_t = step(params, state_{t-1}, x_t)` with its analytic Jacobian.

    A subclass states its `name`, its counts `n_gates`, `n_states` and `n_noise`, and the `pre_activations` of its
    nonlinearities, and writes `pre_activation_weights` and `updates`. The step, its derivative and training follow from
    those. The hidden units are the first block of the state: LSTM (h, c), coRNN and LEM (y, z). Its own dataclass
    fields are its hyperparameters, each declared by `lyapunov_pkg.cells.hyperparameters.hyperparameter`.

    Parameters are a dictionary: "input_weight" (*lead, G*H, F), "recurrent_weight" (*lead, rows, columns) and, where
    there are biases, "bias" (*lead, G*H). The dissertation's networks have none.

    Raises:
        ValueError: a size that is not a positive integer, or a hyperparameter out of its range; it is named.
    """

    name: ClassVar[str]
    n_gates: ClassVar[int] = 1
    """G, blocks of H rows of the input weight, and so of the drive."""
    n_states: ClassVar[int] = 1
    """Blocks of H units of which the state consists."""
    n_noise: ClassVar[int] = 0
    """Standard normal draws per hidden unit and step in training."""
    pre_activations: ClassVar[tuple[PreActivation, ...]]

    input_size: int
    hidden_size: int

    def __post_init__(self) -> None:
        """Refuse sizes and hyperparameters out of range."""
        for name, allowed in (dict.fromkeys(SIZES, SIZE) | declared(type(self))).items():
            value = getattr(self, name)
            if not allowed.allows(value):
                raise ValueError(f"{name} of {self.name} is {value!r}; expected {allowed.expected}")

    @property
    def state_size(self) -> int:
        """S, the number of state variables."""
        return self.n_states * self.hidden_size

    def parameter_shapes(self) -> dict[str, tuple[int, int]]:
        """Return the shape (rows, columns) of each parameter, in the order in which they are drawn."""
        rows = self.n_gates * self.hidden_size
        return {"input_weight": (rows, self.input_size), "recurrent_weight": (rows, self.hidden_size)}

    def draw_params(self, init_param: float, generator: torch.Generator) -> Params:
        """Draw all weights uniformly on [-p, p], without biases (dissertation, appendix A of chapter 3, SMNIST).

        Args:
            init_param: the half-width p.
            generator: random stream on the CPU; the numbers (float32) depend on it alone.

        Raises:
            ValueError: p is negative or not finite.
        """
        import torch

        if not (math.isfinite(init_param) and init_param >= 0):
            raise ValueError(f"init_param is {init_param!r}; expected a finite number, 0 or above")
        return {
            name: torch.empty(shape, dtype=torch.float32).uniform_(-init_param, init_param, generator=generator)
            for name, shape in self.parameter_shapes().items()
        }

    def prepare(self, params: Params) -> Params:
        """Return the weights as a step takes them; once per sequence, where they are derived from trained ones."""
        return params

    def drive(self, params: Params, x: Tensor) -> Tensor:
        """Return W x + b (*lead, B, G*H) of inputs x (*lead, B, F) or (B, F): the only way in which an input enters."""
        drive = x @ params["input_weight"].mT
        return drive + params["bias"].unsqueeze(-2) if "bias" in params else drive

    @abstractmethod
    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """Return W of each of the `pre_activations`, (*lead, H, H) views of what `prepare` returned.

        None stands for a pre-activation that is the drive alone.
        """

    @abstractmethod
    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """Return how the blocks of the state are renewed, in this order; `noisy` as in training with noise."""

    def recurrent_biases(self, prepared: Params) -> dict[int, Tensor]:
        """Return biases (*lead, H) added to pre-activations besides those in the drive; most cells have none."""
        return {}

    def acting_on(self, source: int, after: bool) -> list[int]:
        """Return the pre-activations whose weight acts on that block of the state, as before or after the step."""
        return [g for g, a in enumerate(self.pre_activations) if (a.source, a.after) == (source, after)]

    def blocks_to_move(self, n_blocks: int) -> list[int]:
        """Return the blocks of the state that have to be moved where `n_blocks` of them, 1 or all, are asked for."""
        on_the_way = {a.source for a in self.pre_activations if a.after}
        return [i for i in range(self.n_states) if i < n_blocks or i in on_the_way]

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the next state (*lead, B, S).

        Args:
            prepared: what `prepare` returned.
            state: (*lead, B, S).
            drive: what `drive` returned, (*lead, B, G*H).
            noise: standard normal draws (*lead, B, n_noise, H) of a cell that is noisy in training; None: no noise.
        """
        from lyapunov_pkg.cells import stepping

        return stepping.advance(self, prepared, state, drive, noise)

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """Return the next state (*lead, B, S) and the derivative there; arguments as in `advance`."""
        from lyapunov_pkg.cells import stepping

        return stepping.linearize(self, prepared, state, drive, noise)

    def step(self, params: Params, state: Tensor, x: Tensor) -> Tensor:
        """Return the next state (*lead, B, S) under the input x (*lead, B, F).

        Example:
            >>> import torch
            >>> from lyapunov_pkg.cells import make_cell
            >>> cell = make_cell("lstm", input_size=3, hidden_size=5)
            >>> params = cell.draw_params(0.5, torch.Generator().manual_seed(0))
            >>> cell.step(params, torch.zeros(2, cell.state_size), torch.ones(2, 3)).shape
            torch.Size([2, 10])
        """
        return self.advance(self.prepare(params), state, self.drive(params, x))

    def push_forward(
        self, params: Params, state: Tensor, x: Tensor, tangents: Tensor, input_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the next state and the analytic Jacobian applied to tangent vectors in the state and in the input.

        Args:
            params: the cell's parameters.
            state: (*lead, B, S).
            x: (*lead, B, F).
            tangents: (*lead, B, S, k), or (*lead, B, H, k) for the dissertation's reduced Jacobian, the derivative of
                the hidden units by the hidden units with the rest of the state held fixed; as many rows come back.
            input_tangents: (*lead, B, F, k), for layers whose input is another's output; None: the input is fixed.
        """
        from lyapunov_pkg.cells import stepping

        prepared = self.prepare(params)
        next_state, linearization = self.linearize(prepared, state, self.drive(params, x))
        drive_tangents = None if input_tangents is None else stepping.push(params["input_weight"], input_tangents)
        return next_state, stepping.move_tangents(self, prepared, linearization, tangents, drive_tangents)

    def jacobian(self, params: Params, state: Tensor, x: Tensor, jacobian: JacobianKind = "full") -> Tensor:
        """Return d state_t / d state_{t-1} (*lead, B, S, S), or its leading block (*lead, B, H, H) where "reduced".

        Raises:
            ValueError: `jacobian` is neither "full" nor "reduced".

        Example:
            >>> import torch
            >>> from lyapunov_pkg.cells import make_cell
            >>> cell = make_cell("lstm", input_size=3, hidden_size=5)
            >>> params = cell.draw_params(0.5, torch.Generator().manual_seed(0))
            >>> state, x = torch.zeros(2, cell.state_size), torch.ones(2, 3)
            >>> cell.jacobian(params, state, x).shape, cell.jacobian(params, state, x, "reduced").shape
            (torch.Size([2, 10, 10]), torch.Size([2, 5, 5]))
        """
        import torch

        size = self.hidden_size if is_reduced(jacobian) else self.state_size
        identity = torch.eye(size, dtype=state.dtype, device=state.device).expand(*state.shape[:-1], size, size)
        return self.push_forward(params, state, x, identity)[1]


def is_reduced(jacobian: str) -> bool:
    """Return whether `jacobian` names the reduced Jacobian, not the full one.

    Raises:
        ValueError: `jacobian` is neither "full" nor "reduced".
    """
    if jacobian not in ("full", "reduced"):
        raise ValueError(f"jacobian is {jacobian!r}; expected 'full' or 'reduced'")
    return jacobian == "reduced"
