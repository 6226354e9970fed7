"""The recurrent map: what every cell provides, and the three products of which all cells are made.

Symbols: B sequences, H hidden units, S state size, F input features, k tangent vectors, G gates. Every tensor may carry
the same leading axes (*lead), usually one axis of variants.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import ClassVar

import torch
from torch import Tensor

Params = dict[str, Tensor]


@dataclass(frozen=True)
class Cell(ABC):
    """A stateless recurrent map `state_t = step(params, state_{t-1}, x_t)` with its analytic Jacobian.

    A subclass states its `name`, how many blocks of H rows the input weight has (`gates`) and of how many blocks of H
    units the state consists (`states`; hidden units first: LSTM (h, c), coRNN and LEM (y, z)), and writes `advance` and
    `advance_tangents`. Its own dataclass fields are its hyperparameters.

    Parameters are a dictionary: "input_weight" (*lead, G*H, F), "recurrent_weight" (*lead, rows, columns) and, where
    there are biases, "bias" (*lead, G*H). The dissertation's networks have none.

    Raises:
        ValueError: a size that is not a positive integer, or a hyperparameter that is not a finite number; it is named.
    """

    name: ClassVar[str]
    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1
    noise_shape: ClassVar[int] = 0
    """Standard normal draws per hidden unit and step that `advance` takes as `noise`."""

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
        return self.states * self.hidden_size

    def parameter_shapes(self) -> dict[str, tuple[int, int]]:
        """Return the shape (rows, columns) of each parameter, in the order in which they are drawn."""
        rows = self.gates * self.hidden_size
        return {"input_weight": (rows, self.input_size), "recurrent_weight": (rows, self.hidden_size)}

    def init_params(self, init_param: float, generator: torch.Generator) -> Params:
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
        """Return the weights as `advance` takes them; once per sequence, where they are derived from trained ones."""
        return params

    def drive(self, params: Params, x: Tensor) -> Tensor:
        """Return W x + b (*lead, B, G*H) of inputs x (*lead, B, F) or (B, F): the only way in which an input enters."""
        drive = x @ params["input_weight"].mT
        return drive + params["bias"].unsqueeze(-2) if "bias" in params else drive

    @abstractmethod
    def advance(self, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the next state (*lead, B, S).

        Args:
            prepared: what `prepare` returned.
            state: (*lead, B, S).
            drive: what `drive` returned, (*lead, B, G*H).
            noise: standard normal draws (*lead, B, noise_shape, H) of a cell that is noisy in training; None: no noise.
        """

    @abstractmethod
    def advance_tangents(
        self, prepared: Params, state: Tensor, drive: Tensor, tangents: Tensor, drive_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the next state and the tangent vectors moved by the map's derivative there.

        Args:
            prepared: what `prepare` returned.
            state: (*lead, B, S).
            drive: (*lead, B, G*H).
            tangents: (*lead, B, S, k), or (*lead, B, H, k) for the dissertation's reduced Jacobian, the derivative of
                the hidden units by the hidden units with the rest of the state held fixed; as many rows come back.
            drive_tangents: how the drive moves with the tangents, (*lead, B, G*H, k); None: it does not.
        """

    def step(self, params: Params, state: Tensor, x: Tensor) -> Tensor:
        """Return the next state (*lead, B, S) under the input x (*lead, B, F)."""
        return self.advance(self.prepare(params), state, self.drive(params, x))

    def push_forward(
        self, params: Params, state: Tensor, x: Tensor, tangents: Tensor, input_tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the next state and the analytic Jacobian applied to tangent vectors in the state and in the input.

        Shapes as in `advance_tangents`; input_tangents is (*lead, B, F, k), for layers whose input is another's output.
        """
        drive_tangents = None if input_tangents is None else push(params["input_weight"], input_tangents)
        return self.advance_tangents(self.prepare(params), state, self.drive(params, x), tangents, drive_tangents)

    def jacobian(self, params: Params, state: Tensor, x: Tensor, reduced: bool = False) -> Tensor:
        """Return d state_t / d state_{t-1} (*lead, B, S, S), or its leading block (*lead, B, H, H) where `reduced`."""
        size = self.hidden_size if reduced else self.state_size
        identity = torch.eye(size, dtype=state.dtype, device=state.device).expand(*state.shape[:-1], size, size)
        return self.push_forward(params, state, x, identity)[1]

    def split_tangents(self, tangents: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the tangents of the hidden units and those of the rest, None where they are reduced (held fixed)."""
        if tangents.shape[-2] == self.hidden_size:
            return tangents, None
        hidden, rest = tangents.split([self.hidden_size, self.state_size - self.hidden_size], dim=-2)
        return hidden, rest


def affine(drive: Tensor, vectors: Tensor, weight: Tensor) -> Tensor:
    """Return drive (*lead, B, rows) + weight (*lead, rows, columns) @ vectors (*lead, B, columns)."""
    if drive.dim() == vectors.dim() == weight.dim() == 3:
        return torch.baddbmm(drive, vectors, weight.mT)
    return drive + vectors @ weight.mT


def push(weight: Tensor, tangents: Tensor) -> Tensor:
    """Return weight (*lead, rows, columns) @ tangents (*lead, B, columns, k): (*lead, B, rows, k).

    The vectors of all sequences make one product, which is many times faster than a product per sequence. They are
    handled as rows, since QR returns its vectors contiguous one by one.
    """
    vectors = tangents.mT.flatten(-3, -2) @ weight.mT
    return vectors.unflatten(-2, (tangents.shape[-3], tangents.shape[-1])).mT


def scale(slope: Tensor, tangents: Tensor) -> Tensor:
    """Return diag(slope) @ tangents: slope (*lead, B, H), tangents (*lead, B, H, k)."""
    return slope.unsqueeze(-1) * tangents


def sigmoid_slope(a: Tensor) -> Tensor:
    """Return sigmoid'(a) = sigmoid(a) sigmoid(-a), accurate also where it is tiny, unlike s (1 - s)."""
    return torch.sigmoid(a) * torch.sigmoid(-a)


def tanh_slope(a: Tensor) -> Tensor:
    """Return tanh'(a) = sech²(a) = 4 sigmoid(2a) sigmoid(-2a), accurate also where it is tiny, unlike 1 - tanh²(a)."""
    return 4 * sigmoid_slope(2 * a)
