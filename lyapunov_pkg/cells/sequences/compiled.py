"""A cell's updates, compiled for the CPU: one pass over memory per block of the state, and one per derivative.

The functions `value` and `slopes` of an `Update` are compiled unchanged, with the functions of `numbers` in place of
those of tensors. Kernels are compiled at their first call, within seconds, and stored on disk. The order in which a
kernel loads its numbers decides how the compiler contracts products and sums. It therefore influences the last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from numba.extending import register_jitable

from lyapunov_pkg.cells import functions
from lyapunov_pkg.cells.base import SlopesFunction, UnitFunction
from lyapunov_pkg.cells.sequences import numbers  # noqa: F401 (makes the functions of cells compilable)
from lyapunov_pkg.cells.sequences.access import (
    add_to_cotangents,
    load_draws,
    load_pre_activations,
    load_sources,
    load_target,
    store_derivatives,
    store_pre_activations,
    store_target,
)
from lyapunov_pkg.cells.sequences.places import Places, source_starts, starts, step_starts
from lyapunov_pkg.linalg.compilation import INLINED, compiled

Kernel = Callable[..., None]


class Kernels(NamedTuple):
    """The kernels of an update. Their arguments are passed by name.

    All kernels take size (H), constants (a tuple of numbers of the arrays' dtype), and C-contiguous arrays:
    pre_activations (V, T, B, A*H), states (V, T + 1, B, S), noise (V, B, T, N*H), cotangents (V, B, S) and derivatives
    (V, T, B, slots, H).

    Attributes:
        forward: see `make_forward`.
        backward: see `make_backward`.
        linearize: see `make_linearize`.
    """

    forward: Kernel
    backward: Kernel
    linearize: Kernel


@cache
def compiled_update(target: int, taken: Places, value: UnitFunction, slopes: SlopesFunction) -> Kernels:
    """Return the kernels of an update.

    Args:
        target: index of the block of the state that is updated.
        taken: the operands of the update.
        value: as `Update.value`.
        slopes: as `Update.slopes`.
    """
    # Files in this folder and in that of `compiled` are counted without being listed.
    sources = [_file_of(function) for function in (functions.tanh, value, slopes)]
    name = value.__module__.rpartition(".")[-1]
    # A loop with a function call is not vectorised.
    inlined_value, inlined_slopes = (register_jitable(**INLINED)(function) for function in (value, slopes))
    return Kernels(
        _compiled(make_forward(target, taken, inlined_value), name, sources),
        _compiled(make_backward(target, taken, inlined_slopes), name, sources),
        _compiled(make_linearize(taken, inlined_slopes), name, sources),
    )


def _compiled(kernel: Kernel, name: str, sources: Sequence[Path]) -> Kernel:
    """Compile a kernel of the cell `name`, which is also the name of the files with its machine code."""
    kernel.__qualname__ = f"{kernel.__name__}_{name}"
    return compiled(kernel, sources=sources, error_model="numpy", fastmath={"contract"})


def _file_of(function: Callable[..., object]) -> Path:
    return Path(function.__code__.co_filename)


def make_forward(target: int, taken: Places, value: Callable[..., object]) -> Kernel:
    """Return the kernel that writes the target block of `states` after a step of all sequences of all variants."""

    def forward(size, constants, pre_activations, states, noise, step):
        for row in range(pre_activations.shape[0] * pre_activations.shape[2]):
            at_slots, at_sources, at_draws, after = step_starts(row, step, size, taken, pre_activations, states, noise)
            for u in range(size):
                values = load_sources(states, at_sources, u) + load_draws(noise, at_draws, u)
                own = load_pre_activations(pre_activations, at_slots, u)
                store_target(states, after + target * size + u, value(own, values, constants))

    return forward


def make_backward(target: int, taken: Places, slopes: Callable[..., object]) -> Kernel:
    """Return the kernel of a backward step for all sequences of all variants.

    It converts cotangents by the state after the update to cotangents by the state before it. The cotangents by the
    pre-activations replace the pre-activations.
    """
    keeps = target in taken.blocks
    others = taken.blocks[1:] if keeps else taken.blocks

    def backward(size, constants, pre_activations, states, noise, cotangents, step):
        state_size = states.shape[3]
        for row in range(pre_activations.shape[0] * pre_activations.shape[2]):
            at_slots, at_sources, at_draws, _ = step_starts(row, step, size, taken, pre_activations, states, noise)
            at_target = row * state_size + target * size
            at_others = starts(row * state_size, others, size)
            for u in range(size):
                values = load_sources(states, at_sources, u) + load_draws(noise, at_draws, u)
                own = load_pre_activations(pre_activations, at_slots, u)
                by_pre_activations, by_blocks = slopes(own, values, constants)
                cotangent = load_target(cotangents, at_target + u)
                store_pre_activations(pre_activations, at_slots, u, by_pre_activations, cotangent)
                if keeps:
                    store_target(cotangents, at_target + u, by_blocks[0] * cotangent)
                    add_to_cotangents(cotangents, at_others, u, by_blocks[1:], cotangent)
                else:
                    store_target(cotangents, at_target + u, 0)
                    add_to_cotangents(cotangents, at_others, u, by_blocks, cotangent)

    return backward


def make_linearize(taken: Places, slopes: Callable[..., object]) -> Kernel:
    """Return the kernel, without noise, that writes the slopes by the pre-activations, followed by those by the blocks.

    It writes from slot `first_slot` on, for the rows of (V, T, B) from the first to the second entry of `rows`.
    """
    slots, blocks, steps_on, _ = taken
    written = tuple(range(len(slots) + len(blocks)))

    def linearize(size, constants, pre_activations, states, derivatives, first_slot, rows):
        _, n_steps, n_sequences, width = pre_activations.shape
        state_size, n_slots = states.shape[3], derivatives.shape[3]
        for row in range(rows[0], rows[1]):
            before = (row + row // (n_steps * n_sequences) * n_sequences) * state_size
            at_slots = starts(row * width, slots, size)
            at_sources = source_starts(before, blocks, size, steps_on, n_sequences * state_size)
            at_derivatives = starts((row * n_slots + first_slot) * size, written, size)
            for u in range(size):
                own = load_pre_activations(pre_activations, at_slots, u)
                by_pre_activations, by_blocks = slopes(own, load_sources(states, at_sources, u), constants)
                store_derivatives(derivatives, at_derivatives, u, by_pre_activations + by_blocks)

    return linearize
