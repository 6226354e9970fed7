"""Small programs as machine code: their operations one after another, without the interpreter of `program.py`.

LLVM compiles it in a fraction of a second, so that it is kept in memory alone. It depends on the operations of a
program, and on none of its constants.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import count as counted
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import callback
from lyapunov_pkg.linalg.machine_code import step_type
from lyapunov_pkg.linalg.program import ENTRIES, KIND_OF, PRODUCT, SUM, WHERE, Program, evaluate
from lyapunov_pkg.linalg.vectors import lanes_of, multiply_add_of, spread_of

MOST_OPERATIONS = 400
"""Operations, on numbers and on vectors of tangents, of the largest program that becomes machine code. Each takes about
0.2 ms to compile, and more in larger programs, where orthonormalisation takes most of the time."""

KEPT = 256
"""Programs whose machine code is kept."""

ADD, SUB, MUL, DIV, NEG, SQUARE, COPY = (
    KIND_OF[name] for name in ("add", "sub", "mul", "div", "neg", "square", "copy")
)


_NUMBERS = counted()
"""All functions of a process have names of their own."""


class MachineCode(NamedTuple):
    """A step as machine code, which exists as long as this does."""

    states: int
    """The address of what takes a state one step on."""
    tangents: int
    """The address of what takes a state and its tangent vectors one step on."""
    library: Any
    """Numba's, which owns the memory."""


