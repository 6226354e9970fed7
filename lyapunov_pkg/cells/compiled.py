"""A cell's updates compiled for the CPU: one pass over memory for a block of the state, and one for its derivative.

The functions `value` and `slopes` of an `Update` are compiled as they stand, with functions of numbers (below) in place
of those of tensors. Kernels are compiled when they are first called, within seconds, and kept on disk.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import TypeAlias

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload, register_jitable

from lyapunov_pkg.cells import functions
from lyapunov_pkg.cells.base import SlopesFunction, UnitFunction

INLINED = {"forceinline": True}  # A loop that calls a function is not vectorised.
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

ZERO, ONE, TWO, FOUR = (np.float32(number) for number in range(5) if number != 3)
LOWEST_EXPONENT = np.float32(-104)  # exp of it is 0
LOG2_E = np.float32(1.4426950408889634)
LN_2_HIGH, LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
ROUNDER = np.float32(1.5 * 2**23)  # added to a number below 2^22 it leaves the nearest integer in the last bits
BIAS, MANTISSA_BITS, HALF = np.int32(127), np.int32(23), np.int32(1)
# exp(r) = 1 + r + r² P(r) for |r| <= ln(2)/2 to 1e-7 (Cephes, expf).
P_5, P_4, P_3, P_2, P_1, P_0 = (
    np.float32(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)


Layout: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""What an update takes: slots of pre-activations; blocks of the state; how many steps on each is, 0 or 1; draws."""


@cache
def compiled_update(
    target: int,
    slots: tuple[int, ...],
    blocks: tuple[tuple[int, bool], ...],
    draws: tuple[int, ...],
    value: UnitFunction,
    slopes: SlopesFunction,
) -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:
    """Return the kernels of an update: what `make_forward`, `make_backward` and `make_linearize` return.

    They take size (H), constants (a tuple of numbers of the arrays' dtype), and C-contiguous arrays:
    pre_activations (V, T, B, A*H), states (V, T + 1, B, S), noise (V, B, T, N*H), cotangents (V, B, S), and
    derivatives (V, T, B, slots, H).

    Args:
        target: see `lyapunov_pkg.cells.base.Update`.
        slots: where the update's pre-activations stand in the rows of `pre_activations`, in blocks of H.
        blocks: the blocks of the state that it takes, and of each whether as it is after the step.
        draws: which draws it takes.
        value: as `Update.value`.
        slopes: as `Update.slopes`.
    """
    value, slopes = (register_jitable(**INLINED)(function) for function in (value, slopes))
    indices, steps_on = tuple(index for index, _ in blocks), tuple(int(after) for _, after in blocks)
    layout = slots, indices, steps_on, draws
    kernels = (
        make_forward(target, layout, value),
        make_backward(target, layout, slopes),
        make_linearize(layout, slopes),
    )
    digest = source_digest(functions, sys.modules[__name__], inspect.getmodule(value), inspect.getmodule(slopes))
    for kernel in kernels:
        # Numba's cache looks for changes in this file alone; the name tells it of the others.
        kernel.__qualname__ = f"{kernel.__name__}_{value.__module__.rpartition('.')[-1]}_{digest}"
    forward, backward, linearize = (njit(**OPTIONS)(kernel) for kernel in kernels)
    return forward, backward, linearize


def make_forward(target: int, layout: Layout, value: UnitFunction) -> Callable[..., None]:
    """Return the kernel that writes the target block of `states` after a step of all sequences of all variants."""

    def forward(size, constants, pre_activations, states, noise, cotangents, step):
        for row in range(pre_activations.shape[0] * pre_activations.shape[2]):
            a, s, z, after = step_starts(row, step, size, layout, pre_activations, states, noise)
            for u in range(size):
                values = load_sources(states, s, u) + load_draws(noise, z, u)
                result = value(load_pre_activations(pre_activations, a, u), values, constants)
                store_target(states, after + target * size + u, result)

    return forward


