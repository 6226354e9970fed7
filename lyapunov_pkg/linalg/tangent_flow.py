"""Tangent vectors carried along many trajectories on the CPU: multiplied by Jacobians and orthonormalised.

A Jacobian is not formed by the caller, nor kept for longer than a step: it is given by what it is made of, products of
the network's own weights with slopes that change from step to step (`Block`). A thread takes some trajectories through
all steps at a time, while their matrices stay in the cache: a group of as many as a vector has lanes, or, of large
matrices, as many as fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.linalg.blocked import ROWS, orthonormalize_matrix, put_rows, take_rows
from lyapunov_pkg.linalg.care import LIMITS, care_room, needs_care, orthonormalization_room, take_care
from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.interleaved import (
    PANEL,
    multiply_panel,
    orthonormalize_group,
    put_matrix,
    take_matrix,
)
from lyapunov_pkg.linalg.layout import aligned_zeros, choose_layout, on_threads, spaced
from lyapunov_pkg.linalg.vectors import lanes, lanes_of, load, multiply_add, row_products, spread, store

IN_STEP_BYTES = 400_000
"""Of tangent vectors that are carried together: with weights and slopes of a few rows they fit into a core's cache."""

# Columns of the table that describes blocks to the kernels.
TARGET, SOURCE, AFTER, ADDS, FIRST_SLOT, N_WEIGHTS, N_SLOTS, WEIGHT_AT = range(8)


@dataclass(frozen=True)
class Block:
    """One block of a Jacobian: the sum over its terms of diag(slopes) W, or of diag(slopes) where W is None.

    A term's slopes are those of one slot, or the product of those of two.

    Attributes:
        target: block of rows of the tangent vectors to which it contributes.
        source: block of rows to which it is applied.
        after: whether to that block as it is after this step (an upper layer reads its input, LEM's y its z); such
            blocks must have been targets of earlier blocks.
        terms: the slots of the slopes, and W (variant, size, size) or None.
    """

    target: int
    source: int
    after: bool
    terms: tuple[tuple[tuple[int, ...], Tensor | None], ...]


class _Plan(NamedTuple):
    """What the kernels know of the Jacobians: `table` (block, column), slots (term, 2), weights as they need them."""

    table: NDArray
    slots: NDArray
    weights: NDArray
    row_stride: int
    """Numbers between the rows of a block of a group's Jacobians."""


class _Space(NamedTuple):
    """What a thread forms Jacobians in: slopes of each trajectory, some rows of a block, another frame for what needs
    care, and which trajectories do."""

    gathered: NDArray
    matrices: NDArray
    spare: NDArray
    careful: NDArray


@compiled
def _run_group(
    plan, shape, space, room, limits, slopes, orthonormalizes, at, count, frames, step, interval, squares, sines
):
    """Carry a group of trajectories on from `step`, to the end of `slopes` or until a matrix needs care.

    `at` is the variant and the first sequence of the group, `count` how many there are; tangent vectors are in
    frames[step % 2] before a step. Returns the steps and the intervals that are finished, and whether care is needed.
    """
    variant, first = at
    n_rows = shape.n_blocks * shape.padded_block_rows
    while step < slopes.shape[1]:
        q, new = frames[step % 2], frames[(step + 1) % 2]
        _multiply_group(plan, shape, space, slopes[variant, step, first : first + count], variant, q, new)
        if orthonormalizes[step]:
            orthonormalize_group(
                new, shape.padded_columns, n_rows, shape.stride, room.work, room.squares, room.ratios, limits.tiny
            )
        step += 1
        if orthonormalizes[step - 1]:
            care = False
            for lane in range(count):
                care |= needs_care(room.squares, room.ratios, lane, lanes(q), shape.n_columns, limits)
                smallest = room.ratios[lane]
                for c in range(shape.n_columns):
                    squares[interval, variant, first + lane, c] = room.squares[c * lanes(q) + lane]
                    smallest = min(smallest, room.ratios[c * lanes(q) + lane])
                sines[interval, variant, first + lane] = np.sqrt(smallest)
            interval += 1
            if care:
                return step, interval, True
    return step, interval, False


