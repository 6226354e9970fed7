"""The recurrent map: what every cell provides, and what follows from it for one step and its derivative.

Symbols: B sequences, H hidden units, S state size, F input features, k tangent vectors, G blocks of the drive. Every
tensor may carry the same leading axes (*lead), usually one axis of variants.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import ClassVar, Literal

import torch
from torch import Tensor

Params = dict[str, Tensor]
Unit = Tensor | float
"""What an `Update` computes with: tensors (*lead, B, H) here, numbers in compiled kernels."""
Units = tuple[Unit, ...]
UnitFunction = Callable[[Units, Units, Units], Unit]
SlopesFunction = Callable[[Units, Units, Units], tuple[Units, Units]]


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
    arithmetic and the functions of this module, because they run on tensors and, compiled, on single numbers. They may
    hold no other number than 1.0, since in a compiled kernel a literal would raise the precision.

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
    constants: tuple[float, ...] = ()
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
    fields are its hyperparameters.

    Parameters are a dictionary: "input_weight" (*lead, G*H, F), "recurrent_weight" (*lead, rows, columns) and, where
    there are biases, "bias" (*lead, G*H). The dissertation's networks have none.

    Raises:
        ValueError: a size that is not a positive integer, or a hyperparameter that is not a finite number; it is named.
    """

    name: ClassVar[str]
    n_gates: ClassVar[int] = 1
    """G, blocks of H rows of the input weight, and so of the drive."""
    n_states: ClassVar[int] = 1
    """Blocks of H units of which the state consists."""
    pre_activations: ClassVar[tuple[PreActivation, ...]]
    n_noise: ClassVar[int] = 0
    """Standard normal draws per hidden unit and step in training."""

    input_size: int
    hidden_size: int

    def __post_init__(self) -> None:
        """Refuse sizes and hyperparameters out of range."""
        for size in ("input_size", "hidden_size"):
            value = getattr(self, size)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{size} of {self.name} is {value!r}; expected an integer above 0")
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            is_number = isinstance(value, Real) and math.isfinite(value)
            if isinstance(field.default, float) and not is_number:
                raise ValueError(f"{field.name} of {self.name} is {value!r}; expected a finite number")

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
            init_param: p.
            generator: random stream on the CPU; the numbers (float32) depend on it alone.

        Raises:
            ValueError: p is negative or not finite.
        """
        if not (math.isfinite(init_param) and init_param >= 0):
            raise ValueError(f"init_param is {init_param!r}; expected a finite number, 0 or above")
        shapes = self.parameter_shapes()
        return {
            name: torch.empty(shape, dtype=torch.float32).uniform_(-init_param, init_param, generator=generator)
            for name, shape in shapes.items()
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

    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the next state (*lead, B, S).

        Args:
            prepared: what `prepare` returned.
            state: (*lead, B, S).
            drive: what `drive` returned, (*lead, B, G*H).
            noise: standard normal draws (*lead, B, n_noise, H) of a cell that is noisy in training; None: no noise.
        """
        blocks = list(state.chunk(self.n_states, dim=-1))
        for update, pre_activations, values in self._run(prepared, blocks, drive, noise):
            blocks[update.target] = update.value(pre_activations, values, update.constants)
        return torch.cat(blocks, dim=-1)

    def linearize(
        self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Linearization]:
        """Return the next state (*lead, B, S) and the derivative there; arguments as in `advance`."""
        blocks = list(state.chunk(self.n_states, dim=-1))
        slopes: dict[int, dict[int, Unit]] = {}
        direct: dict[int, dict[int, Unit]] = {}
        for update, pre_activations, values in self._run(prepared, blocks, drive, noise):
            of_pre_activations, of_blocks = update.slopes(pre_activations, values, update.constants)
            blocks[update.target] = update.value(pre_activations, values, update.constants)
            own_slopes: dict[int, Unit] = {}
            for g, slope in zip(update.pre_activations, of_pre_activations, strict=True):
                own_slopes |= {h: slope for h, a in enumerate(self.pre_activations) if h == g or a.joins == g}
            own_direct: dict[int, Unit] = {}
            for j, coefficient in zip(update.blocks, of_blocks, strict=True):
                if j not in direct:
                    _accumulate(own_direct, j, coefficient)
                    continue
                # The chain rule: a block that was renewed before moves with what it was renewed from.
                for g, slope in slopes[j].items():
                    _accumulate(own_slopes, g, coefficient * slope)
                for i, value in direct[j].items():
                    _accumulate(own_direct, i, coefficient * value)
            slopes[update.target], direct[update.target] = own_slopes, own_direct
        for of_pre_activations in slopes.values():
            for g, slope in of_pre_activations.items():
                if not isinstance(slope, Tensor):
                    of_pre_activations[g] = torch.full_like(blocks[0], slope)
        return torch.cat(blocks, dim=-1), Linearization(_by_pairs(slopes), _by_pairs(direct))

    def step(self, params: Params, state: Tensor, x: Tensor) -> Tensor:
        """Return the next state (*lead, B, S) under the input x (*lead, B, F)."""
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
        prepared = self.prepare(params)
        next_state, linearization = self.linearize(prepared, state, self.drive(params, x))
        drive_tangents = None if input_tangents is None else push(params["input_weight"], input_tangents)
        return next_state, self.move_tangents(prepared, linearization, tangents, drive_tangents)

    def move_tangents(
        self, prepared: Params, linearization: Linearization, tangents: Tensor, drive_tangents: Tensor | None = None
    ) -> Tensor:
        """Return tangent vectors one step on (forward mode): full or reduced, as in `push_forward`.

        drive_tangents (*lead, B, G*H, k) say how the drive moves with the tangents; None: it does not.
        """
        weights = self.pre_activation_weights(prepared)
        moved: dict[int, Tensor] = {}
        if drive_tangents is not None:
            blocks = drive_tangents.chunk(self.n_gates, dim=-2)
            moved = {g: blocks[a.drive] for g, a in enumerate(self.pre_activations) if a.drive is not None}

        def act(source: int, block: Tensor, after: bool) -> None:
            """Add what a block's tangents do to the pre-activations, all in one product."""
            acting = self.acting_on(source, after)
            if not acting:
                return
            pushed = push(torch.cat([weights[g] for g in acting], dim=-2), block).chunk(len(acting), dim=-2)
            for g, value in zip(acting, pushed, strict=True):
                _accumulate(moved, g, value)

        before = tangents.split(self.hidden_size, dim=-2)
        for source, block in enumerate(before):
            act(source, block, after=False)
        after: dict[int, Tensor] = {}
        # The last block first, since pre-activations may act on it as it is after the step.
        for target in reversed(self.blocks_to_move(len(before))):
            # What is missing is held: the rest of a reduced state, and a pre-activation that only the input moves.
            terms = [
                scale(slope, moved[g]) for (i, g), slope in linearization.slopes.items() if i == target and g in moved
            ]
            terms += [
                scale(coefficient, before[j])
                for (i, j), coefficient in linearization.direct.items()
                if i == target and j < len(before)
            ]
            after[target] = sum(terms[1:], start=terms[0])
            act(target, after[target], after=True)
        return after[0] if len(before) == 1 else torch.cat([after[i] for i in range(self.n_states)], dim=-2)

    def jacobian(
        self, params: Params, state: Tensor, x: Tensor, jacobian: Literal["full", "reduced"] = "full"
    ) -> Tensor:
        """Return d state_t / d state_{t-1} (*lead, B, S, S), or its leading block (*lead, B, H, H) where "reduced".

        Raises:
            ValueError: `jacobian` is neither "full" nor "reduced".
        """
        size = self.hidden_size if is_reduced(jacobian) else self.state_size
        identity = torch.eye(size, dtype=state.dtype, device=state.device).expand(*state.shape[:-1], size, size)
        return self.push_forward(params, state, x, identity)[1]

    def acting_on(self, source: int, after: bool) -> list[int]:
        """Return the pre-activations whose weight acts on that block of the state, as before or after the step."""
        return [g for g, a in enumerate(self.pre_activations) if (a.source, a.after) == (source, after)]

    def _run(
        self, prepared: Params, blocks: list[Tensor], drive: Tensor, noise: Tensor | None
    ) -> Iterator[tuple[Update, Units, Units]]:
        """Yield each update with its pre-activations, and blocks and draws, while the caller renews `blocks`."""
        weights = self.pre_activation_weights(prepared)
        drives = drive.chunk(self.n_gates, dim=-1)
        pre_activations = {g: drives[a.drive] for g, a in enumerate(self.pre_activations) if a.drive is not None}
        for g, bias in self.recurrent_biases(prepared).items():
            _accumulate(pre_activations, g, bias.unsqueeze(-2))

        def act(source: int, after: bool) -> None:
            """Add what a block of the state does to the pre-activations, all in one product."""
            acting = self.acting_on(source, after)
            if not acting:
                return
            products = blocks[source] @ torch.cat([weights[g] for g in acting], dim=-2).mT
            for g, value in zip(acting, products.chunk(len(acting), dim=-1), strict=True):
                joined = self.pre_activations[g].joins
                _accumulate(pre_activations, g if joined is None else joined, value)

        for source in range(self.n_states):
            act(source, after=False)
        for update in self.updates(noisy=noise is not None):
            draws = tuple(noise[..., draw, :] for draw in update.draws)
            yield (
                update,
                tuple(pre_activations[g] for g in update.pre_activations),
                tuple(blocks[j] for j in update.blocks) + draws,
            )
            act(update.target, after=True)

    def blocks_to_move(self, n_blocks: int) -> list[int]:
        """Return the blocks of the state that have to be moved where `n_blocks` of them, 1 or all, are asked for."""
        on_the_way = {a.source for a in self.pre_activations if a.after}
        return [i for i in range(self.n_states) if i < n_blocks or i in on_the_way]


