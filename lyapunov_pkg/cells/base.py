"""Base class of cells. A cell declares its recurrent map, from which `stepping` derives a step and its derivative.

Symbols: B sequences, H hidden units, S state size, F input features, k tangent vectors, G blocks of the drive. All
tensors may have the same leading axes (*lead), usually one axis of variants.

The modules of cells load without PyTorch, which takes seconds. The workflow can therefore read their hyperparameters at
every start. Functions that need PyTorch import it themselves.
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
"""Operands of an `Update`: tensors (*lead, B, H). Compiled kernels call it with single numbers instead."""
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
        source: index of the block of the state that W multiplies; None: only the drive.
        drive: index of the block of the drive that is added; None: no drive.
        after: whether W multiplies the block's value after this step, instead of before.
        joins: index of an earlier pre-activation with another source, to which this one is added before any
            nonlinearity; None: it is not added to another one.
    """

    source: int | None
    drive: int | None
    after: bool = False
    joins: int | None = None


@dataclass(frozen=True)
class Update:
    """The update of one block of the state in a step, unit by unit, and its derivative.

    Blocks are updated in the order of `Cell.updates`, so that an update reads earlier blocks after the step. `value`
    and `slopes` take three tuples: pre-activations, blocks followed by draws, and constants. They may use only
    arithmetic and the functions of `lyapunov_pkg.cells.functions`, because they run on tensors and, compiled, on single
    numbers. The only number in them may be 1.0, because another literal would raise the precision of a compiled kernel.

    Attributes:
        target: index of the block that is updated.
        pre_activations: indices of its pre-activations, without those that join another one.
        blocks: indices of the blocks of the state that it takes. If the target is among them, it is first.
        value: function that returns the new value.
        slopes: function that returns the derivatives of the new value by each of `pre_activations` and by each of
            `blocks`.
        constants: numbers that follow from the hyperparameters.
        draws: indices of the standard normal draws that it takes.
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
    """The derivative of one step at a state and a drive, in blocks of H units.

        d state'_i = sum_g slopes[i, g] ∘ d a_g + sum_j direct[i, j] ∘ d state_j,
        d a_g = W_g d state_source(g) + d drive_block(g)

    with a_g the cell's `pre_activations` and W_g its `pre_activation_weights`. All other derivatives are zero.

    Attributes:
        slopes: {(block of the next state, pre-activation): (*lead, B, H)}.
        direct: {(block of the next state, block of the state): (*lead, B, H), or one number for all units}.
    """

    slopes: dict[tuple[int, int], Tensor]
    direct: dict[tuple[int, int], Tensor | float]


@dataclass(frozen=True)
class Cell(ABC):
    """A stateless recurrent map `state_t = step(params, state_{t-1}, x_t)` with its analytic Jacobian.

    A subclass defines `name`, the counts `n_gates`, `n_states` and `n_noise`, the `pre_activations` of its
    nonlinearities, and the methods `pre_activation_weights` and `updates`. The step, its derivative and training follow
    from these. The hidden units are the first block of the state: LSTM (h, c), coRNN and LEM (y, z). The other
    dataclass fields of a subclass are its hyperparameters. Each is declared by
    `lyapunov_pkg.cells.hyperparameters.hyperparameter`.

    Parameters are a dictionary: "input_weight" (*lead, G*H, F), "recurrent_weight" (*lead, rows, columns), and
    optionally "bias" (*lead, G*H). The dissertation's networks have no biases.

    Raises:
        ValueError: a size is not a positive integer, or a hyperparameter is out of range. The message names it.
    """

    name: ClassVar[str]
    n_gates: ClassVar[int] = 1
    """G, the number of blocks of H rows of the input weight, and of blocks of the drive."""
    n_states: ClassVar[int] = 1
    """Number of blocks of H units in the state."""
    n_noise: ClassVar[int] = 0
    """Number of standard normal draws per hidden unit and step in training."""
    pre_activations: ClassVar[tuple[PreActivation, ...]]

    input_size: int
    hidden_size: int

    def __post_init__(self) -> None:
        """Check that sizes and hyperparameters are in range."""
        for name, allowed in (dict.fromkeys(SIZES, SIZE) | declared(type(self))).items():
            value = getattr(self, name)
            if not allowed.allows(value):
                raise ValueError(f"{name} of {self.name}: got {value!r}, expected {allowed.expected}")

    @property
    def state_size(self) -> int:
        """S, the number of state variables."""
        return self.n_states * self.hidden_size

    def parameter_shapes(self) -> dict[str, tuple[int, int]]:
        """Return {name: (rows, columns)} of the parameters, in the order of the draws."""
        rows = self.n_gates * self.hidden_size
        return {"input_weight": (rows, self.input_size), "recurrent_weight": (rows, self.hidden_size)}

    def draw_params(self, init_param: float, generator: torch.Generator) -> Params:
        """Return weights that are uniform on [-p, p], without biases (dissertation, appendix A of chapter 3, SMNIST).

        Args:
            init_param: the half-width p.
            generator: random generator on the CPU. The weights (float32) depend only on it.

        Raises:
            ValueError: p is negative or not finite.
        """
        import torch

        if not (math.isfinite(init_param) and init_param >= 0):
            raise ValueError(f"init_param: got {init_param!r}, expected a finite number, 0 or above")
        return {
            name: torch.empty(shape, dtype=torch.float32).uniform_(-init_param, init_param, generator=generator)
            for name, shape in self.parameter_shapes().items()
        }

    def prepare(self, params: Params) -> Params:
        """Return the weights in the form that a step uses, computed from the trained weights once per sequence."""
        return params

    def drive(self, params: Params, x: Tensor) -> Tensor:
        """Return the drive W x + b (*lead, B, G*H) for inputs x (*lead, B, F) or (B, F).

        Inputs influence a step only through the drive.
        """
        drive = x @ params["input_weight"].mT
        return drive + params["bias"].unsqueeze(-2) if "bias" in params else drive

    @abstractmethod
    def pre_activation_weights(self, prepared: Params) -> tuple[Tensor | None, ...]:
        """Return the weight W of each of the `pre_activations`, as (*lead, H, H) views of the result of `prepare`.

        The entry is None for a pre-activation that is only the drive.
        """

    @abstractmethod
    def updates(self, noisy: bool = False) -> tuple[Update, ...]:
        """Return the updates of the blocks of the state, in order; with `noisy` those of training with noise."""

    def recurrent_biases(self, prepared: Params) -> dict[int, Tensor]:
        """Return biases (*lead, H) of pre-activations in addition to those in the drive. Most cells have none."""
        return {}

    def acting_on(self, source: int, after: bool) -> list[int]:
        """Return the pre-activations whose weight multiplies a block of the state, before or after the step."""
        return [g for g, a in enumerate(self.pre_activations) if (a.source, a.after) == (source, after)]

    def blocks_to_move(self, n_blocks: int) -> list[int]:
        """Return the blocks of the state whose tangents are needed for the first `n_blocks` (1 or all)."""
        on_the_way = {a.source for a in self.pre_activations if a.after}
        return [i for i in range(self.n_states) if i < n_blocks or i in on_the_way]

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the next state (*lead, B, S).

        Args:
            prepared: the result of `prepare`.
            state: (*lead, B, S).
            drive: the result of `drive`, (*lead, B, G*H).
            noise: standard normal draws (*lead, B, n_noise, H) for a noisy cell in training; None: no noise.
        """
        from lyapunov_pkg.cells import stepping

        return stepping.advance(self, prepared, state, drive, noise)

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """Return the next state (*lead, B, S) and the derivative of the step; arguments as in `advance`."""
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
        """Return the next state, and the analytic Jacobian times tangent vectors of the state and of the input.

        Args:
            params: the cell's parameters.
            state: (*lead, B, S).
            x: (*lead, B, F).
            tangents: (*lead, B, S, k), or (*lead, B, H, k) for the dissertation's reduced Jacobian. That is the
                derivative of the hidden units by the hidden units, with the rest of the state held fixed. The result
                has as many rows.
            input_tangents: (*lead, B, F, k), for layers whose input is the output of another layer; None: the input is
                fixed.
        """
        from lyapunov_pkg.cells import stepping

        prepared = self.prepare(params)
        next_state, linearization = self.linearize(prepared, state, self.drive(params, x))
        drive_tangents = None if input_tangents is None else stepping.push(params["input_weight"], input_tangents)
        return next_state, stepping.move_tangents(self, prepared, linearization, tangents, drive_tangents)

    def jacobian(self, params: Params, state: Tensor, x: Tensor, jacobian: JacobianKind = "full") -> Tensor:
        """Return d state_t / d state_{t-1} (*lead, B, S, S), or its leading block (*lead, B, H, H) for "reduced".

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
        raise ValueError(f"jacobian: got {jacobian!r}, expected 'full' or 'reduced'")
    return jacobian == "reduced"
