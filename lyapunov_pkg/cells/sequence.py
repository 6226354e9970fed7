"""A layer over whole sequences, with its gradient written out: back-propagation through time.

Forward, a step is one product for each block of the state that arguments act on, and one pass over memory for each
block that is renewed. Backward it is the transpose of that, in reverse; the gradients of the weights are products over
many steps. No graph is recorded by step.

Symbols as in `lyapunov_pkg.cells.base`; V variants, T steps, A arguments (those that join another not counted).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyapunov_pkg.cells.base import Cell, Params, SlopesFunction, UnitFunction, Units
from lyapunov_pkg.cells.compiled import compiled_update
from lyapunov_pkg.devices import one_torch_thread
from lyapunov_pkg.linalg.threads import on_threads

COMPILED_PRECISIONS = {torch.float32: np.float32, torch.float64: np.float64}
CHUNK = 4
"""Steps whose inputs are multiplied at once: enough for the product's speed, few enough to stay in the cache."""
SHAPES_KEPT = 8


def run_sequence(
    cell: Cell, params: Params, inputs: Tensor, noise: Tensor | None = None, last_only: bool = False
) -> Tensor:
    """Run a layer over whole sequences from the state zero; differentiable, once, by autograd.

    Args:
        cell: the layer's cell.
        params: its parameters, with a leading axis of variants.
        inputs: (V, T, B, F).
        noise: standard normal draws (V, B, T, noise_shape, H) of a cell that is noisy in training; None: no noise.
        last_only: only the last step.

    Returns:
        Hidden units (V, T, B, H), or (V, B, H) where last_only.
    """
    run = _make_run(cell, params, inputs, noise)
    differentiated = [inputs, params["input_weight"], run.bias, *run.recurrent.values()]
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in differentiated):
        return _Sequence.apply(run, last_only, *differentiated)
    hidden = run.forward(last_only)
    run.release()
    return hidden