@compiled
def _multiply_group(plan, shape, space, slopes, variant, q, new):
    """new = Jacobians times q for a group, slopes (sequence, slot, row), one sequence to a lane.

    A few rows of a block are formed and applied at a time, so that q and `new` are all that has to stay in the cache.
    """
    gathered, matrices, size, stride = space.gathered, space.matrices, shape.padded_block_rows, shape.stride
    width = lanes(q)
    for x in range(plan.slots.shape[0]):
        slot, times = plan.slots[x]
        for lane in range(len(slopes)):
            for i in range(shape.block_rows):
                slope = slopes[lane, slot, i] if times < 0 else slopes[lane, slot, i] * slopes[lane, times, i]
                gathered[(x * size + i) * width + lane] = slope
    for p in range(plan.table.shape[0]):
        block = plan.table[p]
        source, target = block[SOURCE] * size * width, block[TARGET] * size * width
        origin = new if block[AFTER] else q
        n_weights, slot = block[N_WEIGHTS], block[FIRST_SLOT] * size * width
        if n_weights == 0:
            _scale_group(block, shape, gathered, slot, origin, source, new, target)
            continue
        weight_at = block[WEIGHT_AT] + variant * size * size * n_weights
        for i in range(0, size, PANEL):
            for row in range(i, i + PANEL):
                to = (row - i) * plan.row_stride
                for j in range(0, size, ROWS):
                    row_products(
                        plan.weights, weight_at + (row * size + j) * n_weights, n_weights,
                        gathered, slot + row * width, size * width, n_weights,
                        matrices, to + j * width, width, 0, ROWS, 1,
                    )  # fmt: skip
                for d in range(n_weights, block[N_SLOTS]):
                    slope = load(gathered, slot + (d * size + row) * width)
                    store(matrices, to + row * width, load(matrices, to + row * width) + slope)
            for at in range(0, shape.padded_columns * stride, PANEL * stride):
                multiply_panel(
                    matrices, 0, plan.row_stride, origin, at + source, stride, size, PANEL,
                    new, at + target + i * width, stride, block[ADDS],
                )  # fmt: skip


@compiled
def _scale_group(block, shape, gathered, slot, origin, source, new, target):
    """Apply a block without weights to all columns of a group."""
    size, width = shape.padded_block_rows, lanes(new)
    for x in range(0, size * width, width):
        slope = load(gathered, slot + x)
        for d in range(1, block[N_SLOTS]):
            slope = slope + load(gathered, slot + d * size * width + x)
        for at in range(0, shape.padded_columns * shape.stride, shape.stride):
            product, place = slope * load(origin, at + source + x), at + target + x
            store(new, place, load(new, place) + product if block[ADDS] else product)


@compiled
def _take_care_of_group(plan, shape, space, room, care, limits, slopes, variant, q, new, squares, sines):
    """Take up again the matrices of a group, just moved from q to `new`, that one pass cannot be trusted with."""
    _multiply_group(plan, shape, space, slopes, variant, q, space.spare)
    for lane in range(len(slopes)):
        if needs_care(room.squares, room.ratios, lane, lanes(q), shape.n_columns, limits):
            take_matrix(space.spare, lane, shape, care.matrix, care.stride)
            sines[lane] = take_care(care, shape, False, squares[lane])
            put_matrix(new, lane, shape, care.matrix, care.stride)


@compiled
def _run_in_step(
    plan, shape, space, room, limits, slopes, orthonormalizes, at, count, frames, step, interval, squares, sines
):
    """As `_run_group`, for trajectories whose matrices lie one after another in a frame."""
    variant, first = at
    n_rows, size = shape.n_blocks * shape.padded_block_rows, shape.padded_columns * shape.stride
    while step < slopes.shape[1]:
        q, new = frames[step % 2], frames[(step + 1) % 2]
        _multiply_in_step(plan, shape, space, slopes[variant, step, first : first + count], variant, q, new)
        step += 1
        if orthonormalizes[step - 1]:
            care = False
            for own in range(count):
                orthonormalize_matrix(
                    new[own * size : (own + 1) * size], shape.n_columns, n_rows, shape.stride, 0.0,
                    room.work, room.squares, room.ratios, limits.tiny,
                )  # fmt: skip
                space.careful[own] = needs_care(room.squares, room.ratios, 0, 1, shape.n_columns, limits)
                care |= space.careful[own]
                for c in range(shape.n_columns):
                    squares[interval, variant, first + own, c] = room.squares[c]
                sines[interval, variant, first + own] = np.sqrt(room.ratios[: shape.n_columns].min())
            interval += 1
            if care:
                return step, interval, True
    return step, interval, False


@compiled
def _take_care_in_step(plan, shape, space, care, slopes, variant, q, new, squares, sines):
    """Take up again the matrices, just moved from q to `new`, that were found to need it."""
    size = shape.padded_columns * shape.stride
    _multiply_in_step(plan, shape, space, slopes, variant, q, space.spare)
    for own in range(len(slopes)):
        if space.careful[own]:
            take_rows(space.spare[own * size : (own + 1) * size], shape, care.matrix, care.stride)
            sines[own] = take_care(care, shape, False, squares[own])
            put_rows(new[own * size : (own + 1) * size], shape, care.matrix, care.stride)


