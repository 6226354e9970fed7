"""Programs: a step of one trajectory as a list of element-wise functions, sums and matrix products.

A kernel interprets the list, so that a program is not compiled and starts immediately for any step. Each number has a
slot among the values. Each number that depends on the state also has a row of tangents, with one entry per tangent
vector. The chain rule is applied row by row.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import ROWS, aligned_zeros
from lyapunov_pkg.linalg.machine_code import call_step
from lyapunov_pkg.linalg.vectors import (
    lanes,
    lanes_of,
    load,
    multiply_add,
    row_products,
    spread,
    store,
    sum_of_lanes,
    transpose_tile,
    view,
)

PRODUCT, SUM, WHERE = 0, 1, 2
"""Kinds of instructions besides the functions of one or two numbers."""

FUNCTIONS = (
    *("add", "sub", "mul", "div", "pow", "maximum", "minimum", "atan2", "remainder"),
    *("eq", "ne", "lt", "le", "gt", "ge"),
    *("neg", "abs", "sign", "floor", "reciprocal", "square", "sqrt", "rsqrt", "root", "exp", "expm1", "log", "log1p"),
    *("sin", "cos", "tan", "tanh", "sinh", "cosh", "atan", "erf", "sigmoid", "relu", "copy"),
)
"""Functions of one or two numbers. `root` is a square root with derivative zero at zero, as for a norm."""

KIND_OF = {name: number for number, name in enumerate(FUNCTIONS, 3)}

# fmt: off
(
    _ADD, _SUB, _MUL, _DIV, _POW, _MAXIMUM, _MINIMUM, _ATAN2, _REMAINDER, _EQ, _NE, _LT, _LE, _GT, _GE,
    _NEG, _ABS, _SIGN, _FLOOR, _RECIPROCAL, _SQUARE, _SQRT, _RSQRT, _ROOT, _EXP, _EXPM1, _LOG, _LOG1P,
    _SIN, _COS, _TAN, _TANH, _SINH, _COSH, _ATAN, _ERF, _SIGMOID, _RELU, _COPY,
) = range(3, 3 + len(FUNCTIONS))
# fmt: on

ENTRIES = 7
"""Number of indices per element of a function: slots of result, operands and condition, and three rows."""


class Program(NamedTuple):
    """A step of one trajectory.

    The first slots contain the state, the next ones the input. A row of -1 means that a number has no tangents, or that
    they are not computed.
    """

    code: NDArray
    """(instruction, 5): its kind, how many results it has, where its indices begin, where its weights begin, and how
    many terms each of its sums has."""
    indices: NDArray
    """Of a function, for each result `ENTRIES` indices: slots of the result, of two operands and of a condition, rows
    of the result and of the operands. Of a sum, for each result its slot and row, then slots and rows of the terms. Of
    a product, the first slot and row of the results, the first row of the vector, and then the vector's slots."""
    weights: NDArray
    """Of products, (result, term), padded with zero rows to a multiple of `ROWS`."""
    values: NDArray
    """(slot,): the constants, zero elsewhere."""
    state_slots: NDArray
    """(S,): slots of the next state."""
    state_rows: NDArray
    """(S,): rows of the tangents of the next state."""
    n_rows: int
    n_inputs: int


class Memory(NamedTuple):
    """The memory of one thread that interprets a program."""

    program: Program
    machine_code: int
    """The address of the program as machine code; 0: it is interpreted."""
    values: NDArray
    """(slot,)"""
    tangents: NDArray
    """(row, vector), flat."""
    vector: NDArray
    """(term,), what a product multiplies."""
    n_vectors: int
    """Number of vectors per row."""


