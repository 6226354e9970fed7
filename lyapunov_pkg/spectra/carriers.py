"""Who carries tangent vectors along trajectories: compiled kernels for the networks of this package on the CPU, PyTorch
for everything else.

A carrier holds the state and the tangent vectors of all trajectories and takes them through a few steps at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Linearization, Params
from lyapunov_pkg.linalg import orthonormalize
from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.driven import TangentMap

if TYPE_CHECKING:
    from lyapunov_pkg.linalg.tangent_flow import Block

SLOPES_AT_ONCE = 16_000_000
"""Slopes that are computed ahead of the kernels, numbers; bounds memory, changes no result."""


class Carrier(ABC):
    """Trajectories with their tangent vectors.

    Attributes:
        state: (..., S), as it is now.
        steps_at_once: for how many steps `advance` is best called.
    """

    state: Tensor
    steps_at_once: int

    @abstractmethod
    def advance(self, inputs: Tensor, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """Take state and tangent vectors through the steps of `inputs` (..., step, feature).

        Args:
            inputs: as the system takes them, with an axis of steps before that of features.
            orthonormalizes: for each step, whether the tangent vectors are orthonormalised after it.

        Returns:
            log_r (interval, ..., k): natural logarithm of the diagonal of R at each orthonormalisation.
            sines (interval, ...): smallest sine of the angle between a vector and the span of those before it.
        """

    @abstractmethod
    def snapshot(self) -> Any:
        """Return what `restore` needs to come back here."""

    @abstractmethod
    def restore(self, snapshot: Any) -> None:
        """Come back to where `snapshot` was taken."""


def carrier(system: TangentMap, state: Tensor, tangents: Tensor) -> Carrier:
    """Return what is fastest for this system and these tangent vectors (..., rows, k)."""
    if (
        isinstance(system, Network)
        and tangents.device.type == "cpu"
        and len({c.hidden_size for c in system.cells}) == 1
    ):
        return KernelCarrier(system, state, tangents)
    return StepCarrier(system, state, tangents)


class StepCarrier(Carrier):
    """Any system, step by step: its own `push_forward`, and `orthonormalize`."""

    steps_at_once = 1

    def __init__(self, system: TangentMap, state: Tensor, tangents: Tensor) -> None:
        self.system, self.state, self.tangents = system, state, tangents

    def advance(self, inputs: Tensor, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """See `Carrier.advance`."""
        log_rs = [self.tangents.new_empty(0, *self.tangents.shape[:-2], self.tangents.shape[-1], dtype=torch.float64)]
        sines = [log_rs[0].new_empty(0, *self.tangents.shape[:-2])]
        for x, ends in zip(inputs.unbind(-2), orthonormalizes, strict=True):
            self.state, self.tangents = self.system.push_forward(self.state, x, self.tangents)
            if ends:
                lengths = torch.linalg.vector_norm(self.tangents, dim=-2)
                self.tangents, log_r = orthonormalize(self.tangents)
                log_rs.append(log_r.double()[None])
                sines.append((log_r.exp() / lengths).double().amin(dim=-1)[None])
        return torch.cat(log_rs), torch.cat(sines)

    def snapshot(self) -> tuple[Tensor, Tensor]:
        """See `Carrier.snapshot`."""
        return self.state, self.tangents

    def restore(self, snapshot: tuple[Tensor, Tensor]) -> None:
        """See `Carrier.restore`."""
        self.state, self.tangents = snapshot


class KernelCarrier(Carrier):
    """A network of this package on the CPU: states and slopes of many steps at once, then `linalg.TangentFlow`."""

    def __init__(self, network: Network, state: Tensor, tangents: Tensor) -> None:
        # Only here, so that whoever computes no exponents does not wait for the compiled kernels.
        from lyapunov_pkg.linalg.tangent_flow import TangentFlow

        self.network, self.state = network, state
        self.size = network.cells[0].hidden_size
        self.prepared = [cell.prepare(network.layer_params(layer)) for layer, cell in enumerate(network.cells)]
        blocks, n_blocks, self.slots = jacobian_blocks(
            network, self.prepared, reduced=tangents.shape[-2] < network.state_size
        )
        self.flow = TangentFlow(blocks, n_blocks, tangents)
        per_step = max(1, len(self.slots) * state[..., 0].numel() * self.size)
        self.steps_at_once = max(1, SLOPES_AT_ONCE // per_step)

    def advance(self, inputs: Tensor, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """See `Carrier.advance`."""
        return self.flow.advance(self._slopes(inputs), orthonormalizes)

    def snapshot(self) -> tuple[Tensor, Any]:
        """See `Carrier.snapshot`."""
        return self.state, self.flow.snapshot()

    def restore(self, snapshot: tuple[Tensor, Any]) -> None:
        """See `Carrier.restore`."""
        self.state = snapshot[0]
        self.flow.restore(snapshot[1])

    def _slopes(self, inputs: Tensor) -> Tensor:
        """Move the state through all steps; return the slopes on the way, (slot, variant, step, sequence, size)."""
        lead, n_steps = self.state.shape[:2], inputs.shape[-2]
        slopes = self.state.new_empty(len(self.slots), lead[0], n_steps, lead[1], self.size)
        steps_first = inputs.transpose(-3, -2).flatten(-3, -2)  # (..., step * sequence, feature)
        states = []
        parts = zip(self.network.cells, self.prepared, self.state.split([c.state_size for c in self.network.cells], -1))
        for layer, (cell, prepared, state) in enumerate(parts):
            drive = cell.drive(self.network.layer_params(layer), steps_first)
            before, state = trajectory(cell, prepared, state, drive.unflatten(-2, (n_steps, -1)))
            after, linearization = cell.linearize(prepared, before.flatten(1, 2), drive)
            steps_first = after[..., : cell.hidden_size]
            states.append(state)
            for slot, (of_layer, kind, key) in enumerate(self.slots):
                if of_layer == layer:
                    value = getattr(linearization, kind)[key]
                    slopes[slot] = value.unflatten(-2, (n_steps, -1)) if isinstance(value, Tensor) else value
        self.state = torch.cat(states, dim=-1)
        return slopes


def trajectory(cell: Cell, prepared: dict[str, Tensor], state: Tensor, drives: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states before each step, (V, step, B, S), and the state after the last; drives (V, step, B, G*H)."""
    before = state.new_empty(state.shape[0], drives.shape[1], *state.shape[1:])
    for step, drive in enumerate(drives.unbind(1)):
        before[:, step] = state
        state = cell.advance(prepared, state, drive)
    return before, state


