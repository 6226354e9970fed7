"""The memory in which a layer runs over a sequence: its pre-activations, states, cotangents and inputs."""

from __future__ import annotations

from torch import Tensor

from lyapunov_pkg.cells.base import Cell
from lyapunov_pkg.cells.sequences.plan import Product, make_plan

SHAPES_KEPT = 8


class Memory:
    """Buffers that come back: on the CPU fresh memory costs as much as what is computed in it, page by page."""

    def __init__(self) -> None:
        self.free: dict[tuple[object, ...], list[Tensor]] = {}

    def take(self, like: Tensor, *shape: int) -> Tensor:
        """Return a tensor of that shape, whatever is in it, of the precision and on the device of another."""
        try:
            return self.free[like.dtype, like.device, shape].pop()
        except (KeyError, IndexError):
            return like.new_empty(shape)

    def give_back(self, *tensors: Tensor) -> None:
        """Take back tensors that nothing else refers to; those of the last few shapes are kept."""
        for tensor in tensors:
            if tensor.device.type != "cpu":  # the allocators of other devices do this
                continue
            key = (tensor.dtype, tensor.device, tuple(tensor.shape))
            self.free[key] = [*self.free.pop(key, []), tensor]
            while len(self.free) > SHAPES_KEPT:
                del self.free[next(iter(self.free))]


MEMORY = Memory()


class Trajectory:
    """A layer along a sequence, in memory that `release` gives back.

    Attributes:
        pre_activations: (V, T, B, A*H), of every step after the way forward, and their cotangents after the way back.
        states: (V, T + 1, B, S), before each step, and after the last.
        cotangents: (V, B, S), by the state at the step that the way back is at.
        inputs: (V, T, B, F), contiguous.
    """

    def __init__(self, cell: Cell, inputs: Tensor, start: Tensor | None) -> None:
        """Take memory for a run of `cell` on inputs (V, T, B, F), from the state `start` (V, B, S), or from zero."""
        self.plan, self.size = make_plan(cell), cell.hidden_size
        n_variants, self.n_steps, n_sequences, n_features = inputs.shape
        width = self.plan.n_slots * self.size
        self.pre_activations = MEMORY.take(inputs, n_variants, self.n_steps, n_sequences, width)
        self.states = MEMORY.take(inputs, n_variants, self.n_steps + 1, n_sequences, cell.state_size)
        self.states[:, 0] = 0 if start is None else start
        self.cotangents = MEMORY.take(inputs, n_variants, n_sequences, cell.state_size)
        self.inputs = MEMORY.take(inputs, n_variants, self.n_steps, n_sequences, n_features)
        self.inputs.copy_(inputs)

    def release(self, keep_states: bool = False) -> None:
        """Give the memory back, after which the trajectory is of no use; `keep_states`: all but the states."""
        MEMORY.give_back(self.pre_activations)
        if not keep_states:
            MEMORY.give_back(self.states)
        MEMORY.give_back(self.cotangents, self.inputs)

    def columns(self, first: int, count: int = 1) -> slice:
        """Return the columns of `count` blocks of H units."""
        return slice(first * self.size, (first + count) * self.size)

    def slots_of(self, product: Product) -> slice:
        """Return the columns of the pre-activations of a product."""
        return self.columns(product.slot, product.n_slots)

    def sources_of(self, product: Product) -> slice:
        """Return the columns of the blocks of the state that a product takes."""
        return self.columns(product.source, product.n_sources)

    def pre_activations_of(self, product: Product) -> tuple[Tensor, ...]:
        """Return the pre-activations of a product at each step."""
        return self.pre_activations[..., self.slots_of(product)].unbind(1)

    def states_before(self, product: Product) -> tuple[Tensor, ...]:
        """Return the blocks of the state that a product takes at each step."""
        return self.states[:, int(product.after) :, :, self.sources_of(product)].unbind(1)

    def driven(self, steps: slice) -> list[tuple[Tensor, slice]]:
        """Return pre-activations (V, n, m*H) of some steps that the drive is added to, and rows of its weight."""
        flat = self.pre_activations[:, steps].flatten(1, 2)
        return [
            (flat[..., self.columns(run.slot, run.n_blocks)], self.columns(run.drive, run.n_blocks))
            for run in self.plan.driven
        ]
