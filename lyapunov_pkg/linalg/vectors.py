"""Inner loops of the CPU kernels, as LLVM vector instructions through Numba.

Plain Numba loops would leave most of a core's arithmetic unused. LLVM does not keep a tile of sums in registers, and
does not vectorise reductions. The intrinsics below do both, for tiles of a size that is known at compile time. All
other code is ordinary Numba.

A *vector* holds `lanes(array)` numbers, as many as a register of this machine. Arrays are flat. Offsets and strides are
in numbers. All intrinsics work in float32 and float64.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, models, overload, register_model

from lyapunov_pkg.linalg.compilation import WITHOUT_WRAPPERS


def _available_features() -> set[str]:
    """Return the instruction sets that Numba compiles for: the processor's, or those of NUMBA_CPU_FEATURES."""
    given = config.CPU_FEATURES  # type: ignore[attr-defined]
    features = get_host_cpu_features() if given is None else given
    return {name.strip()[1:] for name in features.split(",") if name.strip().startswith("+")}


_FEATURES = _available_features()
_IS_ARM = binding.get_process_triple().startswith(("aarch64", "arm64"))
VECTOR_BYTES = 64 if "avx512f" in _FEATURES else 32 if "avx2" in _FEATURES else 16
MANY_REGISTERS = "avx512f" in _FEATURES or _IS_ARM
"""Number of vector registers: 32 (AVX-512, NEON) or 16 (AVX2, and unknown processors)."""
_HAS_FUSED = _IS_ARM or not _FEATURES.isdisjoint(("fma", "avx512f"))
"""Whether the processor multiplies and adds in one instruction. Otherwise this would be a function call per number."""


def lanes_of(itemsize: int) -> int:
    """Return how many numbers of `itemsize` bytes a vector has."""
    return VECTOR_BYTES // itemsize


def _vector_type(dtype: Any) -> ir.VectorType:
    element = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
    return ir.VectorType(element, lanes_of(dtype.bitwidth // 8))


class _Emitter:
    """Generator of LLVM code for the intrinsics: loads, stores, loops, and fused multiply-add."""

    def __init__(self, builder: ir.IRBuilder, index_type: ir.Type, vector: ir.VectorType) -> None:
        self.builder, self.index_type, self.vector = builder, index_type, vector

    def constant(self, value: int) -> ir.Constant:
        return ir.Constant(self.index_type, value)

    def rows(self, view: ir.Value, count: int) -> list[ir.Value]:
        """Return pointers to the first numbers of the first `count` rows of a view."""
        data, stride = (self.builder.extract_value(view, field) for field in (0, 1))
        steps = [self.builder.mul(stride, self.constant(row)) for row in range(count)]
        return [self.builder.gep(data, [step]) for step in steps]

    def row(self, view: ir.Value, index: ir.Value) -> ir.Value:
        """Return the pointer to the first number of one row of a view."""
        data, stride = (self.builder.extract_value(view, field) for field in (0, 1))
        return self.builder.gep(data, [self.builder.mul(stride, index)])

    def vectors_on(self, pointer: ir.Value, steps: ir.Value | int) -> ir.Value:
        steps = self.constant(steps) if isinstance(steps, int) else steps
        return self.builder.gep(pointer, [self.builder.mul(steps, self.constant(self.vector.count))])

    def load(self, pointer: ir.Value) -> ir.Value:
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=4)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer()), align=4)

    def load_broadcast(self, pointer: ir.Value, negative: bool) -> ir.Value:
        number = self.builder.load(pointer)
        return spread_of(self.builder, self.vector, self.builder.fneg(number) if negative else number)

    def multiply_add(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return multiply_add_of(self.builder, x, y, z)

    def loop(self, count: ir.Value, initial: list[ir.Value], body: Callable[..., list[ir.Value]]) -> list[ir.Value]:
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


class View(types.Type):
    """The Numba type of rows in a flat array: the beginning of the first row, and the distance between rows."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"View({dtype})")


@register_model(View)
class _ViewModel(models.PrimitiveModel):
    def __init__(self, manager: Any, view: View) -> None:
        element = manager[view.dtype].get_value_type()
        index = manager[types.intp].get_value_type()
        super().__init__(manager, view, ir.LiteralStructType([element.as_pointer(), index]))


@intrinsic
def view(typingctx: Any, array: types.Array, at: types.Integer, stride: types.Integer) -> Any:
    """Return the rows of a flat array that begin at offset `at` and are `stride` numbers apart.

    A view does not keep its array alive. The caller of a kernel must do so.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        data = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
        empty = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        return builder.insert_value(builder.insert_value(empty, data, 0), args[2], 1)

    return View(array.dtype)(array, types.intp, types.intp), codegen


@intrinsic
def shifted(typingctx: Any, rows: View, steps: types.Integer, numbers: types.Integer) -> Any:
    """Return the rows that begin `steps` rows and `numbers` numbers later."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        data, stride = (builder.extract_value(args[0], field) for field in (0, 1))
        offset = builder.add(builder.mul(stride, args[1]), args[2])
        return builder.insert_value(args[0], builder.gep(data, [offset]), 0)

    return rows(rows, types.intp, types.intp), codegen


def _data(context: Any, builder: ir.IRBuilder, array_type: types.Array, array: ir.Value) -> ir.Value:
    return context.make_array(array_type)(context, builder, array).data


@intrinsic
def lanes(typingctx: Any, array: types.Array | View) -> Any:
    """Return the number of lanes of a vector with the dtype of an array or a view, a constant for the compiler."""
    count = _vector_type(array.dtype).count

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return ir.Constant(context.get_value_type(signature.return_type), count)

    return types.intp(array), codegen


class Vector(types.Type):
    """The Numba type of a vector in a variable: `load`, `+`, `*`, `/`, `square_root`, `store`."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype}, {VECTOR_BYTES} bytes)")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _vector_type(vector.dtype))


