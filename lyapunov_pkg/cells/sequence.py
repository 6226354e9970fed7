"""A layer over whole sequences, with its gradient written out: back-propagation through time.

Forward, a step is one product for all arguments that a block of the state acts on, and one pass over memory for each
block that is renewed. Backward it is the transpose of that, in reverse. The gradients of the weights are one product
over all steps at the end; no graph is recorded.

Symbols as in `lyapunov_pkg.cells.base`; V variants, T steps, A arguments (those that join another not counted).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyapunov_pkg.cells.base import Cell, Params, SlopesFunction, UnitFunction, Units
from lyapunov_pkg.cells.compiled import compiled_update

NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}
"""Precisions in which kernels are compiled for the CPU."""


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
    prepared = cell.prepare(params)
    weights = cell.argument_weights(prepared)
    plan = make_plan(cell)
    recurrent = [torch.cat([weights[g] for g in product.arguments], dim=-2) for product in plan.products]
    bias = _bias_of_arguments(cell, plan, params, cell.recurrent_biases(prepared))
    return _Sequence.apply(cell, noise, last_only, inputs, params["input_weight"], bias, *recurrent)


@dataclass(frozen=True)
class Product:
    """W state_source, added to the `arguments`, which stand one after another from `slot` on.

    It is made when `updates_before` of a step's updates have been made.
    """

    source: int
    after: bool
    arguments: tuple[int, ...]
    slot: int
    updates_before: int

    def is_made(self, update: int, step: int) -> bool:
        """Whether it precedes that update of that step; the state zero, before the first step, adds nothing."""
        return self.updates_before == update and (self.after or step > 0)


@dataclass(frozen=True)
class Plan:
    """Where a cell's arguments stand in memory, and of which products they are made.

    Attributes:
        slots: the place of each argument, in blocks of H.
        driven: (first slot, first block of the drive, how many) of each run of blocks that the drive is added to.
        products: one for each block of the state that arguments act on.
    """

    slots: tuple[int, ...]
    driven: tuple[tuple[int, int, int], ...]
    products: tuple[Product, ...]

    @property
    def n_slots(self) -> int:
        """A."""
        return max(self.slots) + 1


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
    products = []
    for source in range(cell.states):
        for after in (False, True):
            acting = tuple(cell.acting_on(source, after))
            if acting:
                products.append(
                    Product(source, after, acting, slots[acting[0]], targets.index(source) + 1 if after else 0)
                )
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


class _Sequence(torch.autograd.Function):
    """`run_sequence` of prepared weights: bias (V, A*H), and a recurrent weight for each product of the plan."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: Cell,
        noise: Tensor | None,
        last_only: bool,
        inputs: Tensor,
        input_weight: Tensor,
        bias: Tensor | None,
        *recurrent: Tensor,
    ) -> Tensor:
        run = _Run(cell, noise, inputs, input_weight, bias, recurrent)
        run.forward()
        ctx.run, ctx.last_only = run, last_only
        hidden = run.states[:, 1:, :, : cell.hidden_size]
        return hidden[:, -1].clone() if last_only else hidden.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        run = ctx.run
        run.backward(gradient, ctx.last_only)
        by_inputs = run.gradient_of_inputs() if ctx.needs_input_grad[3] else None
        by_bias = run.arguments.sum((1, 2)) if run.bias is not None else None
        by_recurrent = [run.gradient_of_weight(product) for product in run.plan.products]
        return None, None, None, by_inputs, run.gradient_of_input_weight(), by_bias, *by_recurrent


