"""Readers of systems with their own tangent map: networks of this package, and objects with `push_forward`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lyapunov_pkg.networks import Network
from lyapunov_pkg.systems.base import Placement, PreparedSystem, Reader, TangentMap, placed
from lyapunov_pkg.systems.checks import check_tangent_map
from lyapunov_pkg.systems.flows import Flow
from lyapunov_pkg.systems.numbers import read_numbers
from lyapunov_pkg.systems.states import STATE_DIMS, State


class TangentMapReader(Reader):
    """Reader of objects with `push_forward(state, x, tangents)`.

    The attributes `initial_state`, `state_size` and `input_size` of the object are optional.
    """

    def __init__(self, system: Any) -> None:
        self.system = system

    def input_size(self) -> int | None:
        """See `Reader.input_size`."""
        size = getattr(self.system, "input_size", None)
        return size if isinstance(size, int) else None

    def read_state(self, initial_state: State, n_sequences: int | None) -> Tensor:
        """Return the state (sequence, S), or (variant, sequence, S): the user's, or the system's own.

        Raises:
            TypeError: the state is not numeric.
            ValueError: the state has another shape than that of the system.
        """
        given = None if initial_state is None else read_numbers("initial_state", initial_state, STATE_DIMS)
        makes_default = callable(getattr(self.system, "initial_state", None))
        if n_sequences is None:
            n_sequences = 1 if given is None or given.ndim < 2 else given.shape[-2]
        default = self.system.initial_state(n_sequences) if makes_default else None
        if given is None:
            if default is None:
                raise ValueError(
                    "initial_state: got None, expected (sequence, S), because the system has no default state"
                )
            return torch.as_tensor(default)
        if default is not None:
            expected = tuple(default.shape)
        else:
            size = getattr(self.system, "state_size", given.shape[-1] if given.ndim else 1)
            expected = (n_sequences, size)
        try:
            return given.expand(expected)
        except RuntimeError:
            raise ValueError(
                f"initial_state: got shape {tuple(given.shape)}, expected {expected} or its last axes"
            ) from None

    def count_sequences(self, state: Tensor) -> int:
        """See `Reader.count_sequences`."""
        return state.shape[-2]

    def prepare(self, state: Tensor, inputs: Tensor, placement: Placement) -> PreparedSystem:
        """See `Reader.prepare`."""
        system: TangentMap = self.system
        flat = placed(state, placement)
        check_tangent_map(system, flat.detach(), inputs.detach())
        return PreparedSystem(system, flat)


class FlowReader(TangentMapReader):
    """Reader of flows that users define with `Flow`."""

    system: Flow

    def prepare(self, state: State, inputs: Tensor, placement: Placement) -> PreparedSystem:
        """See `Reader.prepare`."""
        system, flat = self.system.of_one_computation(), placed(state, placement)
        if system.needs_trial(flat.detach(), inputs[:, 0].detach(), placement):
            check_tangent_map(system, flat.detach(), inputs.detach())
        return PreparedSystem(system, flat)


class NetworkReader(TangentMapReader):
    """Reader of a `Network` of this package, with any number of variants."""

    system: Network

    def weights(self) -> Tensor:
        """See `Reader.weights`."""
        return next(iter(self.system.params.values()))

    def prepare(self, state: Tensor, inputs: Tensor, placement: Placement) -> PreparedSystem:
        """See `Reader.prepare`."""
        bad = [name for name, weights in self.system.params.items() if not torch.isfinite(weights).all()]
        if bad:
            raise ValueError(f"system: got NaN or infinite weights in {bad}, expected finite weights")
        network = self.system.to(device=placement.device, dtype=placement.dtype)
        return PreparedSystem(network, placed(state, placement))