@intrinsic
def load(typingctx: Any, array: types.Array, at: types.Integer) -> Any:
    """Return the vector at offset `at` of a flat array."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        pointer = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
        return _Emitter(builder, args[1].type, _vector_type(array.dtype)).load(pointer)

    return Vector(array.dtype)(array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: types.Array, at: types.Integer, vector: Vector) -> Any:
    """Write a vector at offset `at` of a flat array."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        pointer = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
        _Emitter(builder, args[1].type, _vector_type(array.dtype)).store(args[2], pointer)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), codegen


@intrinsic
def spread(typingctx: Any, array: types.Array, number: types.Number) -> Any:
    """Return a vector of the array's dtype with the same number in every lane."""
    vector = _vector_type(array.dtype)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return spread_of(builder, vector, args[1])

    return Vector(array.dtype)(array, array.dtype), codegen


@intrinsic
def spread_from(typingctx: Any, array: types.Array, at: types.Integer) -> Any:
    """Return a vector with the number at offset `at` of a flat array in every lane; `at` is not negative."""
    vector = _vector_type(array.dtype)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        pointer = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
        return spread_of(builder, vector, builder.load(pointer))

    return Vector(array.dtype)(array, types.intp), codegen


@intrinsic
def square_root(typingctx: Any, vector: Vector) -> Any:
    """Return the square root, lane by lane."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind = args[0].type
        name = f"llvm.sqrt.v{kind.count}f{vector.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(function, [args[0]])

    return vector(vector), codegen


@intrinsic
def sum_of_lanes(typingctx: Any, vector: Vector) -> Any:
    """Return the sum of a vector's numbers, by pairwise summation."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        numbers = [
            builder.extract_element(args[0], ir.Constant(ir.IntType(32), lane)) for lane in range(args[0].type.count)
        ]
        while len(numbers) > 1:
            numbers = [builder.fadd(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
        return numbers[0]

    return vector.dtype(vector), codegen


@intrinsic
def transpose_tile(typingctx: Any, a: View, out: View) -> Any:
    """Write out[j, i] = a[i, j] for a square of numbers that is as wide as a vector."""
    vector = _vector_type(a.dtype)
    count = vector.count

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        emit = _Emitter(builder, context.get_value_type(types.intp), vector)
        rows = [emit.load(row) for row in emit.rows(args[0], count)]
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
        for row, place in zip(rows, emit.rows(args[1], count), strict=True):
            emit.store(row, place)
        return context.get_dummy_value()

    return types.void(a, out), codegen


@intrinsic
def multiply_add(typingctx: Any, x: Vector, y: Vector, z: Vector) -> Any:
    """Return x y + z, lane by lane, rounded once if the processor supports it."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return multiply_add_of(builder, *args)

    return x(x, y, z), codegen


def multiply_add_of(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """Write x y + z of vectors; rounded once where the processor can do it."""
    if not _HAS_FUSED:
        return builder.fadd(builder.fmul(x, y), z)
    vector = x.type
    bits = 32 if vector.element == ir.FloatType() else 64
    name = f"llvm.fma.v{vector.count}f{bits}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
    return builder.call(function, [x, y, z])


def spread_of(builder: ir.IRBuilder, vector: ir.VectorType, number: ir.Value) -> ir.Value:
    """Write a vector that has the same number in every lane."""
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

    @overload(function, jit_options=WITHOUT_WRAPPERS)
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
def lane_products(
    typingctx: Any, a: View, b: View, n: types.Integer, out: View, adds: Any, tile_a: Any, tile_b: Any
) -> Any:
    """Write out[i, j] = sum over r < n of a[i, r] b[j, r], lane by lane, or add it to `out` if `adds` is 1.

    The rows of the views are rows i of `a`, rows j of `b`, and rows i of `out`. a[i, r], b[j, r] and out[i, j] are
    vectors, and those of one row are contiguous. The tile is tile_a x tile_b (literal integers).
    """
    vector, (rows, columns) = _vector_type(a.dtype), (tile_a.literal_value, tile_b.literal_value)
    cells = [(i, j) for i in range(rows) for j in range(columns)]

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        emit = _Emitter(builder, args[2].type, vector)
        a_rows, b_rows, out_rows = emit.rows(args[0], rows), emit.rows(args[1], columns), emit.rows(args[3], rows)
        places = [emit.vectors_on(out_rows[i], j) for i, j in cells]
        initial = [emit.load(place) if adds.literal_value else ir.Constant(vector, None) for place in places]

        def body(r: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            x = [emit.load(emit.vectors_on(row, r)) for row in a_rows]
            y = [emit.load(emit.vectors_on(row, r)) for row in b_rows]
            return [emit.multiply_add(x[i], y[j], value) for (i, j), value in zip(cells, sums, strict=True)]

        for value, place in zip(emit.loop(args[2], initial, body), places, strict=True):
            emit.store(value, place)
        return context.get_dummy_value()

    return types.void(a, b, types.intp, out, adds, tile_a, tile_b), codegen


@intrinsic(prefer_literal=True)
def lane_subtract(typingctx: Any, a: View, q: View, n: types.Integer, s: View, tile_q: Any, tile_a: Any) -> Any:
    """Compute a[j, r] -= sum over i of q[i, r] s[i, j], lane by lane, for r < n, with views as in `lane_products`."""
    vector, (rows, columns) = _vector_type(a.dtype), (tile_q.literal_value, tile_a.literal_value)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        emit = _Emitter(builder, args[2].type, vector)
        a_rows, q_rows, s_rows = emit.rows(args[0], columns), emit.rows(args[1], rows), emit.rows(args[3], rows)
        factors = [
            [builder.fneg(emit.load(emit.vectors_on(s_rows[i], j))) for i in range(rows)] for j in range(columns)
        ]

        def body(r: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            x = [emit.load(emit.vectors_on(row, r)) for row in q_rows]
            for a_row, of_column in zip(a_rows, factors, strict=True):
                place = emit.vectors_on(a_row, r)
                value = emit.load(place)
                for i in range(rows):
                    value = emit.multiply_add(x[i], of_column[i], value)
                emit.store(value, place)
            return []

        emit.loop(args[2], [], body)
        return context.get_dummy_value()

    return types.void(a, q, types.intp, s, tile_q, tile_a), codegen


@intrinsic(prefer_literal=True)
def row_products(
    typingctx: Any, a: View, b: View, n: types.Integer, out: View, sign: Any, tile_rows: Any, tile_vectors: Any
) -> Any:
    """Write out[i, :] = sum over r < n of a[i, r] b[r, :], a matrix product, or add or subtract it.

    a[i, r] is a number. b[r, :] and out[i, :] are `tile_vectors` vectors. `sign` 0 overwrites `out`, 1 adds to it, and
    -1 subtracts from it. `sign` and the tile of tile_rows x tile_vectors are literal integers.
    """
    vector, (rows, columns) = _vector_type(a.dtype), (tile_rows.literal_value, tile_vectors.literal_value)
    cells = [(i, j) for i in range(rows) for j in range(columns)]

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        emit = _Emitter(builder, args[2].type, vector)
        a_rows, out_rows = emit.rows(args[0], rows), emit.rows(args[3], rows)
        places = [emit.vectors_on(out_rows[i], j) for i, j in cells]
        initial = [emit.load(place) if sign.literal_value else ir.Constant(vector, None) for place in places]

        def body(r: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            b_row = emit.row(args[1], r)
            y = [emit.load(emit.vectors_on(b_row, j)) for j in range(columns)]
            x = [emit.load_broadcast(builder.gep(row, [r]), sign.literal_value < 0) for row in a_rows]
            return [emit.multiply_add(x[i], y[j], value) for (i, j), value in zip(cells, sums, strict=True)]

        for value, place in zip(emit.loop(args[2], initial, body), places, strict=True):
            emit.store(value, place)
        return context.get_dummy_value()

    return types.void(a, b, types.intp, out, sign, tile_rows, tile_vectors), codegen
