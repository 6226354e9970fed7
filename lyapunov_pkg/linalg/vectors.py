"""Inner loops of the CPU kernels, written as LLVM vector instructions through Numba.

Plain Numba loops leave most of a core's arithmetic unused here: LLVM neither keeps a tile of sums in registers nor
turns reductions into vector code by itself. The intrinsics below do just that, for tiles whose size is known when they
are compiled; everything around them is ordinary Numba.

A *vector* holds `lanes(array)` numbers, as many as a register of this machine does. Arrays are flat, offsets and
strides count numbers. All intrinsics work in float32 and float64.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

_HAS_AVX512 = binding.get_host_cpu_features().get("avx512f", False)
_IS_X86 = binding.get_process_triple().startswith(("x86_64", "i386", "i686"))
VECTOR_BYTES = 64 if _HAS_AVX512 else 32 if _IS_X86 else 16
MANY_REGISTERS = _HAS_AVX512 or not _IS_X86
"""32 vector registers (AVX-512, NEON) or 16 (AVX2)."""


def lanes_of(itemsize: int) -> int:
    """Numbers of `itemsize` bytes in a vector."""
    return VECTOR_BYTES // itemsize


def _vector_type(dtype: types.Float) -> ir.VectorType:
    element = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
    return ir.VectorType(element, lanes_of(dtype.bitwidth // 8))


class _Emitter:
    """What the intrinsics share while they write LLVM code: addresses, loads, stores, and fused multiply-add."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Any, vector: ir.VectorType) -> None:
        self.context, self.builder, self.signature, self.args = context, builder, signature, args
        self.vector = vector
        self.index_type = args[1].type

    def constant(self, value: int) -> ir.Constant:
        return ir.Constant(self.index_type, value)

    def offset(self, start: ir.Value, stride: ir.Value, steps: int) -> ir.Value:
        return self.builder.add(start, self.builder.mul(stride, self.constant(steps)))

    def vectors_on(self, start: ir.Value, steps: ir.Value | int) -> ir.Value:
        steps = self.constant(steps) if isinstance(steps, int) else steps
        return self.builder.add(start, self.builder.mul(steps, self.constant(self.vector.count)))

    def _address(self, argument: int, offset: ir.Value, kind: ir.Type) -> ir.Value:
        array = self.context.make_array(self.signature.args[argument])(self.context, self.builder, self.args[argument])
        return self.builder.bitcast(self.builder.gep(array.data, [offset]), kind.as_pointer())

    def load(self, argument: int, offset: ir.Value) -> ir.Value:
        return self.builder.load(self._address(argument, offset, self.vector), align=4)

    def store(self, value: ir.Value, argument: int, offset: ir.Value) -> None:
        self.builder.store(value, self._address(argument, offset, self.vector), align=4)

    def load_broadcast(self, argument: int, offset: ir.Value, negative: bool) -> ir.Value:
        number = self.builder.load(self._address(argument, offset, self.vector.element))
        return _spread(self.builder, self.vector, self.builder.fneg(number) if negative else number)

    def multiply_add(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return _multiply_add(self.builder, x, y, z)

    def loop(self, count: ir.Value, initial: list[ir.Value], body: Any) -> list[ir.Value]:
        """Run `body(counter, values) -> values` `count` times, at least once, and return the last values."""
        before = self.builder.block
        block, after = (self.builder.append_basic_block(name) for name in ("loop", "after"))
        self.builder.branch(block)
        self.builder.position_at_end(block)
        counter = self.builder.phi(self.index_type)
        values = [self.builder.phi(value.type) for value in initial]
        results = body(counter, values)
        following = self.builder.add(counter, self.constant(1))
        for phi, first, result in zip(
            [counter, *values], [self.constant(0), *initial], [following, *results], strict=True
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(result, self.builder.block)
        self.builder.cbranch(self.builder.icmp_signed("<", following, count), block, after)
        self.builder.position_at_end(after)
        return results


@intrinsic
def lanes(typingctx: Any, array: types.Array) -> Any:
    """Numbers in a vector of the array's dtype, a constant to the compiler."""
    count = _vector_type(array.dtype).count

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return ir.Constant(context.get_value_type(signature.return_type), count)

    return types.intp(array), codegen


class Vector(types.Type):
    """The Numba type of a vector in a variable: `load`, `+`, `*`, `/`, `square_root`, `store`."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype}, {VECTOR_BYTES} bytes)")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _vector_type(vector.dtype))


@intrinsic
def load(typingctx: Any, array: types.Array, at: types.Integer) -> Any:
    """The vector at offset `at` of a flat array."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return _Emitter(context, builder, signature, args, _vector_type(array.dtype)).load(0, args[1])

    return Vector(array.dtype)(array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: types.Array, at: types.Integer, vector: Vector) -> Any:
    """Write a vector at offset `at` of a flat array."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        _Emitter(context, builder, signature, args, _vector_type(array.dtype)).store(args[2], 0, args[1])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), codegen


@intrinsic
def spread(typingctx: Any, array: types.Array, number: types.Number) -> Any:
    """A vector, of the array's dtype, that has the same number in every lane."""
    vector = _vector_type(array.dtype)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return _spread(builder, vector, args[1])

    return Vector(array.dtype)(array, array.dtype), codegen


@intrinsic
def square_root(typingctx: Any, vector: Vector) -> Any:
    """Square root, lane by lane."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind = args[0].type
        name = f"llvm.sqrt.v{kind.count}f{vector.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(function, [args[0]])

    return vector(vector), codegen


@intrinsic
def sum_of_lanes(typingctx: Any, vector: Vector) -> Any:
    """The sum of a vector's numbers, in pairs."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        numbers = [
            builder.extract_element(args[0], ir.Constant(ir.IntType(32), lane)) for lane in range(args[0].type.count)
        ]
        while len(numbers) > 1:
            numbers = [builder.fadd(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
        return numbers[0]

    return vector.dtype(vector), codegen


@intrinsic
def transpose_tile(typingctx, a, a_at, a_stride, out, out_at, out_stride):
    """out[j, i] = a[i, j] for a square of numbers as wide as a vector; rows are `stride` numbers apart."""
    vector = _vector_type(a.dtype)
    count = vector.count

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        emit = _Emitter(context, builder, signature, args, vector)
        rows = [emit.load(0, emit.offset(args[1], args[2], i)) for i in range(count)]
        half = count // 2
        while half:  # Swap the off-diagonal quarters of all squares of side 2 * half.
            lanes_of_upper = [lane if not lane & half else count + lane - half for lane in range(count)]
            lanes_of_lower = [lane + half if not lane & half else count + lane for lane in range(count)]
            masks = [
                ir.Constant(ir.VectorType(ir.IntType(32), count), lanes) for lanes in (lanes_of_upper, lanes_of_lower)
            ]
            for i in (i for i in range(count) if not i & half):
                x, y = rows[i], rows[i + half]
                rows[i], rows[i + half] = (builder.shuffle_vector(x, y, mask) for mask in masks)
            half //= 2
        for j, row in enumerate(rows):
            emit.store(row, 3, emit.offset(args[4], args[5], j))
        return context.get_dummy_value()

    index = types.intp
    return types.void(a, index, index, out, index, index), codegen


@intrinsic
def multiply_add(typingctx: Any, x: Vector, y: Vector, z: Vector) -> Any:
    """x y + z, lane by lane, rounded once."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return _multiply_add(builder, *args)

    return x(x, y, z), codegen


def _multiply_add(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    vector = x.type
    bits = 32 if vector.element == ir.FloatType() else 64
    name = f"llvm.fma.v{vector.count}f{bits}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
    return builder.call(function, [x, y, z])


def _spread(builder: ir.IRBuilder, vector: ir.VectorType, number: ir.Value) -> ir.Value:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    every_lane = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(first, undefined, every_lane)


def _define_operator(function: Callable, instruction: str) -> None:
    @intrinsic
    def lane_by_lane(typingctx: Any, x: Vector, y: Vector) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return getattr(builder, instruction)(*args)

        return x(x, y), codegen

    @overload(function)
    def between_vectors(x, y):
        if isinstance(x, Vector) and isinstance(y, Vector):
            return lambda x, y: lane_by_lane(x, y)
        return None


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_operator(_function, _instruction)


@intrinsic(prefer_literal=True)
def lane_products(typingctx, a, a_at, a_stride, b, b_at, b_stride, n, out, out_at, out_stride, adds, tile_a, tile_b):
    """out[i, j] = sum over r < n of a[i, r] b[j, r], lane by lane; added to what is there if `adds` is 1.

    a[i, r], b[j, r] and out[i, j] are vectors: consecutive r and j lie together, `stride` numbers separate consecutive
    i of `a` and `out`, and j of `b`. The tile is tile_a x tile_b (literal integers).
    """
    vector, (rows, columns) = _vector_type(a.dtype), (tile_a.literal_value, tile_b.literal_value)
    cells = [(i, j) for i in range(rows) for j in range(columns)]

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        emit = _Emitter(context, builder, signature, args, vector)
        a_rows = [emit.offset(args[1], args[2], i) for i in range(rows)]
        b_rows = [emit.offset(args[4], args[5], j) for j in range(columns)]
        places = [emit.vectors_on(emit.offset(args[8], args[9], i), j) for i, j in cells]
        initial = [emit.load(7, place) if adds.literal_value else ir.Constant(vector, None) for place in places]

        def body(r: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            x = [emit.load(0, emit.vectors_on(row, r)) for row in a_rows]
            y = [emit.load(3, emit.vectors_on(row, r)) for row in b_rows]
            return [emit.multiply_add(x[i], y[j], value) for (i, j), value in zip(cells, sums, strict=True)]

        for value, place in zip(emit.loop(args[6], initial, body), places, strict=True):
            emit.store(value, 7, place)
        return context.get_dummy_value()

    index = types.intp
    signature = types.void(a, index, index, b, index, index, index, out, index, index, adds, tile_a, tile_b)
    return signature, codegen


@intrinsic(prefer_literal=True)
def lane_subtract(typingctx, a, a_at, a_stride, q, q_at, q_stride, n, s, s_at, s_stride, tile_q, tile_a):
    """a[j, r] -= sum over i of q[i, r] s[i, j], lane by lane, for r < n. Layout and tile as in `lane_products`."""
    vector, (rows, columns) = _vector_type(a.dtype), (tile_q.literal_value, tile_a.literal_value)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        emit = _Emitter(context, builder, signature, args, vector)
        a_rows = [emit.offset(args[1], args[2], j) for j in range(columns)]
        q_rows = [emit.offset(args[4], args[5], i) for i in range(rows)]
        factors = [
            [builder.fneg(emit.load(7, emit.vectors_on(emit.offset(args[8], args[9], i), j))) for i in range(rows)]
            for j in range(columns)
        ]

        def body(r: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            x = [emit.load(3, emit.vectors_on(row, r)) for row in q_rows]
            for a_row, of_column in zip(a_rows, factors, strict=True):
                place = emit.vectors_on(a_row, r)
                value = emit.load(0, place)
                for i in range(rows):
                    value = emit.multiply_add(x[i], of_column[i], value)
                emit.store(value, 0, place)
            return []

        emit.loop(args[6], [], body)
        return context.get_dummy_value()

    index = types.intp
    return types.void(a, index, index, q, index, index, index, s, index, index, tile_q, tile_a), codegen


@intrinsic(prefer_literal=True)
def row_products(
    typingctx, a, a_at, a_stride, b, b_at, b_stride, n, out, out_at, out_stride, sign, tile_rows, tile_vectors
):
    """out[i, :] = sum over r < n of a[i, r] b[r, :], an ordinary matrix product; sign 1 adds it to `out`, -1 subtracts.

    a[i, r] is a number, b[r, :] and out[i, :] are `tile_vectors` vectors; sign (0: overwrite) and the tile of
    tile_rows x tile_vectors are literal integers.
    """
    vector, (rows, columns) = _vector_type(a.dtype), (tile_rows.literal_value, tile_vectors.literal_value)
    cells = [(i, j) for i in range(rows) for j in range(columns)]

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        emit = _Emitter(context, builder, signature, args, vector)
        a_rows = [emit.offset(args[1], args[2], i) for i in range(rows)]
        places = [emit.vectors_on(emit.offset(args[8], args[9], i), j) for i, j in cells]
        initial = [emit.load(7, place) if sign.literal_value else ir.Constant(vector, None) for place in places]

        def body(r: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            b_row = builder.add(args[4], builder.mul(args[5], r))
            y = [emit.load(3, emit.vectors_on(b_row, j)) for j in range(columns)]
            x = [emit.load_broadcast(0, builder.add(row, r), sign.literal_value < 0) for row in a_rows]
            return [emit.multiply_add(x[i], y[j], value) for (i, j), value in zip(cells, sums, strict=True)]

        for value, place in zip(emit.loop(args[6], initial, body), places, strict=True):
            emit.store(value, 7, place)
        return context.get_dummy_value()

    index = types.intp
    signature = types.void(a, index, index, b, index, index, index, out, index, index, sign, tile_rows, tile_vectors)
    return signature, codegen
