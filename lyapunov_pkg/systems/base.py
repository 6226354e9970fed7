"""What the computation of exponents asks of a system, and how each kind of system reads its inputs and states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from lyapunov_pkg.systems.numbers import Values, converted, read_numbers
from lyapunov_pkg.systems.states import State

INPUT_DIMS = ("sequence", "time", "feature")
"""Dimensions of labelled inputs, and the order of the others, except those of torch.nn modules."""


@runtime_checkable
class TangentMap(Protocol):
    """A system as exponents are computed of it: a step that carries tangent vectors along."""

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """From state (..., S), input (..., F) and tangents (..., S, k): the next state, and J times the tangents."""


@dataclass(frozen=True)
class Placement:
    """The dtype and the device of a computation, and whether gradients flow to the system's own weights."""

    dtype: torch.dtype
    device: torch.device
    differentiable: bool


@dataclass(frozen=True)
class PreparedSystem:
    """A system with its initial state, checked and placed.

    Attributes:
        system: what is stepped.
        initial_state: (sequence, S), or (variant, sequence, S).
        drops_variant: the system has an axis of one variant that its user does not know of.
    """

    system: TangentMap
    initial_state: Tensor
    drops_variant: bool = False


class Reader(ABC):
    """A kind of system: what its inputs and states look like, and how it becomes a `TangentMap`.

    The order of the calls is `refuse_missing_state`, `read_inputs`, `read_state`, `prepare`.
    """

    def refuse_missing_state(self, initial_state: State, autonomous: bool) -> None:  # noqa: B027
        """Refuse a call without a state of a system that defines none; most kinds define one."""

    @abstractmethod
    def read_state(self, initial_state: State, n_sequences: int | None) -> State:
        """Return the state that the user gave as checked tensors; None where the system's own is taken.

        Args:
            initial_state: what the user gave.
            n_sequences: of the inputs; None: the system is autonomous.
        """

    @abstractmethod
    def count_sequences(self, state: State) -> int:
        """Return how many sequences a state starts that `read_state` returned."""

    @abstractmethod
    def prepare(self, state: State, inputs: Tensor, placement: Placement) -> PreparedSystem:
        """Return the system, checked on its first inputs (sequence, time, feature), which are placed."""

    def read_inputs(self, inputs: Values) -> Tensor:
        """Return inputs (sequence, time, feature) in their own dtype."""
        sequences = read_numbers("inputs", inputs, INPUT_DIMS)
        if sequences.ndim != 3 or 0 in sequences.shape[:2]:
            raise ValueError(
                f"inputs: got shape {tuple(sequences.shape)}, expected (sequence, time, feature), none empty"
            )
        return self.check_features(sequences)

    def check_features(self, sequences: Tensor) -> Tensor:
        """Refuse inputs (..., feature) of another number of features than the system takes."""
        expected = self.input_size()
        if expected is not None and sequences.shape[-1] != expected:
            raise ValueError(
                f"inputs: got {sequences.shape[-1]} features per time step, expected the system's {expected}"
            )
        return sequences

    def input_size(self) -> int | None:
        """Return how many features the inputs must have; None: any number."""
        return None

    def weights(self) -> Tensor | None:
        """Return a weight whose dtype and device decide those of the computation; None: inputs and state decide."""
        return None


def placed(state: Tensor, placement: Placement) -> Tensor:
    """Return an initial state in the dtype and on the device of the computation."""
    return converted("initial_state", state, placement.dtype, placement.device).contiguous()
