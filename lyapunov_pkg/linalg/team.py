"""Threads that work on one matrix together.

A team's threads run the same kernel. Each has its own columns, and they tell one another how far they are by counters
in memory that they share. A thread that waits asks again and again, and gives its core to others meanwhile, because a
wait is shorter than what the operating system needs to wake a thread.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled

_LINE = 16
"""Numbers from one counter to the next: two cache lines, which a processor may fetch together."""
FINISHED, ARRIVED, STOPPED = 0, _LINE, 2 * _LINE
"""Places of the counters: panels that are finished, threads that arrived at meetings, whether one gave up."""

SPINS = 200
"""How often a thread that waits asks before it gives its core to others."""


class Team(NamedTuple):
    """One thread's view of its team."""

    counters: NDArray
    """int64, shared: see FINISHED, ARRIVED, STOPPED."""
    progress: NDArray
    """int64, the thread's own: panels that were finished in earlier passes, meetings, spins."""
    rank: int
    size: int
    yield_address: int
    """Of the function that gives the core to others; 0: there is none."""


def make_team(size: int = 1) -> list[Team]:
    """Return the views of the threads of a team, one for each."""
    counters = np.zeros(3 * _LINE, np.int64)
    return [Team(counters, np.zeros(_LINE, np.int64), rank, size, _YIELD) for rank in range(size)]


def _address_of_yield() -> int:
    try:
        return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
    except (AttributeError, OSError, TypeError):  # Windows
        return 0


_YIELD = _address_of_yield()
CAN_WAIT = _YIELD != 0
"""Whether threads can give their core to others while they wait. Where they cannot, matrices are not shared."""


def give_up(team: Team) -> None:
    """Let the threads of a team stop waiting; one of them failed."""
    team.counters[STOPPED] = 1


def gave_up(team: Team) -> bool:
    """Whether a thread of the team failed."""
    return bool(team.counters[STOPPED])


@compiled
def n_finished(team):
    """How many panels the team finished in this pass. What was written before it was counted can be read."""
    return load_atomically(team.counters, FINISHED) - team.progress[0]


@compiled
def finish_panel(team):
    """Let the team know that the next panel is finished."""
    store_atomically(team.counters, FINISHED, load_atomically(team.counters, FINISHED) + 1)


@compiled
def pause(team):
    """Wait a moment. Returns whether it makes sense to wait on: no thread gave up."""
    team.progress[2] += 1
    if team.progress[2] % SPINS == 0 and team.yield_address != 0:
        call_address(team.yield_address)
    return load_atomically(team.counters, STOPPED) == 0


@compiled
def meet(team):
    """Wait until all threads of the team are here. Returns whether they came: no thread gave up."""
    if team.size == 1:
        return True
    team.progress[1] += team.size
    add_atomically(team.counters, ARRIVED, 1)
    while load_atomically(team.counters, ARRIVED) < team.progress[1]:
        if not pause(team):
            return False
    return True


def _place(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, at: Any) -> ir.Value:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [at])


@intrinsic
def load_atomically(typingctx: Any, array: types.Array, at: types.Integer) -> Any:
    """A number that other threads write; what they wrote before it is seen from here on."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.load_atomic(_place(context, builder, signature.args[0], *args), "acquire", 8)

    return types.int64(array, types.intp), codegen


@intrinsic
def store_atomically(typingctx: Any, array: types.Array, at: types.Integer, value: types.Integer) -> Any:
    """Write a number that other threads read; what was written before it is seen by those that read it."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        builder.store_atomic(args[2], _place(context, builder, signature.args[0], *args[:2]), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), codegen


@intrinsic
def add_atomically(typingctx: Any, array: types.Array, at: types.Integer, value: types.Integer) -> Any:
    """Add to a number to which other threads add as well."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        builder.atomic_rmw("add", _place(context, builder, signature.args[0], *args[:2]), args[2], "acq_rel")
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), codegen


@intrinsic
def call_address(typingctx: Any, address: types.Integer) -> Any:
    """Call a C function without arguments."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.intp), codegen
