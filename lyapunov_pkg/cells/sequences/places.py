"""Positions of an update's operands: blocks of H units in the rows of a trajectory's arrays.

Recursion goes through tuples of places, and the compiler resolves it.
"""

from __future__ import annotations

from typing import NamedTuple

from numba.extending import overload, register_jitable

from lyapunov_pkg.linalg.compilation import INLINED


class Places(NamedTuple):
    """The operands of an update, in blocks of H units.

    Attributes:
        slots: positions of its pre-activations in a row.
        blocks: indices of its blocks of the state.
        steps_on: for each block, 1 if its value after the step is used, 0 if that before.
        draws: indices of its standard normal draws.
    """

    slots: tuple[int, ...]
    blocks: tuple[int, ...]
    steps_on: tuple[int, ...]
    draws: tuple[int, ...]


def starts(row: int, blocks: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return the beginning of each of `blocks` in a row; only for compiled callers."""
    raise NotImplementedError


def _starts(row, blocks, size):
    if len(blocks) == 0:
        return lambda row, blocks, size: ()
    return lambda row, blocks, size: (row + blocks[0] * size, *starts(row, blocks[1:], size))


overload(starts, jit_options=INLINED)(_starts)


def source_starts(
    row: int, blocks: tuple[int, ...], size: int, steps_on: tuple[int, ...], stride: int
) -> tuple[int, ...]:
    """Return the beginning of each of `blocks`, in the row or in that of the next step; only for compiled callers."""
    raise NotImplementedError


def _source_starts(row, blocks, size, steps_on, stride):
    if len(blocks) == 0:
        return lambda row, blocks, size, steps_on, stride: ()
    return lambda row, blocks, size, steps_on, stride: (
        row + steps_on[0] * stride + blocks[0] * size,
        *source_starts(row, blocks[1:], size, steps_on[1:], stride),
    )


overload(source_starts, jit_options=INLINED)(_source_starts)


@register_jitable(**INLINED)
def step_starts(row, step, size, taken, pre_activations, states, noise):
    """Return the beginnings of a sequence's blocks at a step: pre-activations, blocks of the state, draws, next state.

    `row` counts the sequences of all variants.
    """
    slots, blocks, steps_on, draws = taken
    _, n_steps, n_sequences, width = pre_activations.shape
    state_size = states.shape[3]
    variant, sequence = divmod(row, n_sequences)
    place = (variant * n_steps + step) * n_sequences + sequence
    before = (place + variant * n_sequences) * state_size
    after = before + n_sequences * state_size
    at_slots = starts(place * width, slots, size)
    at_sources = source_starts(before, blocks, size, steps_on, n_sequences * state_size)
    at_draws = starts((row * n_steps + step) * noise.shape[3], draws, size)
    return at_slots, at_sources, at_draws, after
