"""Protocol of a system whose exponents are computed, and base class of the readers of each kind of system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from lyapunov_pkg.systems.numbers import Values, converted, read_numbers
from lyapunov_pkg.systems.states import State

INPUT_DIMS = ("sequence", "time", "feature")
"""Dimensions of labelled inputs. Other inputs have this order, except those of torch.nn modules."""


@runtime_checkable
class TangentMap(Protocol):
    """A system in the form that the computation of exponents needs: a step of the state and of tangent vectors."""

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next state (..., S), and the Jacobian times the tangents (..., S, k), for inputs (..., F)."""


@dataclass(frozen=True)
class Placement:
    """The dtype and the device of a computation, and whether gradients flow to the system's own weights."""

    dtype: torch.dtype
    device: torch.device
    differentiable: bool


@dataclass(frozen=True)
class PreparedSystem:
    """A system with its initial state, checked, in the dtype and on the device of the computation.

    Attributes:
        system: the system.
        initial_state: (sequence, S), or (variant, sequence, S).
        drops_variant: whether to drop the axis of variants from results, because the user's system has none.
    """

    system: TangentMap
    initial_state: Tensor
    drops_variant: bool = False


class Reader(ABC):
    """Reader of one kind of system: it checks inputs and states, and makes the system a `TangentMap`.

    Call the methods in this order: `refuse_missing_state`, `read_inputs`, `read_state`, `prepare`.
    """

    def refuse_missing_state(self, initial_state: State, autonomous: bool) -> None:  # noqa: B027
        """Raise an error if no state is given and the system defines none. Most kinds define one."""

    @abstractmethod
    def read_state(self, initial_state: State, n_sequences: int | None) -> State:
        """Return the user's state as checked tensors; None if the system's own state is used.

        Args:
            initial_state: the user's argument.
            n_sequences: number of sequences of the inputs; None if the system is autonomous.
        """

    @abstractmethod
    def count_sequences(self, state: State) -> int:
        """Return the number of sequences of a state that `read_state` returned."""

    @abstractmethod
    def prepare(self, state: State, inputs: Tensor, placement: Placement) -> PreparedSystem:
        """Return the system, checked with its first inputs (sequence, time, feature) on the right device."""

    def read_inputs(self, inputs: Values) -> Tensor:
        """Return inputs (sequence, time, feature) in their own dtype."""
        sequences = read_numbers("inputs", inputs, INPUT_DIMS)
        if sequences.ndim != 3 or 0 in sequences.shape[:2]:
            raise ValueError(
                f"inputs: got shape {tuple(sequences.shape)}, expected (sequence, time, feature), none empty"
            )
        return self.check_features(sequences)

    def check_features(self, sequences: Tensor) -> Tensor:
        """Return inputs (..., feature), or raise an error if their number of features is not that of the system."""
        expected = self.input_size()
        if expected is not None and sequences.shape[-1] != expected:
            raise ValueError(
                f"inputs: got {sequences.shape[-1]} features per time step, expected the system's {expected}"
            )
        return sequences

    def input_size(self) -> int | None:
        """Return the required number of input features; None if any number is allowed."""
        return None

    def weights(self) -> Tensor | None:
        """Return a weight that sets the dtype and device of the computation; None if inputs and state set them."""
        return None


def placed(state: Tensor, placement: Placement) -> Tensor:
    """Return an initial state in the dtype and on the device of the computation."""
    return converted("initial_state", state, placement.dtype, placement.device).contiguous()