@compiled
def _multiply_in_step(plan, shape, space, slopes, variant, q, new):
    """new = Jacobians times q, slopes (sequence, slot, row): of each a block is formed, a vector of rows at a time.

    All trajectories are at the same rows, so that the weights of these are read from memory once for all of them.
    """
    size, width, n_slots = shape.padded_block_rows, lanes(q), plan.slots.shape[0]
    for own in range(len(slopes)):
        for x in range(n_slots):
            slot, times = plan.slots[x]
            for i in range(shape.block_rows):
                slope = slopes[own, slot, i] if times < 0 else slopes[own, slot, i] * slopes[own, times, i]
                space.gathered[(own * n_slots + x) * size + i] = slope
    for p in range(plan.table.shape[0]):
        block = plan.table[p]
        origin = new if block[AFTER] else q
        for i in range(0, size, width):
            for own in range(len(slopes)):
                slopes_at = (own * n_slots + block[FIRST_SLOT]) * size + i
                if block[N_WEIGHTS] == 0:
                    _scale_rows(block, shape, space.gathered, slopes_at, i, own, origin, new)
                else:
                    _form_rows(plan, block, shape, space, slopes_at, i, variant)
                    _apply_rows(block, shape, space.matrices, i, own, origin, new)


@compiled
def _scale_rows(block, shape, gathered, slopes_at, i, own, origin, new):
    """Apply a vector of rows, from row i, of a block without weights to the trajectory `own`."""
    slope = load(gathered, slopes_at)
    for d in range(1, block[N_SLOTS]):
        slope = slope + load(gathered, slopes_at + d * shape.padded_block_rows)
    for c in range(shape.n_columns):
        column = (own * shape.padded_columns + c) * shape.stride + i
        place = column + block[TARGET] * shape.padded_block_rows
        product = slope * load(origin, column + block[SOURCE] * shape.padded_block_rows)
        store(new, place, load(new, place) + product if block[ADDS] else product)


@compiled
def _form_rows(plan, block, shape, space, slopes_at, i, variant):
    """Form a vector of rows, from row i, of a block: formed[column * lanes + row]."""
    size, formed, gathered, n_weights = shape.padded_block_rows, space.matrices, space.gathered, block[N_WEIGHTS]
    width = lanes(formed)
    at = block[WEIGHT_AT] + (variant * size + i) * size * n_weights
    for j in range(size):
        total = spread(formed, 0)
        for t in range(n_weights):
            weight = load(plan.weights, at + (j * n_weights + t) * width)
            total = multiply_add(load(gathered, slopes_at + t * size), weight, total)
        store(formed, j * width, total)
    for d in range(n_weights, block[N_SLOTS]):
        for lane in range(width):
            formed[(i + lane) * width + lane] += gathered[slopes_at + d * size + lane]


@compiled
def _apply_rows(block, shape, formed, i, own, origin, new):
    """Multiply all columns of the trajectory `own` by rows that were formed."""
    size, width, stride = shape.padded_block_rows, lanes(new), shape.stride
    for c in range(own * shape.padded_columns, (own + 1) * shape.padded_columns, ROWS):
        at, to = c * stride + block[SOURCE] * size, c * stride + block[TARGET] * size + i
        if block[ADDS]:
            row_products(origin, at, stride, formed, 0, width, size, new, to, stride, 1, ROWS, 1)
        else:
            row_products(origin, at, stride, formed, 0, width, size, new, to, stride, 0, ROWS, 1)