class _Run:
    """The trajectory of a layer, and the way back along it.

    `arguments` (V, T, B, A*H) hold the arguments of every step after `forward`, and their cotangents after `backward`;
    `states` (V, T + 1, B, S) the states, `cotangents` (V, B, S) those by the state at the step that `backward` is at.
    """

    def __init__(
        self,
        cell: Cell,
        noise: Tensor | None,
        inputs: Tensor,
        input_weight: Tensor,
        bias: Tensor | None,
        recurrent: Sequence[Tensor],
    ) -> None:
        self.plan, self.size = make_plan(cell), cell.hidden_size
        self.inputs, self.input_weight, self.bias = inputs, input_weight, bias
        self.recurrent = dict(zip(self.plan.products, recurrent, strict=True))
        n_variants, self.n_steps, n_sequences, _ = inputs.shape
        self.arguments = inputs.new_empty(n_variants, self.n_steps, n_sequences, self.plan.n_slots * self.size)
        self.states = inputs.new_empty(n_variants, self.n_steps + 1, n_sequences, cell.state_size)
        self.cotangents = inputs.new_empty(n_variants, n_sequences, cell.state_size)
        self.updates = self._updates(cell, noise)
        self.holds_arguments = False

    def forward(self) -> None:
        """Fill `arguments` and `states`."""
        self._drive()
        self.states[:, 0] = 0
        products = [
            (product, self._arguments_of(product), self._sources_of(product), self.recurrent[product].mT)
            for product in self.plan.products
        ]
        for step in range(self.n_steps):
            for index, (forward, _) in enumerate(self.updates):
                for product, arguments, sources, weight in products:
                    if product.is_made(index, step):
                        arguments[step].baddbmm_(sources[step], weight)
                forward(step)
        self.holds_arguments = True

    def backward(self, gradient: Tensor, last_only: bool) -> None:
        """Replace `arguments` by their cotangents; gradient by the hidden units, (V, B, H) where last_only."""
        if not self.holds_arguments:  # a second pass over the same graph
            self.forward()
        self.holds_arguments = False
        self.cotangents.zero_()
        hidden = self.cotangents[..., : self.size]
        by_step = {self.n_steps - 1: gradient} if last_only else dict(enumerate(gradient.unbind(1)))
        products = [
            (product, self._arguments_of(product), self.cotangents[..., self._columns(product.source)], weight)
            for product, weight in self.recurrent.items()
        ]
        for step in reversed(range(self.n_steps)):
            if step in by_step:
                hidden += by_step[step]
            for index, (_, backward) in reversed(list(enumerate(self.updates))):
                backward(step)
                for product, arguments, source, weight in products:
                    if product.is_made(index, step):
                        source.baddbmm_(arguments[step], weight)

    def gradient_of_weight(self, product: Product) -> Tensor:
        """Return the gradient by a product's weight, after `backward`."""
        first, last = (0, self.n_steps + 1) if product.after else (1, self.n_steps)
        arguments = self.arguments[:, first:, :, self._columns(product.slot, len(product.arguments))]
        sources = self.states[:, 1:last, :, self._columns(product.source)]
        return (sources.flatten(1, 2).mT @ arguments.flatten(1, 2)).mT

    def gradient_of_input_weight(self) -> Tensor:
        """Return the gradient by the input weight, after `backward`."""
        inputs = self.inputs.flatten(1, 2)
        return torch.cat([(inputs.mT @ arguments).mT for arguments, _ in self._driven()], dim=-2)

    def gradient_of_inputs(self) -> Tensor:
        """Return the gradient by the inputs, after `backward`."""
        return sum(arguments @ weight for arguments, weight in self._driven()).view(self.inputs.shape)

    def _drive(self) -> None:
        """Set the arguments of all steps to what inputs and biases make of them."""
        if self.bias is not None:
            self.arguments.copy_(self.bias[:, None, None])
        else:
            driven = {slot for first, _, count in self.plan.driven for slot in range(first, first + count)}
            for slot in set(self.plan.slots) - driven:
                self.arguments[..., self._columns(slot)] = 0
        for arguments, weight in self._driven():
            arguments.baddbmm_(self.inputs.flatten(1, 2), weight.mT, beta=0 if self.bias is None else 1)

    def _driven(self) -> list[tuple[Tensor, Tensor]]:
        """Return the arguments (V, T*B, n*H) that the drive is added to and their input weights (V, n*H, F)."""
        flat = self.arguments.flatten(1, 2)
        return [
            (flat[..., self._columns(first, count)], self.input_weight[..., self._columns(drive, count), :])
            for first, drive, count in self.plan.driven
        ]

    def _arguments_of(self, product: Product) -> tuple[Tensor, ...]:
        """Return the arguments of a product at each step."""
        return self.arguments[..., self._columns(product.slot, len(product.arguments))].unbind(1)

    def _sources_of(self, product: Product) -> tuple[Tensor, ...]:
        """Return the block of the state that a product takes at each step."""
        return self.states[:, int(product.after) :, :, self._columns(product.source)].unbind(1)

    def _columns(self, first: int, count: int = 1) -> slice:
        return slice(first * self.size, (first + count) * self.size)

    def _updates(self, cell: Cell, noise: Tensor | None) -> list[tuple[Callable[[int], None], Callable[[int], None]]]:
        """Return the two kernels of each of the cell's updates, as functions of the step."""
        draws = self.states.new_empty(0, 0, 0, 0) if noise is None else noise.flatten(-2).contiguous()
        on_cpu = self.states.device.type == "cpu" and self.states.dtype in NUMPY_TYPES
        memory = [self.arguments, self.states, draws, self.cotangents]
        if on_cpu:
            memory = [tensor.detach().numpy() for tensor in memory]
        number = NUMPY_TYPES[self.states.dtype] if on_cpu else float
        kernels, renewed = [], set()
        for update in cell.updates(noisy=noise is not None):
            slots = tuple(self.plan.slots[g] for g in update.arguments)
            blocks = tuple((block, block in renewed) for block in update.blocks)
            make = compiled_update if on_cpu else tensor_update
            pair = make(update.target, slots, blocks, update.draws, update.value, update.slopes)
            constants = tuple(number(constant) for constant in update.constants)
            kernels.append(tuple(_at_step(kernel, self.size, constants, memory) for kernel in pair))
            renewed.add(update.target)
        return kernels