def make_backward(target: int, layout: Layout, slopes: SlopesFunction) -> Callable[..., None]:
    """Return the kernel that goes back over a step of all sequences of all variants.

    It takes cotangents by the state after the update to cotangents by the state before it, and puts those by the
    pre-activations in their place.
    """
    indices = layout[1]
    keeps = target in indices
    others = indices[1:] if keeps else indices

    def backward(size, constants, pre_activations, states, noise, cotangents, step):
        state_size = states.shape[3]
        for row in range(pre_activations.shape[0] * pre_activations.shape[2]):
            a, s, z, _ = step_starts(row, step, size, layout, pre_activations, states, noise)
            own = row * state_size + target * size
            g = starts(row * state_size, others, size)
            for u in range(size):
                values = load_sources(states, s, u) + load_draws(noise, z, u)
                of_pre_activations, of_blocks = slopes(load_pre_activations(pre_activations, a, u), values, constants)
                cotangent = load_target(cotangents, own + u)
                store_pre_activations(pre_activations, a, u, of_pre_activations, cotangent)
                if keeps:
                    store_target(cotangents, own + u, of_blocks[0] * cotangent)
                    add_to_cotangents(cotangents, g, u, of_blocks[1:], cotangent)
                else:
                    store_target(cotangents, own + u, 0)
                    add_to_cotangents(cotangents, g, u, of_blocks, cotangent)

    return backward