def is_reduced(jacobian: str) -> bool:
    """Return whether `jacobian` names the reduced Jacobian, not the full one.

    Raises:
        ValueError: `jacobian` is neither "full" nor "reduced".
    """
    if jacobian not in ("full", "reduced"):
        raise ValueError(f"jacobian is {jacobian!r}; expected 'full' or 'reduced'")
    return jacobian == "reduced"


def _accumulate(totals: dict[int, Unit], key: int, term: Unit) -> None:
    totals[key] = totals[key] + term if key in totals else term


def _by_pairs(rows: dict[int, dict[int, Unit]]) -> dict[tuple[int, int], Unit]:
    return {(i, j): value for i, row in rows.items() for j, value in row.items()}


def push(weight: Tensor, tangents: Tensor) -> Tensor:
    """Return weight (*lead, rows, columns) @ tangents (*lead, B, columns, k): (*lead, B, rows, k).

    The vectors of all sequences make one product, which is many times faster than a product per sequence. They are
    handled as rows, since QR returns its vectors contiguous one by one.
    """
    vectors = tangents.mT.flatten(-3, -2) @ weight.mT
    return vectors.unflatten(-2, (tangents.shape[-3], tangents.shape[-1])).mT


def scale(slope: Tensor | float, tangents: Tensor) -> Tensor:
    """Return diag(slope) @ tangents: slope (*lead, B, H) or one number, tangents (*lead, B, H, k)."""
    return (slope.unsqueeze(-1) if isinstance(slope, Tensor) else slope) * tangents


def sigmoid(a: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-a))."""
    return torch.sigmoid(a)


def sigmoid_slope(a: Tensor) -> Tensor:
    """Return sigmoid'(a) = sigmoid(a) sigmoid(-a), accurate also where it is tiny, unlike s (1 - s)."""
    return torch.sigmoid(a) * torch.sigmoid(-a)


def tanh(a: Tensor) -> Tensor:
    """Return tanh(a)."""
    return torch.tanh(a)


def tanh_slope(a: Tensor) -> Tensor:
    """Return tanh'(a) = sech²(a) = 4 sigmoid(2a) sigmoid(-2a), accurate also where it is tiny, unlike 1 - tanh²(a)."""
    return 4 * sigmoid_slope(2 * a)


def relu(a: Tensor) -> Tensor:
    """Return max(a, 0)."""
    return torch.relu(a)


def relu_slope(a: Tensor) -> Tensor:
    """Return 1 where a >= 0, else 0; at 0 as in the dissertation's eq. 2.4."""
    return (a >= 0).to(a.dtype)