def _at_step(kernel: Callable[..., None], size: int, constants: tuple, memory: list) -> Callable[[int], None]:
    return lambda step: kernel(step, size, constants, *memory)


def tensor_update(
    target: int,
    slots: tuple[int, ...],
    blocks: tuple[tuple[int, bool], ...],
    draws: tuple[int, ...],
    value: UnitFunction,
    slopes: SlopesFunction,
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what `lyapunov_pkg.cells.compiled.compiled_update` returns, made of tensor operations, on any device."""

    def block(row: Tensor, index: int, size: int) -> Tensor:
        return row[..., index * size : (index + 1) * size]

    def operands(step: int, size: int, arguments: Tensor, states: Tensor, noise: Tensor) -> tuple[Units, Units]:
        values = [block(states[:, step + after], index, size) for index, after in blocks]
        values += [block(noise[:, :, step], draw, size) for draw in draws]
        return tuple(block(arguments[:, step], slot, size) for slot in slots), tuple(values)

    def forward(step, size, constants, arguments, states, noise, cotangents):
        result = value(*operands(step, size, arguments, states, noise), constants)
        block(states[:, step + 1], target, size).copy_(result)

    def backward(step, size, constants, arguments, states, noise, cotangents):
        of_arguments, of_blocks = slopes(*operands(step, size, arguments, states, noise), constants)
        own = block(cotangents, target, size)
        cotangent = own.clone()
        own.zero_()
        for slot, slope in zip(slots, of_arguments, strict=True):
            torch.mul(cotangent, slope, out=block(arguments[:, step], slot, size))
        for (index, _), coefficient in zip(blocks, of_blocks, strict=True):
            block(cotangents, index, size).add_(coefficient * cotangent)

    return forward, backward
