"""Calls of machine code by its address."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def step_type(number: ir.Type) -> ir.FunctionType:
    """Return the type of a step as machine code; see `call_step`."""
    pointer = number.as_pointer()
    arguments = [pointer, pointer, pointer, ir.IntType(64), pointer, pointer]
    return ir.FunctionType(ir.VoidType(), arguments)


@intrinsic
def call_step(
    typingctx: Any, address: Any, state: Any, inputs: Any, at: Any, tangents: Any, constants: Any, weights: Any
) -> Any:
    """Call the machine code at an address, which takes a trajectory and its tangent vectors one step on, in place.

    Args:
        typingctx: Numba's.
        address: of the code.
        state: (S,).
        inputs: flat.
        at: where the inputs of this step begin.
        tangents: (k, at least S).
        constants: flat.
        weights: flat.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        arrays = {
            i: context.make_array(signature.args[i])(context, builder, args[i])
            for i, kind in enumerate(signature.args)
            if isinstance(kind, types.Array)
        }
        number = context.get_data_type(state.dtype)
        of_inputs = builder.gep(arrays[2].data, [args[3]])
        stride = builder.extract_value(arrays[4].shape, 1)
        function = builder.inttoptr(args[0], step_type(number).as_pointer())
        pointers = arrays[1].data, of_inputs, arrays[4].data, stride, arrays[5].data, arrays[6].data
        builder.call(function, pointers)
        return context.get_dummy_value()

    return types.void(types.intp, state, inputs, types.intp, tangents, constants, weights), codegen