class TangentFlow:
    """Tangent vectors of many trajectories, moved by `advance`.

    Trajectories are those of n_sequences sequences through each of n_variants networks, which differ in their weights.
    """

    def __init__(self, blocks: Sequence[Block], n_blocks: int, tangents: Tensor) -> None:
        """Lay out weights and tangent vectors for the kernels.

        Args:
            blocks: what the Jacobians are made of, in the order in which they are applied.
            n_blocks: blocks of rows of the tangent vectors, all of one size. A target of `blocks` beyond them exists
                within a step only, as the source of a later block.
            tangents: (variant, sequence, n_blocks * size, k), on the CPU, float32 or float64, k <= n_blocks * size.
        """
        self.n_variants, self.n_sequences, n_rows, n_columns = tangents.shape
        self.dtype = tangents.dtype
        self.numpy_dtype = np.dtype(str(tangents.dtype).removeprefix("torch."))
        n_more = max([0, *(block.target + 1 - n_blocks for block in blocks)])
        layout = choose_layout(self.n_sequences, n_blocks, n_rows // n_blocks, n_columns, self.numpy_dtype, n_more)
        self.layout, self.shape, self.lanes = layout, layout.shape, layout.lanes
        self.together = layout.lanes if layout.lanes > 1 else self._number_in_step()
        self.plan = self._lay_out(blocks)
        self.places = [
            (variant, first)
            for variant in range(self.n_variants)
            for first in range(0, self.n_sequences, self.together)
        ]
        self.frames = [tuple(aligned_zeros(self.frame_size, self.numpy_dtype) for _ in range(2)) for _ in self.places]
        self._write_tangents(tangents)

    def advance(self, slopes: Tensor, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """Move the tangent vectors through steps with these slopes.

        Args:
            slopes: (variant, step, sequence, slot, size), in the dtype of the tangent vectors.
            orthonormalizes: for each step, whether the vectors are orthonormalised after it.

        Returns:
            log_r: (interval, variant, sequence, k), float64: natural log of the diagonal of R at each
                orthonormalisation; -inf for lost directions, which come last, NaN for what is not finite.
            sines: (interval, variant, sequence), float64: smallest sine of the angle between a vector and the span of
                those before it, from which the error of log_r follows (eps / sine).
        """
        steps = np.asarray(orthonormalizes, dtype=np.bool_)
        n_intervals = int(steps.sum())
        squares = np.empty((n_intervals, self.n_variants, self.n_sequences, self.shape.n_columns))
        sines = np.empty((n_intervals, self.n_variants, self.n_sequences))
        values = slopes.contiguous().numpy()

        def work(places: range) -> None:
            worker = _Worker(self, values, steps, squares, sines)
            for place in places:
                worker.carry(self.places[place], self.frames[place])
                if len(steps) % 2:
                    self.frames[place] = self.frames[place][::-1]

        on_threads(work, len(self.places))
        return torch.from_numpy(squares).log_().mul_(0.5), torch.from_numpy(sines)

    @property
    def frame_size(self) -> int:
        """Numbers in a frame, which holds the tangent vectors of the trajectories that are carried together."""
        return self.layout.frame_size // self.lanes * self.together

    def _number_in_step(self) -> int:
        """How many trajectories of large matrices are carried together: as fit, and so that no thread has none."""
        fit = IN_STEP_BYTES // (2 * self.layout.frame_size * self.numpy_dtype.itemsize)
        of_thread = -(-self.n_variants * self.n_sequences // torch.get_num_threads())
        return max(1, min(fit, of_thread, self.n_sequences))

    def tangents(self) -> Tensor:
        """Return the tangent vectors, (variant, sequence, rows, k)."""
        shape = self.shape
        result = np.empty(
            (self.n_variants, self.n_sequences, shape.n_columns, shape.n_blocks, shape.block_rows), self.numpy_dtype
        )
        for (variant, first), (frame, _) in zip(self.places, self.frames, strict=True):
            block = self._view(frame)
            count = min(self.together, self.n_sequences - first)
            result[variant, first : first + count] = np.moveaxis(block, -1, 0)[:count]
        return torch.from_numpy(result).flatten(-2).mT

    def snapshot(self) -> list[NDArray]:
        """Return a copy of the tangent vectors for `restore`."""
        return [frame.copy() for frame, _ in self.frames]

    def restore(self, snapshot: list[NDArray]) -> None:
        """Set the tangent vectors to what they were."""
        for (frame, _), saved in zip(self.frames, snapshot, strict=True):
            frame[:] = saved

    def _view(self, frame: NDArray) -> NDArray:
        """The part of a frame that counts: (column, block, row, trajectory)."""
        shape = self.shape
        if self.lanes > 1:
            rows = frame.reshape(shape.padded_columns, -1, self.lanes)
        else:
            rows = np.moveaxis(frame.reshape(self.together, shape.padded_columns, -1), 0, -1)
        blocks = rows[: shape.n_columns, : shape.n_blocks * shape.padded_block_rows]
        return blocks.reshape(shape.n_columns, shape.n_blocks, -1, self.together)[:, :, : shape.block_rows]

    def _write_tangents(self, tangents: Tensor) -> None:
        shape = self.shape
        columns = tangents.mT.reshape(*tangents.shape[:2], shape.n_columns, shape.n_blocks, shape.block_rows).numpy()
        for (variant, first), (frame, _) in zip(self.places, self.frames, strict=True):
            count = min(self.together, self.n_sequences - first)
            self._view(frame)[..., :count] = np.moveaxis(columns[variant, first : first + count], 0, -1)

    def _lay_out(self, blocks: Sequence[Block]) -> _Plan:
        size, width = self.shape.padded_block_rows, self.lanes
        row_stride = spaced(size) * width
        table, slots, weights = [], [], []
        weight_at = 0
        reached = set()
        for block in blocks:
            matrices = [(pair, weight) for pair, weight in block.terms if weight is not None]
            direct = [pair for pair, weight in block.terms if weight is None]
            table.append((block.target, block.source, block.after, block.target in reached, len(slots), len(matrices),
                          len(block.terms), weight_at))  # fmt: skip
            reached.add(block.target)
            slots += [pair for pair, _ in matrices] + direct
            if matrices:
                weights.append(self._weights([weight for _, weight in matrices]))
                weight_at += weights[-1].size
        flat = np.concatenate([np.zeros(0, self.numpy_dtype), *weights])
        return _Plan(
            np.array(table, np.int64),
            np.array([pair if len(pair) == 2 else (*pair, -1) for pair in slots], np.int64),
            flat,
            row_stride,
        )

    def _weights(self, weights: Sequence[Tensor]) -> NDArray:
        """Weights of one block as kernels read them: (variant, row, column, term), in groups; else (variant, vector of
        rows, column, term, row)."""
        size = self.shape.padded_block_rows
        padded = np.zeros((len(weights), self.n_variants, size, size), self.numpy_dtype)
        for term, weight in enumerate(weights):
            padded[term, :, : weight.shape[-2], : weight.shape[-1]] = (
                weight.detach().expand(self.n_variants, -1, -1).numpy()
            )
        if self.lanes > 1:
            return padded.transpose((1, 2, 3, 0)).ravel()
        width = lanes_of(self.numpy_dtype.itemsize)
        return padded.reshape(*padded.shape[:2], -1, width, size).transpose((1, 2, 4, 0, 3)).ravel()

    def space(self) -> _Space:
        """Return what one thread forms Jacobians in."""
        slopes = len(self.plan.slots) * self.shape.padded_block_rows * self.together
        width = lanes_of(self.numpy_dtype.itemsize)
        matrices = PANEL * self.plan.row_stride if self.lanes > 1 else self.shape.padded_block_rows * width
        numbers = (aligned_zeros(max(size, 1), self.numpy_dtype) for size in (slopes, matrices, self.frame_size))
        return _Space(*numbers, np.zeros(self.together, np.bool_))


class _Worker:
    """One thread's part of `TangentFlow.advance`."""

    def __init__(
        self, flow: TangentFlow, slopes: NDArray, orthonormalizes: NDArray, squares: NDArray, sines: NDArray
    ) -> None:
        self.flow, self.slopes, self.orthonormalizes, self.squares, self.sines = (
            flow,
            slopes,
            orthonormalizes,
            squares,
            sines,
        )
        self.space, self.room = flow.space(), orthonormalization_room(flow.layout, flow.numpy_dtype)
        self.limits = LIMITS[flow.numpy_dtype]
        self.care = care_room(flow.shape)

    def carry(self, at: tuple[int, int], frames: tuple[NDArray, NDArray]) -> None:
        """Carry the trajectories at one place through all steps; kernels stop where a matrix needs care."""
        plan, shape = self.flow.plan, self.flow.shape
        run = _run_group if self.flow.lanes > 1 else _run_in_step
        count = min(self.flow.together, self.flow.n_sequences - at[1])
        step = interval = 0
        while step < self.slopes.shape[1]:
            step, interval, needs_care = run(
                plan, shape, self.space, self.room, self.limits, self.slopes, self.orthonormalizes, at, count, frames,
                step, interval, self.squares, self.sines,
            )  # fmt: skip
            if needs_care:
                self._take_care(at, count, frames, step - 1, interval - 1)

    def _take_care(
        self, at: tuple[int, int], count: int, frames: tuple[NDArray, NDArray], step: int, interval: int
    ) -> None:
        variant, first = at
        q, new = frames[step % 2], frames[(step + 1) % 2]
        plan, shape, found = self.flow.plan, self.flow.shape, slice(first, first + count)
        results = self.squares[interval, variant, found], self.sines[interval, variant, found]
        slopes = self.slopes[variant, step, found]
        if self.flow.lanes > 1:
            _take_care_of_group(
                plan, shape, self.space, self.room, self.care, self.limits, slopes, variant, q, new, *results
            )
        else:
            _take_care_in_step(plan, shape, self.space, self.care, slopes, variant, q, new, *results)
