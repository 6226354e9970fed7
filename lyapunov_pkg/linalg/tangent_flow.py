"""Tangent vectors carried along many trajectories on the CPU: multiplied by Jacobians and orthonormalised.

A Jacobian is not formed by the caller, nor kept for longer than a step: it is given by what it is made of, products of
the network's own weights with slopes that change from step to step (`Block`). Each trajectory, or each group of as many
trajectories as a vector has lanes, goes through all steps on one thread, while its matrices stay in the cache.
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
    """What a thread forms Jacobians in: slopes by lane, some rows of a block, and another frame for what needs care."""

    gathered: NDArray
    matrices: NDArray
    spare: NDArray


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
def _run_one(
    plan, shape, space, room, limits, slopes, orthonormalizes, at, count, frames, step, interval, squares, sines
):
    """Carry one trajectory on from `step`; as `_run_group`, with `count` 1."""
    variant, sequence = at
    n_rows = shape.n_blocks * shape.padded_block_rows
    while step < slopes.shape[1]:
        new = frames[(step + 1) % 2]
        _multiply_one(plan, shape, space, slopes[variant, step, sequence], variant, frames[step % 2], new)
        step += 1
        if orthonormalizes[step - 1]:
            orthonormalize_matrix(
                new, shape.n_columns, n_rows, shape.stride, 0.0, room.work, room.squares, room.ratios, limits.tiny
            )
            for c in range(shape.n_columns):
                squares[interval, variant, sequence, c] = room.squares[c]
            sines[interval, variant, sequence] = np.sqrt(room.ratios[: shape.n_columns].min())
            interval += 1
            if needs_care(room.squares, room.ratios, 0, 1, shape.n_columns, limits):
                return step, interval, True
    return step, interval, False


@compiled
def _take_care_of_one(plan, shape, space, care, slopes, variant, q, new, squares, sines):
    """Take up again the matrix that was just moved from q to `new`."""
    _multiply_one(plan, shape, space, slopes, variant, q, space.spare)
    take_rows(space.spare, shape, care.matrix, care.stride)
    sines[0] = take_care(care, shape, False, squares[0])
    put_rows(new, shape, care.matrix, care.stride)


@compiled
def _multiply_one(plan, shape, space, slopes, variant, q, new):
    """new = Jacobian times q for one trajectory, slopes (slot, row): a block is formed, a vector of rows at a time."""
    size, stride, formed, gathered = shape.padded_block_rows, shape.stride, space.matrices, space.gathered
    width = lanes(q)
    for x in range(plan.slots.shape[0]):
        slot, times = plan.slots[x]
        for i in range(shape.block_rows):
            gathered[x * size + i] = slopes[slot, i] if times < 0 else slopes[slot, i] * slopes[times, i]
    for p in range(plan.table.shape[0]):
        block = plan.table[p]
        source, target = block[SOURCE] * size, block[TARGET] * size
        origin = new if block[AFTER] else q
        n_weights, slot = block[N_WEIGHTS], block[FIRST_SLOT] * size
        weight_at = block[WEIGHT_AT] + variant * size * size * n_weights
        for i in range(0, size, width):
            direct = spread(q, 0)
            for d in range(n_weights, block[N_SLOTS]):
                direct = direct + load(gathered, slot + d * size + i)
            if n_weights == 0:
                for c in range(shape.n_columns):
                    product, place = direct * load(origin, c * stride + source + i), c * stride + target + i
                    store(new, place, load(new, place) + product if block[ADDS] else product)
                continue
            for j in range(size):
                total = spread(q, 0)
                for t in range(n_weights):
                    weight = load(plan.weights, weight_at + (t * size + j) * size + i)
                    total = multiply_add(load(gathered, slot + t * size + i), weight, total)
                store(formed, j * width, total)
            store(formed, size * width, direct)
            for lane in range(width):
                formed[(i + lane) * width + lane] += formed[size * width + lane]
            for c in range(0, shape.padded_columns, ROWS):
                at, to = c * stride + source, c * stride + target + i
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
        self.plan = self._lay_out(blocks)
        self.places = [
            (variant, first) for variant in range(self.n_variants) for first in range(0, self.n_sequences, self.lanes)
        ]
        self.frames = [tuple(aligned_zeros(layout.frame_size, self.numpy_dtype) for _ in range(2)) for _ in self.places]
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

    def tangents(self) -> Tensor:
        """Return the tangent vectors, (variant, sequence, rows, k)."""
        shape = self.shape
        result = np.empty(
            (self.n_variants, self.n_sequences, shape.n_columns, shape.n_blocks, shape.block_rows), self.numpy_dtype
        )
        for (variant, first), (frame, _) in zip(self.places, self.frames, strict=True):
            block = self._view(frame)
            count = min(self.lanes, self.n_sequences - first)
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
        """The part of a frame that counts: (column, block, row, lane)."""
        shape = self.shape
        rows = frame.reshape(shape.padded_columns, -1, self.lanes)[: shape.n_columns]
        blocks = rows[:, : shape.n_blocks * shape.padded_block_rows]
        return blocks.reshape(shape.n_columns, shape.n_blocks, -1, self.lanes)[:, :, : shape.block_rows]

    def _write_tangents(self, tangents: Tensor) -> None:
        shape = self.shape
        columns = tangents.mT.reshape(*tangents.shape[:2], shape.n_columns, shape.n_blocks, shape.block_rows).numpy()
        for (variant, first), (frame, _) in zip(self.places, self.frames, strict=True):
            count = min(self.lanes, self.n_sequences - first)
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
        """Weights of one block as kernels read them: (variant, row, column, term) or (variant, term, column, row)."""
        size = self.shape.padded_block_rows
        padded = np.zeros((len(weights), self.n_variants, size, size), self.numpy_dtype)
        for term, weight in enumerate(weights):
            padded[term, :, : weight.shape[-2], : weight.shape[-1]] = (
                weight.detach().expand(self.n_variants, -1, -1).numpy()
            )
        return padded.transpose((1, 2, 3, 0) if self.lanes > 1 else (1, 0, 3, 2)).ravel()

    def space(self) -> _Space:
        """Return what one thread forms Jacobians in."""
        slopes = len(self.plan.slots) * self.shape.padded_block_rows * self.lanes
        width = lanes_of(self.numpy_dtype.itemsize)
        matrices = PANEL * self.plan.row_stride if self.lanes > 1 else (self.shape.padded_block_rows + 1) * width
        sizes = slopes, matrices, self.layout.frame_size
        return _Space(*(aligned_zeros(max(size, 1), self.numpy_dtype) for size in sizes))


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
        run = _run_group if self.flow.lanes > 1 else _run_one
        count = min(self.flow.lanes, self.flow.n_sequences - at[1])
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
            _take_care_of_one(plan, shape, self.space, self.care, slopes[0], variant, q, new, *results)
