"""Tangent vectors carried along many trajectories on the CPU: multiplied by Jacobians and orthonormalised, step by step.

A Jacobian is not formed by the caller, nor kept for longer than a step: it is given by what it is made of, products of
the network's own weights with slopes that change from step to step (`Block`). Each trajectory, or each group of as many
trajectories as a vector has lanes, goes through all steps on one thread, while its matrices stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.linalg.blocked import (
    ROWS,
    orthonormalize_matrix,
    orthonormalize_matrix_again,
    put_rows,
    take_rows,
)
from lyapunov_pkg.linalg.care import (
    LIMITS,
    Shape,
    aligned_zeros,
    care_room,
    needs_care,
    round_up,
    spaced,
    take_care,
    work_size,
)
from lyapunov_pkg.linalg.interleaved import (
    PANEL,
    multiply_panel,
    orthonormalize_group_again,
    orthonormalize_panel,
    put_matrix,
    take_matrix,
)
from lyapunov_pkg.linalg.vectors import lanes, lanes_of, load, multiply_add, row_products, spread, store

INTERLEAVED_ROWS = 192
"""Matrices with more rows are taken one by one: a group of them would leave the cache."""

# Columns of the table that describes blocks to the kernels.
TARGET, SOURCE, AFTER, ADDS, FIRST_SLOT, N_WEIGHTS, N_SLOTS, WEIGHT_AT, MATRIX_AT = range(9)


@dataclass(frozen=True)
class Block:
    """One block of a Jacobian: the sum over its terms of diag(slopes) W, or of diag(slopes) where W is None.

    Attributes:
        target: block of rows of the tangent vectors to which it contributes.
        source: block of rows to which it is applied.
        after: whether to that block as it is after this step (an upper layer reads its input, LEM's y its z); such
            blocks must have been targets of earlier blocks.
        terms: the slot of the slopes, and W (variant, size, size) or None.
    """

    target: int
    source: int
    after: bool
    terms: tuple[tuple[int, Tensor | None], ...]


class _Plan(NamedTuple):
    """What the kernels know of the Jacobians: `table` (block, column), the slots of all terms, weights as they need them."""

    table: NDArray
    slots: NDArray
    weights: NDArray
    row_stride: int
    """Numbers between the rows of a block of a group's Jacobians."""


class _Room(NamedTuple):
    """What one thread works in, for one group or one matrix at a time."""

    gathered: NDArray
    matrices: NDArray
    spare: NDArray
    work: NDArray
    squares: NDArray
    ratios: NDArray
    more: NDArray


@njit(nogil=True, cache=True)
def _run_group(plan, shape, room, care, limits, twice, slopes, orthonormalizes, at, count, q, new, squares, sines):
    """Carry a group of trajectories through all steps of `slopes`; see `TangentFlow.advance`.

    `at` is the variant and the first sequence of the group, `count` how many there are.
    """
    variant, first = at
    n_rows = shape.n_blocks * shape.padded_block_rows
    interval = 0
    for step in range(slopes.shape[2]):
        _form_group(plan, shape, room, slopes[:, variant, step, first : first + count], variant)
        for column in range(0, shape.padded_columns, PANEL):
            _multiply_group(plan, shape, room, q, new, column)
            if orthonormalizes[step]:
                orthonormalize_panel(
                    new, column, n_rows, shape.stride, room.work, room.squares, room.ratios, limits.tiny
                )
        if orthonormalizes[step]:
            if twice:
                orthonormalize_group_again(
                    new, shape.padded_columns, n_rows, shape.stride, room.work, room.squares, room.more, limits.tiny
                )
            found = squares[interval, variant, first:], sines[interval, variant, first:]
            _finish_group(plan, shape, room, care, limits, count, q, new, *found)
            interval += 1
        q, new = new, q


@njit(nogil=True, cache=True)
def _form_group(plan, shape, room, slopes, variant):
    """The blocks of the Jacobians at one step, from slopes (slot, sequence, row): one sequence to a lane."""
    gathered, matrices, size = room.gathered, room.matrices, shape.padded_block_rows
    width = lanes(gathered)
    for x in range(plan.slots.shape[0]):
        for lane in range(slopes.shape[1]):
            for i in range(shape.block_rows):
                gathered[(x * size + i) * width + lane] = slopes[plan.slots[x], lane, i]
    for p in range(plan.table.shape[0]):
        block = plan.table[p]
        n_weights, matrix_at = block[N_WEIGHTS], block[MATRIX_AT]
        slot = block[FIRST_SLOT] * size * width
        weight_at = block[WEIGHT_AT] + variant * size * size * n_weights
        if n_weights:
            for i in range(size):
                for j in range(0, size, ROWS):
                    row_products(
                        plan.weights, weight_at + (i * size + j) * n_weights, n_weights,
                        gathered, slot + i * width, size * width, n_weights,
                        matrices, matrix_at + i * plan.row_stride + j * width, width, 0, ROWS, 1,
                    )  # fmt: skip
        for d in range(n_weights, block[N_SLOTS]):
            for i in range(size):
                slope = load(gathered, slot + (d * size + i) * width)
                place = matrix_at + i * width + (i * plan.row_stride if n_weights else 0)
                store(matrices, place, load(matrices, place) + slope if d else slope)


@njit(nogil=True, cache=True)
def _multiply_group(plan, shape, room, q, new, column):
    """Columns `column` to `column + PANEL` of `new`: the Jacobians of a group times those of q."""
    width = lanes(q)
    size, stride, matrices = shape.padded_block_rows, shape.stride, room.matrices
    at = column * stride
    for p in range(plan.table.shape[0]):
        block = plan.table[p]
        source, target = at + block[SOURCE] * size * width, at + block[TARGET] * size * width
        origin = new if block[AFTER] else q
        if block[N_WEIGHTS]:
            multiply_panel(
                matrices, block[MATRIX_AT], plan.row_stride, origin, source, stride, size, size, new, target, stride,
                block[ADDS],
            )  # fmt: skip
            continue
        for j in range(PANEL):
            for x in range(0, size * width, width):
                product = load(matrices, block[MATRIX_AT] + x) * load(origin, source + j * stride + x)
                place = target + j * stride + x
                store(new, place, load(new, place) + product if block[ADDS] else product)


@njit(nogil=True, cache=True)
def _finish_group(plan, shape, room, care, limits, count, q, new, squares, sines):
    """Report what one pass found for each matrix of a group, and take up again those that need care."""
    width = lanes(q)
    spare_is_made = False
    for lane in range(count):
        if not needs_care(room.squares, room.ratios, lane, width, shape.n_columns, limits):
            smallest = room.ratios[lane]
            for c in range(shape.n_columns):
                squares[lane, c] = room.squares[c * width + lane]
                smallest = min(smallest, room.ratios[c * width + lane])
            sines[lane] = np.sqrt(smallest)
            continue
        if not spare_is_made:
            for column in range(0, shape.padded_columns, PANEL):
                _multiply_group(plan, shape, room, q, room.spare, column)
            spare_is_made = True
        take_matrix(room.spare, lane, shape, care.matrix, care.stride)
        sines[lane] = take_care(care, shape, squares[lane])
        put_matrix(new, lane, shape, care.matrix, care.stride)


@njit(nogil=True, cache=True)
def _run_one(plan, shape, room, care, limits, twice, slopes, orthonormalizes, at, q, new, squares, sines):
    """Carry one trajectory through all steps of `slopes`; see `TangentFlow.advance`. `at`: its variant and sequence."""
    variant, sequence = at
    n_rows = shape.n_blocks * shape.padded_block_rows
    interval = 0
    for step in range(slopes.shape[2]):
        _multiply_one(plan, shape, room, slopes[:, variant, step, sequence], variant, q, new)
        if orthonormalizes[step]:
            orthonormalize_matrix(
                new, shape.n_columns, n_rows, shape.stride, 0.0, room.work, room.squares, room.ratios, limits.tiny
            )
            if twice:
                orthonormalize_matrix_again(
                    new, shape.n_columns, n_rows, shape.stride, room.work, room.squares, room.more, limits.tiny
                )
            result = squares[interval, variant, sequence]
            if needs_care(room.squares, room.ratios, 0, 1, shape.n_columns, limits):
                _multiply_one(plan, shape, room, slopes[:, variant, step, sequence], variant, q, room.spare)
                take_rows(room.spare, shape, care.matrix, care.stride)
                sines[interval, variant, sequence] = take_care(care, shape, result)
                put_rows(new, shape, care.matrix, care.stride)
            else:
                for c in range(shape.n_columns):
                    result[c] = room.squares[c]
                sines[interval, variant, sequence] = np.sqrt(room.ratios[: shape.n_columns].min())
            interval += 1
        q, new = new, q


@njit(nogil=True, cache=True)
def _multiply_one(plan, shape, room, slopes, variant, q, new):
    """new = Jacobian times q for one trajectory, slopes (slot, row): a block is formed, a vector of rows at a time."""
    size, stride, formed, gathered = shape.padded_block_rows, shape.stride, room.matrices, room.gathered
    width = lanes(q)
    for x in range(plan.slots.shape[0]):
        for i in range(shape.block_rows):
            gathered[x * size + i] = slopes[plan.slots[x], i]
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

    def __init__(self, blocks: Sequence[Block], n_blocks: int, tangents: Tensor, *, twice: bool = False) -> None:
        """Lay out weights and tangent vectors for the kernels.

        Args:
            blocks: what the Jacobians are made of, in the order in which they are applied.
            n_blocks: blocks of rows of the tangent vectors, all of one size. A target of `blocks` beyond them exists
                within a step only, as the source of a later block.
            tangents: (variant, sequence, n_blocks * size, k), on the CPU, float32 or float64, k <= n_blocks * size.
            twice: orthonormalise in two passes, so that the vectors are orthonormal to rounding; without it they are
                so as far as log r needs it.
        """
        self.n_variants, self.n_sequences, n_rows, n_columns = tangents.shape
        self.dtype = tangents.dtype
        self.numpy_dtype = np.dtype(str(tangents.dtype).removeprefix("torch."))
        self.twice = twice
        width = lanes_of(self.numpy_dtype.itemsize)
        n_groups = -(-self.n_sequences // width)
        # Half of the lanes busy: that is about where a group is as fast as its matrices one by one.
        self.grouped = n_rows <= INTERLEAVED_ROWS and 2 * self.n_sequences >= n_groups * width
        self.lanes = width if self.grouped else 1
        size = n_rows // n_blocks
        padded = round_up(size, PANEL if self.grouped else width)
        n_all_blocks = max([n_blocks, *(block.target + 1 for block in blocks)])
        column = spaced(n_all_blocks * padded) * width if self.grouped else n_all_blocks * padded
        self.shape = Shape(n_blocks, size, padded, n_columns, round_up(n_columns, PANEL), column)
        self.plan = self._lay_out(blocks)
        length = self.shape.padded_columns * self.shape.stride
        self.places = [
            (variant, first)
            for variant in range(self.n_variants)
            for first in range(0, self.n_sequences, self.lanes)
        ]
        self.frames = [[aligned_zeros(length, self.numpy_dtype) for _ in range(2)] for _ in self.places]
        self._write_tangents(tangents)

    def advance(self, slopes: Tensor, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """Move the tangent vectors through steps with these slopes.

        Args:
            slopes: (slot, variant, step, sequence, size), in the dtype of the tangent vectors.
            orthonormalizes: for each step, whether the vectors are orthonormalised after it.

        Returns:
            log_r: (interval, variant, sequence, k), float64: natural log of the diagonal of R at each orthonormalisation;
                -inf for lost directions, which come last, NaN for what is not finite.
            sines: (interval, variant, sequence), float64: smallest sine of the angle between a vector and the span of
                those before it, from which the error of log_r follows (eps / sine).
        """
        steps = np.asarray(orthonormalizes, dtype=np.bool_)
        n_intervals = int(steps.sum())
        squares = np.empty((n_intervals, self.n_variants, self.n_sequences, self.shape.n_columns))
        sines = np.empty((n_intervals, self.n_variants, self.n_sequences))
        values = slopes.contiguous().numpy()
        limits = LIMITS[self.numpy_dtype]

        def work(places: Sequence[int]) -> None:
            room, care = self._room(), care_room(self.shape.n_blocks * self.shape.block_rows, self.shape.n_columns)
            given = self.plan, self.shape, room, care, limits, self.twice, values, steps
            for place in places:
                at, frame = self.places[place], self.frames[place]
                if self.grouped:
                    count = min(self.lanes, self.n_sequences - at[1])
                    _run_group(*given, at, count, *frame, squares, sines)
                else:
                    _run_one(*given, at, *frame, squares, sines)
                if len(steps) % 2:
                    frame.reverse()

        _on_threads(work, len(self.places))
        return torch.from_numpy(squares).log_().mul_(0.5), torch.from_numpy(sines)

    def tangents(self) -> Tensor:
        """Return the tangent vectors, (variant, sequence, rows, k)."""
        shape = self.shape
        result = np.empty((self.n_variants, self.n_sequences, shape.n_columns, shape.n_blocks, shape.block_rows), self.numpy_dtype)
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
        weight_at = matrix_at = 0
        reached = set()
        for block in blocks:
            matrices = [(slot, weight) for slot, weight in block.terms if weight is not None]
            direct = [slot for slot, weight in block.terms if weight is None]
            table.append((block.target, block.source, block.after, block.target in reached, len(slots), len(matrices),
                          len(block.terms), weight_at, matrix_at))  # fmt: skip
            reached.add(block.target)
            slots += [slot for slot, _ in matrices] + direct
            if matrices:
                weights.append(self._weights([weight for _, weight in matrices]))
                weight_at += weights[-1].size
            matrix_at += size * row_stride if matrices else size * width
        self.matrices_size = matrix_at if self.grouped else (size + 1) * lanes_of(self.numpy_dtype.itemsize)
        flat = np.concatenate([np.zeros(0, self.numpy_dtype), *weights])
        return _Plan(np.array(table, np.int64), np.array(slots, np.int64), flat, row_stride)

    def _weights(self, weights: Sequence[Tensor]) -> NDArray:
        """Weights of one block as the kernels read them, flat: (variant, row, column, term) or (variant, term, column, row)."""
        size = self.shape.padded_block_rows
        padded = np.zeros((len(weights), self.n_variants, size, size), self.numpy_dtype)
        for term, weight in enumerate(weights):
            padded[term, :, : weight.shape[-2], : weight.shape[-1]] = weight.detach().expand(self.n_variants, -1, -1).numpy()
        return padded.transpose((1, 2, 3, 0) if self.grouped else (1, 0, 3, 2)).ravel()

    def _room(self) -> _Room:
        shape, dtype = self.shape, self.numpy_dtype
        width = lanes_of(dtype.itemsize)
        columns = round_up(shape.padded_columns, width)
        n_rows = shape.n_blocks * shape.padded_block_rows
        work = PANEL * (PANEL + 2) * width if self.grouped else work_size(n_rows, columns, width)
        sizes = (
            len(self.plan.slots) * shape.padded_block_rows * self.lanes,
            self.matrices_size,
            shape.padded_columns * shape.stride,
            work,
            columns * self.lanes,
            columns * self.lanes,
            2 * columns * self.lanes,
        )
        return _Room(*(aligned_zeros(max(size, 1), dtype) for size in sizes))


def _on_threads(work: Callable[[Sequence[int]], None], n_tasks: int) -> None:
    """Share tasks 0 to n_tasks - 1 among as many threads as PyTorch uses; the kernels hold no lock."""
    n_threads = min(torch.get_num_threads(), n_tasks)
    if n_threads == 1:
        work(range(n_tasks))
        return
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, [range(start, n_tasks, n_threads) for start in range(n_threads)]))