def machine_code_of(program: Program, n_columns: int) -> MachineCode | None:
    """Return a program that moves so many tangent vectors as machine code; None: it is too large."""
    width = lanes_of(program.values.dtype.itemsize)
    counts, terms = program.code[:, 1], np.maximum(program.code[:, 4], 1)
    n_operations = int((counts * terms).sum()) * (1 + -(-n_columns // width)) + 2 * len(program.state_slots) * n_columns
    if n_operations > MOST_OPERATIONS:
        return None
    tables = (program.code, program.indices, program.state_slots, program.state_rows)
    contents = tuple(table.tobytes() for table in tables)
    return _compiled(contents, program.values.dtype.name, program.n_inputs, n_columns)


@lru_cache(KEPT)
def _compiled(contents: tuple[bytes, ...], dtype: str, n_inputs: int, n_columns: int) -> MachineCode:
    code, indices, state_slots, state_rows = (np.frombuffer(content, np.int64) for content in contents)
    tables = _Tables(code.reshape(-1, 5), indices, state_slots, state_rows, n_inputs)
    with global_compiler_lock:
        library = cpu_target.target_context.codegen().create_library("straight_line")
        module = library.create_ir_module("straight_line")
        of_states, of_tangents = (_Writer(module, tables, dtype, k).name for k in (0, n_columns))
        library.add_ir_module(module)
        library.finalize()
        address = library.get_pointer_to_function
        return MachineCode(address(of_states), address(of_tangents), library)


class _Tables(NamedTuple):
    """What machine code is made of; see `Program`."""

    code: NDArray
    indices: NDArray
    state_slots: NDArray
    state_rows: NDArray
    n_inputs: int


@lru_cache
def _evaluate_address(dtype: str) -> int:
    """Return the address of `program.evaluate` as a function `(kind, a, b, results)` in C."""
    number = getattr(types, dtype)

    def evaluate_function(kind, a, b, results):
        value, by_a, by_b = evaluate(kind, a, b)
        found = carray(results, 3)
        found[0], found[1], found[2] = value, by_a, by_b

    evaluate_function.__qualname__ = f"evaluate_{dtype}"
    signature = types.void(types.intp, number, number, types.CPointer(number))
    callback_of_dtype: Any = callback(evaluate_function, signature, error_model="numpy")
    address: int = callback_of_dtype.address
    return address


class _Writer:
    """One function in LLVM's language; see `machine_code.call_step` for its arguments."""

    def __init__(self, module: ir.Module, tables: _Tables, dtype: str, n_columns: int) -> None:
        self.number = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.moves_vectors = n_columns > 0
        self.vector = ir.VectorType(self.number, max(n_columns, 1))
        self.dtype, self.name = dtype, f"straight_line_step_{next(_NUMBERS)}"
        function = ir.Function(module, step_type(self.number), self.name)
        self.builder = ir.IRBuilder(function.append_basic_block())
        self.state, self.inputs, self.tangents, self.stride, self.constants, self.weights = function.args
        self.results = self.builder.alloca(ir.ArrayType(self.number, 3))
        self.size = len(tables.state_slots)
        self.values = {i: self._load(self.state, i) for i in range(self.size)}
        self.values |= {self.size + i: self._load(self.inputs, i) for i in range(tables.n_inputs)}
        self.rows = {i: self._gathered(i) for i in range(self.size)} if self.moves_vectors else {}
        for kind, count, at, weight_at, n_terms in tables.code.tolist():
            if kind == PRODUCT:
                self._product(count, weight_at, n_terms, tables.indices[at:].tolist())
            elif kind == SUM:
                for entry in tables.indices[at : at + count * (2 + 2 * n_terms)].reshape(count, -1).tolist():
                    self._sum(entry, n_terms)
            else:
                for entry in tables.indices[at : at + count * ENTRIES].reshape(count, -1).tolist():
                    self._function(kind, entry)
        self._write_back(tables)
        self.builder.ret_void()

    def _index(self, value: int) -> ir.Constant:
        return ir.Constant(ir.IntType(64), value)

    def _load(self, pointer: ir.Value, at: int) -> ir.Value:
        return self.builder.load(self.builder.gep(pointer, [self._index(at)]))

    def _constant(self, number: float) -> ir.Constant:
        return ir.Constant(self.number, number)

    def _value(self, slot: int) -> ir.Value:
        if slot not in self.values:
            self.values[slot] = self._load(self.constants, slot)
        return self.values[slot]

    def _place(self, row: int, column: int) -> ir.Value:
        """Return where a number of a tangent vector stands."""
        at = self.builder.add(self.builder.mul(self.stride, self._index(column)), self._index(row))
        return self.builder.gep(self.tangents, [at])

    def _gathered(self, row: int) -> ir.Value:
        gathered = ir.Constant(self.vector, ir.Undefined)
        for c in range(self.vector.count):
            number = self.builder.load(self._place(row, c))
            gathered = self.builder.insert_element(gathered, number, ir.Constant(ir.IntType(32), c))
        return gathered

    def _row(self, row: int) -> ir.Value:
        return self.rows[row] if row >= 0 else ir.Constant(self.vector, None)

    def _function(self, kind: int, entry: list[int]) -> None:
        """Write a function of one or two numbers, and the row of its result."""
        slot, slot_a, slot_b, condition, row, of_a, of_b = entry
        a, b, build = self._value(slot_a), self._value(slot_b), self.builder
        if kind == WHERE:
            chosen = build.fcmp_unordered("!=", self._value(condition), self._constant(0.0))
            self.values[slot] = build.select(chosen, a, b)
            if row >= 0 and self.moves_vectors:
                self.rows[row] = build.select(chosen, self._row(of_a), self._row(of_b))
            return
        one, is_used = self._constant(1.0), row >= 0 and self.moves_vectors
        if kind == ADD:
            value, by_a, by_b = build.fadd(a, b), one, one
        elif kind == SUB:
            value, by_a, by_b = build.fsub(a, b), one, self._constant(-1.0)
        elif kind == MUL:
            value, by_a, by_b = build.fmul(a, b), b, a
        elif kind == NEG:
            value, by_a, by_b = build.fneg(a), self._constant(-1.0), one
        elif kind == COPY:
            value, by_a, by_b = a, one, one
        elif kind == SQUARE:
            value, by_a, by_b = build.fmul(a, a), build.fadd(a, a), one
        elif kind == DIV:
            value, by_a = build.fdiv(a, b), build.fdiv(one, b)
            by_b = build.fdiv(build.fneg(a), build.fmul(b, b))
        else:
            value, by_a, by_b = self._evaluated(kind, a, b)
        self.values[slot] = value
        if is_used:
            self._combine(row, by_a, of_a, by_b, of_b)

    def _evaluated(self, kind: int, a: ir.Value, b: ir.Value) -> list[ir.Value]:
        pointer = self.number.as_pointer()
        arguments = [ir.IntType(64), self.number, self.number, pointer]
        address = self._index(_evaluate_address(self.dtype))
        function = self.builder.inttoptr(address, ir.FunctionType(ir.VoidType(), arguments).as_pointer())
        results = self.builder.bitcast(self.results, pointer)
        self.builder.call(function, [self._index(kind), a, b, results])
        return [self._load(results, i) for i in range(3)]

    def _combine(self, row: int, by_a: ir.Value, of_a: int, by_b: ir.Value, of_b: int) -> None:
        """Write the row of a result as `program._combine` does."""
        terms = [(by, self.rows[of]) for by, of in ((by_b, of_b), (by_a, of_a)) if of >= 0]
        if not terms:
            self.rows[row] = ir.Constant(self.vector, None)
            return
        by, of = terms[0]
        total = self.builder.fmul(spread_of(self.builder, self.vector, by), of)
        for by, of in terms[1:]:
            total = multiply_add_of(self.builder, spread_of(self.builder, self.vector, by), of, total)
        self.rows[row] = total

    def _sum(self, entry: list[int], n_terms: int) -> None:
        slot, row, terms, of_terms = entry[0], entry[1], entry[2 : 2 + n_terms], entry[2 + n_terms :]
        self.values[slot] = self._total(self.builder.fadd, [self._value(term) for term in terms])
        if row >= 0 and self.moves_vectors:
            self.rows[row] = self._total(self.builder.fadd, [self._row(term) for term in of_terms if term >= 0])

    def _total(self, add: Any, terms: list[ir.Value]) -> ir.Value:
        total = terms[0]
        for term in terms[1:]:
            total = add(total, term)
        return total

    def _product(self, count: int, weight_at: int, n_terms: int, indices: list[int]) -> None:
        slot, row, vector_row, slots = indices[0], indices[1], indices[2], indices[3 : 3 + n_terms]
        numbers, build = [self._value(of) for of in slots], self.builder
        for i in range(count):
            weights = [self._load(self.weights, weight_at + i * n_terms + t) for t in range(n_terms)]
            products = [build.fmul(weight, number) for weight, number in zip(weights, numbers, strict=True)]
            self.values[slot + i] = self._total(build.fadd, products)
            if row >= 0 and self.moves_vectors:
                total = ir.Constant(self.vector, None)
                for t, weight in enumerate(weights):
                    spread = spread_of(build, self.vector, weight)
                    total = multiply_add_of(build, spread, self.rows[vector_row + t], total)
                self.rows[row + i] = total

    def _write_back(self, tables: _Tables) -> None:
        build = self.builder
        after = [self._value(slot) for slot in tables.state_slots.tolist()]
        for i, value in enumerate(after):
            build.store(value, build.gep(self.state, [self._index(i)]))
        for i, row in enumerate(tables.state_rows.tolist() if self.moves_vectors else []):
            for c in range(self.vector.count):
                number = build.extract_element(self._row(row), ir.Constant(ir.IntType(32), c))
                build.store(number, self._place(i, c))