def make_memory(program: Program, n_columns: int, machine_code: int = 0) -> Memory:
    """Return the memory of a program that moves `n_columns` tangent vectors."""
    dtype = program.values.dtype
    width = lanes_of(dtype.itemsize)
    n_vectors = -(-n_columns // width)
    tangents = aligned_zeros((program.n_rows + width) * n_vectors * width, dtype)
    vector = aligned_zeros(int(program.code[:, 4].max(initial=0)), dtype)
    return Memory(program, machine_code, program.values.copy(), tangents, vector, n_vectors)


@register_jitable
def evaluate(kind, a, b):
    """Return a function of two numbers, or of the first, and its derivatives. Ties are resolved as in PyTorch."""
    if kind == _ADD:
        return a + b, 1.0, 1.0
    if kind == _SUB:
        return a - b, 1.0, -1.0
    if kind == _MUL:
        return a * b, b, a
    if kind == _DIV:
        return a / b, 1 / b, -a / (b * b)
    if kind == _POW:
        power = a**b
        return power, 0.0 if b == 0 else b * a ** (b - 1), power * np.log(a) if a != 0 else 0.0
    if kind == _MAXIMUM:
        share = 0.5 if a == b else 1.0 if a > b else 0.0
        return a if a > b or np.isnan(a) else b, share, 1 - share
    if kind == _MINIMUM:
        share = 0.5 if a == b else 1.0 if a < b else 0.0
        return a if a < b or np.isnan(a) else b, share, 1 - share
    if kind == _ATAN2:
        square = a * a + b * b
        return math.atan2(a, b), b / square, -a / square
    if kind == _REMAINDER:
        return a % b, 1.0, -np.floor(a / b)
    if kind == _EQ:
        return 1.0 if a == b else 0.0, 0.0, 0.0
    if kind == _NE:
        return 1.0 if a != b else 0.0, 0.0, 0.0
    if kind == _LT:
        return 1.0 if a < b else 0.0, 0.0, 0.0
    if kind == _LE:
        return 1.0 if a <= b else 0.0, 0.0, 0.0
    if kind == _GT:
        return 1.0 if a > b else 0.0, 0.0, 0.0
    if kind == _GE:
        return 1.0 if a >= b else 0.0, 0.0, 0.0
    value, slope = _evaluate_one(kind, a)
    return value, slope, 0.0


@register_jitable
def _evaluate_one(kind, a):
    """Return a function of one number and its derivative."""
    if kind == _NEG:
        return -a, -1.0
    if kind == _ABS:
        return abs(a), np.sign(a)
    if kind == _SIGN:
        return np.sign(a), 0.0
    if kind == _FLOOR:
        return np.floor(a), 0.0
    if kind == _RECIPROCAL:
        return 1 / a, -1 / (a * a)
    if kind == _SQUARE:
        return a * a, 2 * a
    if kind == _SQRT:
        root = np.sqrt(a)
        return root, 0.5 / root
    if kind == _RSQRT:
        inverse = 1 / np.sqrt(a)
        return inverse, -0.5 * inverse * inverse * inverse
    if kind == _ROOT:
        root = np.sqrt(a)
        return root, 0.5 / root if root > 0 else 0.0
    if kind == _EXP:
        power = np.exp(a)
        return power, power
    if kind == _EXPM1:
        return np.expm1(a), np.exp(a)
    if kind == _LOG:
        return np.log(a), 1 / a
    if kind == _LOG1P:
        return np.log1p(a), 1 / (1 + a)
    if kind == _SIN:
        return np.sin(a), np.cos(a)
    if kind == _COS:
        return np.cos(a), -np.sin(a)
    if kind == _TAN:
        tangent = np.tan(a)
        return tangent, 1 + tangent * tangent
    if kind == _TANH:
        tangent = np.tanh(a)
        return tangent, 1 - tangent * tangent
    if kind == _SINH:
        return np.sinh(a), np.cosh(a)
    if kind == _COSH:
        return np.cosh(a), np.sinh(a)
    if kind == _ATAN:
        return np.arctan(a), 1 / (1 + a * a)
    if kind == _ERF:
        return math.erf(a), 2 / math.sqrt(math.pi) * np.exp(-a * a)
    if kind == _SIGMOID:
        share = 1 / (1 + np.exp(-a))
        return share, share * (1 - share)
    if kind == _RELU:
        return a if a > 0 or np.isnan(a) else 0.0, 1.0 if a > 0 else 0.0
    return a, 1.0


@compiled
def _combine(tangents, n_vectors, row, by_a, of_a, by_b, of_b):
    """Write the row of a result: the rows of its operands times two derivatives. A negative row number means zero."""
    width = lanes(tangents)
    length = n_vectors * width
    a, b = spread(tangents, by_a), spread(tangents, by_b)
    at, from_a, from_b = row * length, of_a * length, of_b * length
    if of_a >= 0 and of_b >= 0:
        for x in range(0, length, width):
            store(tangents, at + x, multiply_add(a, load(tangents, from_a + x), b * load(tangents, from_b + x)))
    elif of_a >= 0:
        for x in range(0, length, width):
            store(tangents, at + x, a * load(tangents, from_a + x))
    elif of_b >= 0:
        for x in range(0, length, width):
            store(tangents, at + x, b * load(tangents, from_b + x))
    else:
        for x in range(0, length, width):
            store(tangents, at + x, spread(tangents, 0))


@partial(compiled, error_model="numpy")
def _apply_function(kind, count, at, index, values, tangents, n_vectors):
    for entry in range(at, at + count * ENTRIES, ENTRIES):
        row, of_a, of_b = index[entry + 4], index[entry + 5], index[entry + 6]
        a, b = values[index[entry + 1]], values[index[entry + 2]]
        if kind == WHERE:
            # The operand that was not chosen may be infinite, and must not be multiplied by zero.
            chosen = values[index[entry + 3]] != 0
            values[index[entry]] = a if chosen else b
            if row >= 0:
                _combine(tangents, n_vectors, row, 1.0, of_a if chosen else of_b, 0.0, -1)
            continue
        value, by_a, by_b = evaluate(kind, a, b)
        values[index[entry]] = value
        if row >= 0:
            _combine(tangents, n_vectors, row, by_a, of_a, by_b, of_b)


@compiled
def _add_up(count, at, n_terms, index, values, tangents, n_vectors):
    length = n_vectors * lanes(tangents)
    for i in range(count):
        first = at + i * (2 + 2 * n_terms)
        total, row = 0.0, index[first + 1]
        for t in range(n_terms):
            total += values[index[first + 2 + t]]
        values[index[first]] = total
        if row < 0:
            continue
        for x in range(row * length, (row + 1) * length):
            tangents[x] = 0
        for t in range(n_terms):
            term = index[first + 2 + n_terms + t]
            if term >= 0:
                _combine(tangents, n_vectors, row, 1.0, row, 1.0, term)


@compiled
def _four_products(weights, at, n_terms, vector):
    """Return the products of four neighbouring rows of weights with a vector."""
    width = lanes(vector)
    a = b = c = d = spread(vector, 0)
    whole = n_terms // width * width
    for t in range(0, whole, width):
        numbers, at_term = load(vector, t), at + t
        a = multiply_add(load(weights, at_term), numbers, a)
        b = multiply_add(load(weights, at_term + n_terms), numbers, b)
        c = multiply_add(load(weights, at_term + 2 * n_terms), numbers, c)
        d = multiply_add(load(weights, at_term + 3 * n_terms), numbers, d)
    sums = sum_of_lanes(a), sum_of_lanes(b), sum_of_lanes(c), sum_of_lanes(d)
    for t in range(whole, n_terms):
        number, at_term = vector[t], at + t
        sums = (
            sums[0] + weights[at_term] * number,
            sums[1] + weights[at_term + n_terms] * number,
            sums[2] + weights[at_term + 2 * n_terms] * number,
            sums[3] + weights[at_term + 3 * n_terms] * number,
        )
    return sums


@compiled
def _multiply(count, at, weight_at, n_terms, program, memory):
    index, weights, values, vector = program.indices, program.weights, memory.values, memory.vector
    slot, row, vector_row = index[at], index[at + 1], index[at + 2]
    for t in range(n_terms):
        vector[t] = values[index[at + 3 + t]]
    for i in range(0, count, ROWS):
        for place, total in enumerate(_four_products(weights, weight_at + i * n_terms, n_terms, vector)):
            if i + place < count:
                values[slot + i + place] = total
    if row < 0:
        return
    tangents, n_vectors = memory.tangents, memory.n_vectors
    width = lanes(tangents)
    length = n_vectors * width
    for i in range(0, count, ROWS):
        by_rows, x = view(weights, weight_at + i * n_terms, n_terms), 0
        while x + 4 * width <= length:
            columns = view(tangents, vector_row * length + x, length)
            row_products(by_rows, columns, n_terms, view(tangents, (row + i) * length + x, length), 0, ROWS, 4)
            x += 4 * width
        while x + 2 * width <= length:
            columns = view(tangents, vector_row * length + x, length)
            row_products(by_rows, columns, n_terms, view(tangents, (row + i) * length + x, length), 0, ROWS, 2)
            x += 2 * width
        while x < length:
            columns = view(tangents, vector_row * length + x, length)
            row_products(by_rows, columns, n_terms, view(tangents, (row + i) * length + x, length), 0, ROWS, 1)
            x += width


@compiled
def _interpret(memory):
    """Compute all slots and rows from the state, the input and the state's tangents."""
    program, values, tangents, n_vectors = memory.program, memory.values, memory.tangents, memory.n_vectors
    code, index = program.code, program.indices
    for i in range(len(code)):
        kind, count, at, weight_at, n_terms = code[i, 0], code[i, 1], code[i, 2], code[i, 3], code[i, 4]
        if kind == PRODUCT:
            _multiply(count, at, weight_at, n_terms, program, memory)
        elif kind == SUM:
            _add_up(count, at, n_terms, index, values, tangents, n_vectors)
        else:
            _apply_function(kind, count, at, index, values, tangents, n_vectors)


@compiled
def _transpose_in(tangents, size, rows, length):
    """Copy tangent vectors (k, at least S), padded with zeros, to the first rows."""
    width, stride = lanes(rows), tangents.shape[1]
    whole = len(tangents) // width * width if stride % width == 0 else 0
    for c in range(0, whole, width):
        for i in range(0, size, width):
            transpose_tile(view(tangents, c * stride + i, stride), view(rows, i * length + c, length))
    for c in range(whole, len(tangents)):
        for i in range(size):
            rows[i * length + c] = tangents[c, i]


@compiled
def _transpose_out(rows, length, from_rows, tangents):
    """Copy rows to the tangent vectors. A negative row number means zero."""
    width, stride, size = lanes(rows), tangents.shape[1], len(from_rows)
    whole = len(tangents) // width * width
    for first in range(0, size, width):
        last, start = min(first + width, size), from_rows[first]
        are_neighbours = start >= 0 and last == first + width
        for i in range(first, last):
            are_neighbours &= from_rows[i] == start + i - first
        done = whole if are_neighbours else 0
        for c in range(0, done, width):
            transpose_tile(view(rows, start * length + c, length), view(tangents, c * stride + first, stride))
        for c in range(done, len(tangents)):
            for i in range(first, last):
                tangents[c, i] = rows[from_rows[i] * length + c] if from_rows[i] >= 0 else 0


def program_step(state, inputs, tangents, memory, at):
    """Move a trajectory and its tangent vectors by one step, in place.

    Args:
        state: (S,).
        inputs: (step * F,), the inputs of the trajectory.
        tangents: (k, at least S).
        memory: see `Memory`.
        at: index of the step.
    """
    size, n_inputs = len(state), memory.program.n_inputs
    if memory.machine_code:
        constants, weights = memory.program.values, memory.program.weights
        call_step(memory.machine_code, state, inputs, at * n_inputs, tangents, constants, weights)
        return
    values, rows, length = memory.values, memory.tangents, memory.n_vectors * lanes(memory.tangents)
    for i in range(size):
        values[i] = state[i]
    for i in range(n_inputs):
        values[size + i] = inputs[at * n_inputs + i]
    _transpose_in(tangents, size, rows, length)
    _interpret(memory)
    slots, from_rows = memory.program.state_slots, memory.program.state_rows
    for i in range(size):
        state[i] = values[slots[i]]
    _transpose_out(rows, length, from_rows, tangents)


_program_step = register_jitable(program_step)


@compiled
def states_along(states, inputs, memory, first, stop, stride):
    """Compute states (trajectory, step, S) after the first one, for inputs (trajectory, step * F)."""
    nothing = np.empty((0, 0), states.dtype)
    for trajectory in range(first, stop, stride):
        for at in range(states.shape[1] - 1):
            states[trajectory, at + 1] = states[trajectory, at]
            _program_step(states[trajectory, at + 1], inputs[trajectory], nothing, memory, at)