def make_linearize(layout: Layout, slopes: SlopesFunction) -> Callable[..., None]:
    """Return the kernel, without noise, that writes the slopes by the pre-activations and then by the blocks.

    It writes them from slot first_slot on, for the rows (V, T, B) that begin and end at `rows`.
    """
    slots, indices, steps_on, _ = layout
    places = tuple(range(len(slots) + len(indices)))

    def linearize(size, constants, pre_activations, states, derivatives, first_slot, rows):
        _, n_steps, n_sequences, width = pre_activations.shape
        state_size, n_slots = states.shape[3], derivatives.shape[3]
        for row in range(rows[0], rows[1]):
            before = (row + row // (n_steps * n_sequences) * n_sequences) * state_size
            a = starts(row * width, slots, size)
            s = source_starts(before, indices, size, steps_on, n_sequences * state_size)
            d = starts((row * n_slots + first_slot) * size, places, size)
            for u in range(size):
                of_pre_activations, of_blocks = slopes(
                    load_pre_activations(pre_activations, a, u), load_sources(states, s, u), constants
                )
                store_derivatives(derivatives, d, u, of_pre_activations + of_blocks)

    return linearize


@cache
def source_digest(*modules: ModuleType) -> str:
    """Return a digest of the source of modules."""
    return hashlib.sha256("".join(inspect.getsource(module) for module in modules).encode()).hexdigest()[:16]


# Where blocks of a row start. Tuples are taken apart by recursion, which the compiler resolves.


def starts(row: int, blocks: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return where each of `blocks` of a row begins."""


def _starts(row, blocks, size):
    if len(blocks) == 0:
        return lambda row, blocks, size: ()
    return lambda row, blocks, size: (row + blocks[0] * size, *starts(row, blocks[1:], size))


overload(starts, jit_options=INLINED)(_starts)


def source_starts(
    row: int, blocks: tuple[int, ...], size: int, steps_on: tuple[int, ...], stride: int
) -> tuple[int, ...]:
    """Return where each of `blocks` begins, in the row or in that of the step after."""


def _source_starts(row, blocks, size, steps_on, stride):
    if len(blocks) == 0:
        return lambda row, blocks, size, steps_on, stride: ()
    return lambda row, blocks, size, steps_on, stride: (
        row + steps_on[0] * stride + blocks[0] * size,
        *source_starts(row, blocks[1:], size, steps_on[1:], stride),
    )


overload(source_starts, jit_options=INLINED)(_source_starts)


@register_jitable(**INLINED)
def step_starts(row, step, size, layout, pre_activations, states, noise):
    """Return where a sequence's blocks begin at a step: pre-activations, blocks of the state, draws, its next state.

    `row` counts the sequences of all variants.
    """
    slots, indices, steps_on, draws = layout
    _, n_steps, n_sequences, width = pre_activations.shape
    state_size = states.shape[3]
    variant, sequence = divmod(row, n_sequences)
    place = (variant * n_steps + step) * n_sequences + sequence
    before = (place + variant * n_sequences) * state_size
    after = before + n_sequences * state_size
    a = starts(place * width, slots, size)
    s = source_starts(before, indices, size, steps_on, n_sequences * state_size)
    z = starts((row * n_steps + step) * noise.shape[3], draws, size)
    return a, s, z, after


# Access to memory. What is loaded and stored under different names never overlaps, which the compiler cannot see: it
# would check all pairs at run time, or give up. Loads and stores say so in LLVM's terms (alias.scope, noalias).

PLACES = ["target"] + [f"{kind} {n}" for kind in ("pre_activation", "source", "draw", "cotangent") for n in range(1, 9)]


def _apart(builder: ir.IRBuilder, instruction: ir.Instruction, place: str) -> ir.Instruction:
    """Mark an access to `place` as apart from accesses to all other `PLACES`."""
    module = builder.module
    domain = module.add_metadata(["lyapunov_pkg"])
    scopes = {name: module.add_metadata([name, domain]) for name in PLACES}
    instruction.set_metadata("alias.scope", module.add_metadata([scopes.pop(place)]))
    instruction.set_metadata("noalias", module.add_metadata(list(scopes.values())))
    return instruction


def _pointer(context, builder, signature, operands):
    array = context.make_array(signature.args[0])(context, builder, operands[0])
    return builder.gep(array.data, [operands[1]])


def _load_at(place: str):
    @intrinsic
    def load(typing_context, array, index):
        def generate(context, builder, signature, operands):
            return _apart(builder, builder.load(_pointer(context, builder, signature, operands)), place)

        return array.dtype(array, types.intp), generate

    return load


def _store_at(place: str):
    @intrinsic
    def store(typing_context, array, index, number):
        def generate(context, builder, signature, operands):
            pointer = _pointer(context, builder, signature, operands)
            _apart(builder, builder.store(operands[2], pointer), place)
            return context.get_dummy_value()

        return types.void(array, types.intp, array.dtype), generate

    return store


LOAD = {place: _load_at(place) for place in PLACES}
STORE = {place: _store_at(place) for place in PLACES}
load_target, store_target = LOAD["target"], STORE["target"]


def _loader(kind: str):
    def load(array, starts, u):
        """Return the numbers at `u` of the blocks that begin at `starts`."""

    @overload(load, jit_options=INLINED)
    def _(array, starts, u):
        if len(starts) == 0:
            return lambda array, starts, u: ()
        load_one = LOAD[f"{kind} {len(starts)}"]
        return lambda array, starts, u: (load_one(array, starts[0] + u), *load(array, starts[1:], u))

    return load


load_pre_activations, load_sources, load_draws = _loader("pre_activation"), _loader("source"), _loader("draw")


def store_pre_activations(array, starts, u, slopes, cotangent):
    """Store each slope times the cotangent at `u` of the blocks that begin at `starts`."""


def _store_pre_activations(array, starts, u, slopes, cotangent):
    if len(starts) == 0:
        return lambda array, starts, u, slopes, cotangent: None
    store = STORE[f"pre_activation {len(starts)}"]

    def store_all(array, starts, u, slopes, cotangent):
        store(array, starts[0] + u, slopes[0] * cotangent)
        store_pre_activations(array, starts[1:], u, slopes[1:], cotangent)

    return store_all


overload(store_pre_activations, jit_options=INLINED)(_store_pre_activations)


def store_derivatives(array, starts, u, numbers):
    """Store each number at `u` of the blocks that begin at `starts`."""


def _store_derivatives(array, starts, u, numbers):
    if len(starts) == 0:
        return lambda array, starts, u, numbers: None
    store = STORE[f"cotangent {len(starts)}"]

    def store_all(array, starts, u, numbers):
        store(array, starts[0] + u, numbers[0])
        store_derivatives(array, starts[1:], u, numbers[1:])

    return store_all


overload(store_derivatives, jit_options=INLINED)(_store_derivatives)


def add_to_cotangents(array, starts, u, slopes, cotangent):
    """Add each slope times the cotangent at `u` of the blocks that begin at `starts`."""


def _add_to_cotangents(array, starts, u, slopes, cotangent):
    if len(starts) == 0:
        return lambda array, starts, u, slopes, cotangent: None
    load, store = LOAD[f"cotangent {len(starts)}"], STORE[f"cotangent {len(starts)}"]

    def add_all(array, starts, u, slopes, cotangent):
        store(array, starts[0] + u, load(array, starts[0] + u) + slopes[0] * cotangent)
        add_to_cotangents(array, starts[1:], u, slopes[1:], cotangent)

    return add_all


overload(add_to_cotangents, jit_options=INLINED)(_add_to_cotangents)


# Functions of numbers. In float32 they are made of arithmetic that LLVM vectorises; in float64, where speed matters
# less, of the library's.


@intrinsic
def _float_of_bits(typing_context, bits):
    def generate(context, builder, signature, operands):
        return builder.bitcast(operands[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@intrinsic
def _bits_of_float(typing_context, number):
    def generate(context, builder, signature, operands):
        return builder.bitcast(operands[0], context.get_value_type(types.int32))

    return types.int32(types.float32), generate


@register_jitable(**INLINED)
def exp_parts(x):
    """Return (p, q) with exp(x) = p[0] p[1] (1 + q), p powers of 2 and |q| < 1/2, for x <= 0; NaN gives NaN.

    The power is in two factors because it can be below the smallest normal number.
    """
    x = LOWEST_EXPONENT if x < LOWEST_EXPONENT else x
    shifted = x * LOG2_E + ROUNDER
    exponent = shifted - ROUNDER
    r = x - exponent * LN_2_HIGH - exponent * LN_2_LOW
    q = (((((P_5 * r + P_4) * r + P_3) * r + P_2) * r + P_1) * r + P_0) * (r * r) + r
    integer = _bits_of_float(shifted) - _bits_of_float(ROUNDER)
    half = integer >> HALF
    first = _float_of_bits((half + BIAS) << MANTISSA_BITS)
    second = _float_of_bits((integer - half + BIAS) << MANTISSA_BITS)
    return (first, second), q


@register_jitable(**INLINED)
def exp(x):
    """Return exp(x), for x <= 0; down to 0."""
    (first, second), q = exp_parts(x)
    return (first + first * q) * second


def _sigmoid(a):
    def in_float32(a):
        e = exp(-abs(a))
        s = ONE / (ONE + e)
        return s if a >= ZERO else e * s

    def in_float64(a):
        return 1 / (1 + math.exp(-a))

    return in_float32 if a == types.float32 else in_float64


def _sigmoid_slope(a):
    def in_float32(a):
        e = exp(-abs(a))
        s = ONE / (ONE + e)
        return e * s * s

    def in_float64(a):
        e = math.exp(-abs(a))
        return e / (1 + e) ** 2

    return in_float32 if a == types.float32 else in_float64


def _tanh(a):
    def in_float32(a):
        (first, second), q = exp_parts(-TWO * abs(a))
        p = first * second
        e_minus_1 = p * q + (p - ONE)
        t = -e_minus_1 / (TWO + e_minus_1)
        return t if a >= ZERO else -t

    def in_float64(a):
        return math.tanh(a)

    return in_float32 if a == types.float32 else in_float64


def _tanh_slope(a):
    def in_float32(a):
        e = exp(-TWO * abs(a))
        s = ONE / (ONE + e)
        return FOUR * e * s * s

    def in_float64(a):
        e = math.exp(-2 * abs(a))
        return 4 * e / (1 + e) ** 2

    return in_float32 if a == types.float32 else in_float64


def _relu(a):
    zero = ZERO if a == types.float32 else 0.0
    return lambda a: zero if a < zero else a


def _relu_slope(a):
    zero, one = (ZERO, ONE) if a == types.float32 else (0.0, 1.0)
    return lambda a: one if a >= zero else zero


for of_tensors, of_numbers in (
    (functions.sigmoid, _sigmoid),
    (functions.sigmoid_slope, _sigmoid_slope),
    (functions.tanh, _tanh),
    (functions.tanh_slope, _tanh_slope),
    (functions.relu, _relu),
    (functions.relu_slope, _relu_slope),
):
    overload(of_tensors, jit_options=INLINED)(of_numbers)
