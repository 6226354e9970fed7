"""The memory of a layer's run over a sequence: pre-activations, states, cotangents and inputs."""

from __future__ import annotations

from torch import Tensor

from lyapunov_pkg.cells.base import Cell
from lyapunov_pkg.cells.sequences.plan import Product, make_plan

SHAPES_KEPT = 8


class Memory:
    """Reused buffers. On the CPU the allocation of new memory pages would cost as much as the computation."""

    def __init__(self) -> None:
        self.free: dict[tuple[object, ...], list[Tensor]] = {}

    def take(self, like: Tensor, *shape: int) -> Tensor:
        """Return an uninitialised tensor of a shape, with the dtype and on the device of `like`."""
        try:
            return self.free[like.dtype, like.device, shape].pop()
        except (KeyError, IndexError):
            return like.new_empty(shape)

    def give_back(self, *tensors: Tensor) -> None:
        """Store tensors that nothing else refers to, for reuse. Only those of the last few shapes are kept."""
        for tensor in tensors:
            if tensor.device.type != "cpu":  # other devices have allocators that reuse memory
                continue
            key = (tensor.dtype, tensor.device, tuple(tensor.shape))
            self.free[key] = [*self.free.pop(key, []), tensor]
            while len(self.free) > SHAPES_KEPT:
                del self.free[next(iter(self.free))]


MEMORY = Memory()


class Trajectory:
    """A layer's run along a sequence, in memory that `release` returns.

    Attributes:
        pre_activations: (V, T, B, A*H), for every step after the forward pass, or their cotangents after the backward
            pass.
        states: (V, T + 1, B, S), before each step, and after the last.
        cotangents: (V, B, S), by the state at the present step of the backward pass.
        inputs: (V, T, B, F), contiguous.
    """

    def __init__(self, cell: Cell, inputs: Tensor, start: Tensor | None) -> None:
        """Reserve memory for a run of `cell` on inputs (V, T, B, F), from the state `start` (V, B, S) or from zero."""
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
        """Return the memory, except the states with `keep_states`. The trajectory must not be used afterwards."""
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
        """Return the columns of a product's blocks of the state."""
        return self.columns(product.source, product.n_sources)

    def pre_activations_of(self, product: Product) -> tuple[Tensor, ...]:
        """Return the pre-activations of a product at each step."""
        return self.pre_activations[..., self.slots_of(product)].unbind(1)

    def states_before(self, product: Product) -> tuple[Tensor, ...]:
        """Return a product's blocks of the state at each step."""
        return self.states[:, int(product.after) :, :, self.sources_of(product)].unbind(1)

    def driven(self, steps: slice) -> list[tuple[Tensor, slice]]:
        """Return the driven pre-activations (V, n, m*H) of some steps, and the rows of the input weight."""
        flat = self.pre_activations[:, steps].flatten(1, 2)
        return [
            (flat[..., self.columns(run.slot, run.n_blocks)], self.columns(run.drive, run.n_blocks))
            for run in self.plan.driven
        ]