def _linearization_at_zero(cell: Cell, prepared: Params) -> Linearization:
    """A linearization like any other of that cell, to see of what it consists."""
    weight = next(weight for weight in cell.argument_weights(prepared) if weight is not None)
    zeros = weight.new_zeros(*weight.shape[:-2], 1, 1)
    state, drive = (zeros.expand(*zeros.shape[:-1], size) for size in (cell.state_size, cell.gates * cell.hidden_size))
    return cell.linearize(prepared, state, drive)[1]


Slot = tuple[int, str, tuple[int, int]]
"""What fills a slot of slopes: layer, "slopes" or "direct", and the key in that dictionary of its `Linearization`."""


def jacobian_blocks(network: Network, prepared: Sequence[Params], reduced: bool) -> tuple[list[Block], int, list[Slot]]:
    """Return what the Jacobian of a network is made of (dissertation, eq. 2.6), in the order of its computation.

    The blocks of rows are those of the layers in order, of each its state or, where `reduced`, its hidden units. What a
    cell needs on the way beyond them (LEM's z) comes behind all of them.

    Returns:
        The blocks, how many blocks of rows the tangent vectors have, and what the slots of slopes are.
    """
    kept = [1 if reduced else cell.states for cell in network.cells]
    from lyapunov_pkg.linalg.tangent_flow import Block

    blocks: list[Block] = []
    slots: list[Slot] = []
    first, auxiliary, below = 0, sum(kept), None
    for layer, (cell, own) in enumerate(zip(network.cells, prepared, strict=True)):
        places = {i: first + i for i in range(kept[layer])}
        for i in range(kept[layer], cell.states):
            places[i], auxiliary = auxiliary, auxiliary + 1
        weights = cell.argument_weights(own)
        input_weights = network.layer_params(layer)["input_weight"].chunk(cell.gates, dim=-2)
        linearization = _linearization_at_zero(cell, own)
        for target in reversed(cell.blocks_to_move(kept[layer])):
            terms: dict[tuple[int, bool], list[tuple[int, Tensor | None]]] = {}
            for _, g in (key for key in linearization.slopes if key[0] == target):
                argument = cell.arguments[g]
                slot = len(slots)
                slots.append((layer, "slopes", (target, g)))
                if argument.source is not None and (argument.after or argument.source < kept[layer]):
                    terms.setdefault((places[argument.source], argument.after), []).append((slot, weights[g]))
                if argument.drive is not None and below is not None:
                    terms.setdefault((below, True), []).append((slot, input_weights[argument.drive]))
            for _, j in (key for key in linearization.direct if key[0] == target and key[1] < kept[layer]):
                terms.setdefault((places[j], False), []).append((len(slots), None))
                slots.append((layer, "direct", (target, j)))
            blocks += [Block(places[target], source, after, tuple(of)) for (source, after), of in terms.items()]
        first, below = first + kept[layer], places[0]
    return blocks, sum(kept), slots
