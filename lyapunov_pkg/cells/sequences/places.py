"""Where the numbers stand that an update takes: blocks of H units in the rows of a trajectory's arrays.

Tuples of places are taken apart by recursion, which the compiler resolves.
"""

from __future__ import annotations

from typing import NamedTuple

from numba.extending import overload, register_jitable


class Places(NamedTuple):
    """What an update takes, in blocks of H units.

    Attributes:
        slots: where its pre-activations stand in a row of them.
        blocks: the blocks of the state.
        steps_on: of each block, 1 if it is taken as it is after the step, 0 if before.
        draws: the standard normal draws.
    """

    slots: tuple[int, ...]
    blocks: tuple[int, ...]
    steps_on: tuple[int, ...]
    draws: tuple[int, ...]


def starts(row: int, blocks: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return where each of `blocks` of a row begins; for compiled callers alone."""
    raise NotImplementedError


def _starts(row, blocks, size):
    if len(blocks) == 0:
        return lambda row, blocks, size: ()
    return lambda row, blocks, size: (row + blocks[0] * size, *starts(row, blocks[1:], size))


overload(starts, jit_options={"forceinline": True})(_starts)


def source_starts(
    row: int, blocks: tuple[int, ...], size: int, steps_on: tuple[int, ...], stride: int
) -> tuple[int, ...]:
    """Return where each of `blocks` begins, in the row or in that of the step after; for compiled callers alone."""
    raise NotImplementedError


def _source_starts(row, blocks, size, steps_on, stride):
    if len(blocks) == 0:
        return lambda row, blocks, size, steps_on, stride: ()
    return lambda row, blocks, size, steps_on, stride: (
        row + steps_on[0] * stride + blocks[0] * size,
        *source_starts(row, blocks[1:], size, steps_on[1:], stride),
    )


overload(source_starts, jit_options={"forceinline": True})(_source_starts)


@register_jitable(forceinline=True)
def step_starts(row, step, size, taken, pre_activations, states, noise):
    """Return where a sequence's blocks begin at a step: pre-activations, blocks of the state, draws, its next state.

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