def linearize_sequence(cell: Cell, params: Params, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Run a layer over whole sequences on the CPU, with the derivatives of all its updates on the way.

    Args:
        cell: the layer's cell.
        params: its parameters, with a leading axis of variants.
        inputs: (V, T, B, F), float32 or float64.
        state: (V, B, S), before the first step.

    Returns:
        Derivatives (V, T, B, slots, H): update after update, the slopes by its arguments and then those by its blocks
        (`Update.slopes`, without noise). States (V, T + 1, B, S): before each step, and after the last.
    """
    run = _make_run(cell, params, inputs, start=state)
    with one_torch_thread():
        run.forward(last_only=True)
    derivatives, states = run.linearize(), run.states
    run.states = None  # not to be given back
    run.release()
    return derivatives, states


@dataclass(frozen=True)
class Product:
    """W [state_source, ...], added to arguments that stand one after another from `slot` on.

    Attributes:
        source: the first block of the state that it takes; the others follow.
        after: whether as they are after the step.
        arguments: of each of these blocks, the arguments that it is added to.
        slot: where the first of them stands.
        updates_before: it is made when so many of a step's updates have been made.
    """

    source: int
    after: bool
    arguments: tuple[tuple[int, ...], ...]
    slot: int
    updates_before: int

    def places(self, slots: Sequence[int]) -> list[int]:
        """Return where the arguments stand."""
        return [slots[g] for g in self.arguments[0]]

    def weight(self, weights: Sequence[Tensor]) -> Tensor:
        """Return its weight, made of those of the arguments."""
        of_sources = [torch.cat([weights[g] for g in arguments], dim=-2) for arguments in self.arguments]
        return torch.cat(of_sources, dim=-1)

    def is_made(self, update: int, step: int, from_zero: bool = True) -> bool:
        """Whether it precedes that update of that step; the state zero, before the first step, adds nothing."""
        return self.updates_before == update and (self.after or step > 0 or not from_zero)


@dataclass(frozen=True)
class Plan:
    """Where a cell's arguments stand in memory, and of which products they are made.

    Attributes:
        slots: the place of each argument, in blocks of H.
        driven: (first slot, first block of the drive, how many) of each run of blocks that the drive is added to.
        products: by the blocks of the state that arguments act on; blocks that join in the same arguments make one.
    """

    slots: tuple[int, ...]
    driven: tuple[tuple[int, int, int], ...]
    products: tuple[Product, ...]

    @property
    def n_slots(self) -> int:
        """A."""
        return max(self.slots) + 1

    @property
    def undriven(self) -> set[int]:
        """The slots that the drive is not added to."""
        return set(self.slots) - {first + k for first, _, count in self.driven for k in range(count)}


@cache
def make_plan(cell: Cell) -> Plan:
    """Return the plan of a cell."""
    slots: list[int] = []
    driven: list[tuple[int, int, int]] = []
    for argument in cell.arguments:
        slots.append(max(slots, default=-1) + 1 if argument.joins is None else slots[argument.joins])
        if argument.drive is None:
            continue
        first, first_drive, count = driven[-1] if driven else (0, 0, 0)
        if (slots[-1], argument.drive) == (first + count, first_drive + count):
            driven[-1:] = [(first, first_drive, count + 1)]
        else:
            driven.append((slots[-1], argument.drive, 1))
    targets = [update.target for update in cell.updates()]
    products: list[Product] = []
    for after in (False, True):
        for source in range(cell.states):
            acting = tuple(cell.acting_on(source, after))
            if not acting:
                continue
            updates_before = targets.index(source) + 1 if after else 0
            places = [slots[g] for g in acting]
            last = products[-1] if products else None
            if last and (last.after, last.updates_before) == (after, updates_before) and last.places(slots) == places:
                products[-1] = replace(last, arguments=(*last.arguments, acting))
            else:
                products.append(Product(source, after, (acting,), places[0], updates_before))
    return Plan(tuple(slots), tuple(driven), tuple(products))


def _bias_of_arguments(cell: Cell, plan: Plan, params: Params, recurrent: dict[int, Tensor]) -> Tensor | None:
    """Return the biases of all arguments, (V, A*H), or None where there are none."""
    if "bias" not in params and not recurrent:
        return None
    blocks = [params["input_weight"].new_zeros(params["input_weight"].shape[0], cell.hidden_size)] * plan.n_slots
    of_drive = params["bias"].chunk(cell.gates, dim=-1) if "bias" in params else None
    for g, argument in enumerate(cell.arguments):
        if of_drive is not None and argument.drive is not None:
            blocks[plan.slots[g]] = blocks[plan.slots[g]] + of_drive[argument.drive]
        if g in recurrent:
            blocks[plan.slots[g]] = blocks[plan.slots[g]] + recurrent[g]
    return torch.cat(blocks, dim=-1)


def _make_run(
    cell: Cell, params: Params, inputs: Tensor, noise: Tensor | None = None, start: Tensor | None = None
) -> _Run:
    prepared = cell.prepare(params)
    weights = cell.argument_weights(prepared)
    plan = make_plan(cell)
    recurrent = [product.weight(weights) for product in plan.products]
    bias = _bias_of_arguments(cell, plan, params, cell.recurrent_biases(prepared))
    return _Run(cell, noise, inputs, params["input_weight"], bias, recurrent, start)


class _Sequence(torch.autograd.Function):
    """A run, and the gradient of its hidden units by the tensors that it was made with."""

    @staticmethod
    def forward(ctx: Any, run: _Run, last_only: bool, *differentiated: Tensor | None) -> Tensor:
        ctx.run, ctx.last_only = run, last_only
        return run.forward(last_only)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.run.backward(gradient, ctx.last_only, of_inputs=ctx.needs_input_grad[2])
        ctx.run.release()
        return None, None, *gradients


class _Memory:
    """Buffers that come back: on the CPU fresh memory costs as much as what is computed in it, page by page."""

    def __init__(self) -> None:
        self.free: dict[tuple, list[Tensor]] = {}

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


MEMORY = _Memory()


class _Run:
    """The trajectory of a layer, and the way back along it.

    `arguments` (V, T, B, A*H) hold the arguments of every step after `forward`, and their cotangents after `backward`;
    `states` (V, T + 1, B, S) the states; `cotangents` (V, B, S) those by the state at the step that `backward` is at;
    `flat_inputs` (V, T, B, F) the inputs, contiguous. `release` gives their memory back.
    """

    def __init__(
        self,
        cell: Cell,
        noise: Tensor | None,
        inputs: Tensor,
        input_weight: Tensor,
        bias: Tensor | None,
        recurrent: Sequence[Tensor],
        start: Tensor | None = None,
    ) -> None:
        self.cell, self.noise, self.bias, self.start = cell, noise, bias, start
        self.plan, self.size = make_plan(cell), cell.hidden_size
        self.inputs, self.input_weight = inputs, input_weight
        self.recurrent = dict(zip(self.plan.products, recurrent, strict=True))
        self.n_steps = inputs.shape[1]
        self.arguments: Tensor | None = None

    def forward(self, last_only: bool) -> Tensor:
        """Take memory, run, and return the hidden units: of all steps (V, T, B, H), or of the last (V, B, H)."""
        self._take_memory()
        updates = self._updates()
        products = [
            (product, self._arguments_of(product), self._sources_of(product), weight.mT)
            for product, weight in self.recurrent.items()
        ]
        for step in range(self.n_steps):
            if step % CHUNK == 0:
                self._drive(slice(step, step + CHUNK))
            for index, (forward, *_) in enumerate(updates):
                for product, arguments, sources, weight in products:
                    if product.is_made(index, step, self.start is None):
                        arguments[step].baddbmm_(sources[step], weight)
                forward(step)
        hidden = self.states[:, 1:, :, : self.size]
        return (hidden[:, -1] if last_only else hidden).clone(memory_format=torch.contiguous_format)

    def backward(self, gradient: Tensor, last_only: bool, of_inputs: bool) -> tuple[Tensor | None, ...]:
        """Return the gradients by the inputs (None: not asked for), the input weight, the bias, the recurrent weights.

        `gradient` is that by the hidden units, shaped as `forward` returns them.
        """
        if self.arguments is None:  # a second pass over the same graph
            self.forward(last_only)
        updates = self._updates()
        by_input_weight = self.input_weight.new_zeros(self.input_weight.mT.shape)
        by_recurrent = {product: weight.new_zeros(weight.mT.shape) for product, weight in self.recurrent.items()}
        by_step = {self.n_steps - 1: gradient} if last_only else dict(enumerate(gradient.unbind(1)))
        products = [
            (product, self._arguments_of(product), self.cotangents[..., self._blocks_of(product)], weight)
            for product, weight in self.recurrent.items()
        ]
        hidden = self.cotangents[..., : self.size]
        self.cotangents.zero_()
        for step in reversed(range(self.n_steps)):
            if step in by_step:
                hidden += by_step[step]
            for index in reversed(range(len(updates))):
                updates[index][1](step)
                for product, arguments, source, weight in products:
                    if product.is_made(index, step):
                        source.baddbmm_(arguments[step], weight)
            if step % CHUNK == 0:
                self._add_gradients(by_input_weight, by_recurrent, slice(step, min(step + CHUNK, self.n_steps)))
        by_inputs = self._gradient_of_inputs() if of_inputs else None
        by_bias = None if self.bias is None else self.arguments.sum((1, 2))
        return by_inputs, by_input_weight.mT, by_bias, *(total.mT for total in by_recurrent.values())

    def linearize(self) -> Tensor:
        """Return the derivatives of all updates at all steps, (V, T, B, slots, H), on the CPU."""
        counts = [len(update.arguments) + len(update.blocks) for update in self.cell.updates()]
        derivatives = self.states.new_empty(*self.arguments.shape[:3], sum(counts), self.size)
        n_rows = derivatives[..., 0, 0].numel()
        n_parts = min(torch.get_num_threads(), n_rows)
        parts = [(n_rows * part // n_parts, n_rows * (part + 1) // n_parts) for part in range(n_parts)]

        def work(tasks: range) -> None:
            for first_slot, (_, _, linearize) in zip(np.cumsum([0, *counts]), self._updates(), strict=False):
                for task in tasks:
                    linearize(derivatives.numpy(), int(first_slot), parts[task])

        on_threads(work, n_parts)
        return derivatives

    def release(self) -> None:
        """Give the memory back."""
        held = (self.arguments, self.states, self.cotangents, self.flat_inputs)
        MEMORY.give_back(*(tensor for tensor in held if tensor is not None))
        self.arguments = self.states = self.cotangents = self.flat_inputs = None

    def _take_memory(self) -> None:
        n_variants, n_steps, n_sequences, n_features = self.inputs.shape
        self.arguments = MEMORY.take(self.inputs, n_variants, n_steps, n_sequences, self.plan.n_slots * self.size)
        self.states = MEMORY.take(self.inputs, n_variants, n_steps + 1, n_sequences, self.cell.state_size)
        self.states[:, 0] = 0 if self.start is None else self.start
        self.cotangents = MEMORY.take(self.inputs, n_variants, n_sequences, self.cell.state_size)
        self.flat_inputs = MEMORY.take(self.inputs, n_variants, n_steps, n_sequences, n_features)
        self.flat_inputs.copy_(self.inputs)

    def _drive(self, steps: slice) -> None:
        """Set the arguments of some steps to what inputs and biases make of them."""
        if self.bias is not None:
            self.arguments[:, steps] = self.bias[:, None, None]
        else:
            for slot in self.plan.undriven:
                self.arguments[:, steps, :, self._columns(slot)] = 0
        inputs = self.flat_inputs[:, steps].flatten(1, 2)
        for arguments, rows in self._driven(steps):
            arguments.baddbmm_(inputs, self.input_weight[:, rows].mT, beta=0 if self.bias is None else 1)

    def _driven(self, steps: slice) -> list[tuple[Tensor, slice]]:
        """Return arguments (V, n, m*H) of some steps that the drive is added to, and their rows of the input weight."""
        flat = self.arguments[:, steps].flatten(1, 2)
        return [
            (flat[..., self._columns(slot, count)], self._columns(drive, count))
            for slot, drive, count in self.plan.driven
        ]

    def _add_gradients(self, by_input_weight: Tensor, by_recurrent: dict[Product, Tensor], steps: slice) -> None:
        """Add what some steps contribute to the transposed gradients of the weights."""
        inputs = self.flat_inputs[:, steps].flatten(1, 2)
        for arguments, rows in self._driven(steps):
            by_input_weight[..., rows].baddbmm_(inputs.mT, arguments)
        for product, total in by_recurrent.items():
            first = steps.start if product.after else max(steps.start, 1)
            arguments = self.arguments[:, first : steps.stop, :, self._slots_of(product)]
            on = int(product.after)
            sources = self.states[:, first + on : steps.stop + on, :, self._blocks_of(product)]
            total.baddbmm_(sources.flatten(1, 2).mT, arguments.flatten(1, 2))

    def _gradient_of_inputs(self) -> Tensor:
        everything = slice(0, self.n_steps)
        products = [arguments @ self.input_weight[:, rows] for arguments, rows in self._driven(everything)]
        return sum(products[1:], start=products[0]).view(self.inputs.shape)

    def _arguments_of(self, product: Product) -> tuple[Tensor, ...]:
        """Return the arguments of a product at each step."""
        return self.arguments[..., self._slots_of(product)].unbind(1)

    def _sources_of(self, product: Product) -> tuple[Tensor, ...]:
        """Return the blocks of the state that a product takes at each step."""
        return self.states[:, int(product.after) :, :, self._blocks_of(product)].unbind(1)

    def _slots_of(self, product: Product) -> slice:
        return self._columns(product.slot, len(product.arguments[0]))

    def _blocks_of(self, product: Product) -> slice:
        return self._columns(product.source, len(product.arguments))

    def _columns(self, first: int, count: int = 1) -> slice:
        return slice(first * self.size, (first + count) * self.size)

    def _updates(self) -> list[tuple[Callable[..., None], ...]]:
        """Return each of the cell's updates, and its way back, as functions of the step; compiled, also `linearize`."""
        if self.noise is None:
            draws = self.states.new_empty(0, 0, 0, 0)
        else:
            draws = self.noise.flatten(-2).to(self.states).contiguous()
        memory = [self.arguments, self.states, draws, self.cotangents]
        number, make = float, tensor_update
        if self.states.device.type == "cpu" and self.states.dtype in COMPILED_PRECISIONS:
            number, make = COMPILED_PRECISIONS[self.states.dtype], compiled_update
            memory = [tensor.numpy() for tensor in memory]
        updates, renewed = [], set()
        for update in self.cell.updates(noisy=self.noise is not None):
            slots = tuple(self.plan.slots[g] for g in update.arguments)
            blocks = tuple((block, block in renewed) for block in update.blocks)
            forward, backward, *more = make(update.target, slots, blocks, update.draws, update.value, update.slopes)
            constants = tuple(number(constant) for constant in update.constants)
            ways = [partial(way, self.size, constants, *memory) for way in (forward, backward)]
            updates.append((*ways, *(partial(way, self.size, constants, *memory[:2]) for way in more)))
            renewed.add(update.target)
        return updates


def tensor_update(
    target: int,
    slots: tuple[int, ...],
    blocks: tuple[tuple[int, bool], ...],
    draws: tuple[int, ...],
    value: UnitFunction,
    slopes: SlopesFunction,
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what `lyapunov_pkg.cells.compiled.compiled_update` returns, made of tensor operations: for any device."""

    def block(rows: Tensor, index: int, size: int) -> Tensor:
        return rows[..., index * size : (index + 1) * size]

    def operands(size: int, arguments: Tensor, states: Tensor, noise: Tensor, step: int) -> tuple[Units, Units]:
        values = [block(states[:, step + after], index, size) for index, after in blocks]
        values += [block(noise[:, :, step], draw, size) for draw in draws]
        return tuple(block(arguments[:, step], slot, size) for slot in slots), tuple(values)

    def forward(size, constants, arguments, states, noise, cotangents, step):
        result = value(*operands(size, arguments, states, noise, step), constants)
        block(states[:, step + 1], target, size).copy_(result)

    def backward(size, constants, arguments, states, noise, cotangents, step):
        of_arguments, of_blocks = slopes(*operands(size, arguments, states, noise, step), constants)
        own = block(cotangents, target, size)
        cotangent = own.clone()
        own.zero_()
        for slot, slope in zip(slots, of_arguments, strict=True):
            block(arguments[:, step], slot, size).copy_(slope * cotangent)
        for (index, _), coefficient in zip(blocks, of_blocks, strict=True):
            block(cotangents, index, size).add_(coefficient * cotangent)

    return forward, backward
