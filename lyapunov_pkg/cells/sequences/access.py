"""Loads and stores of compiled updates, by the kind of number.

Memory of different kinds of numbers never overlaps, but the compiler cannot know this. It would check all pairs at run
time, or not vectorise. Loads and stores therefore carry LLVM's attributes alias.scope and noalias. Recursion goes
through tuples of places, and the compiler resolves it.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from lyapunov_pkg.linalg.compilation import INLINED

PLACES = ["target"] + [f"{kind} {n}" for kind in ("pre_activation", "source", "draw", "cotangent") for n in range(1, 9)]


def _apart(builder: ir.IRBuilder, instruction: ir.Instruction, place: str) -> ir.Instruction:
    """Mark an access to `place` as not overlapping with accesses to all other `PLACES`."""
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
        """Return the number at `u` of each block that begins at one of `starts`."""

    @overload(load, jit_options=INLINED)
    def _(array, starts, u):
        if len(starts) == 0:
            return lambda array, starts, u: ()
        load_one = LOAD[f"{kind} {len(starts)}"]
        return lambda array, starts, u: (load_one(array, starts[0] + u), *load(array, starts[1:], u))

    return load


load_pre_activations, load_sources, load_draws = _loader("pre_activation"), _loader("source"), _loader("draw")


def store_pre_activations(array, starts, u, slopes, cotangent):
    """Store each slope times the cotangent at `u` of the block that begins at its entry of `starts`."""


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
    """Store each number at `u` of the block that begins at its entry of `starts`."""


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
    """Add each slope times the cotangent at `u` of the block that begins at its entry of `starts`."""


def _add_to_cotangents(array, starts, u, slopes, cotangent):
    if len(starts) == 0:
        return lambda array, starts, u, slopes, cotangent: None
    load, store = LOAD[f"cotangent {len(starts)}"], STORE[f"cotangent {len(starts)}"]

    def add_all(array, starts, u, slopes, cotangent):
        store(array, starts[0] + u, load(array, starts[0] + u) + slopes[0] * cotangent)
        add_to_cotangents(array, starts[1:], u, slopes[1:], cotangent)

    return add_all


overload(add_to_cotangents, jit_options=INLINED)(_add_to_cotangents)
