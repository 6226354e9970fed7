"""Writing of programs, instruction by instruction: slots of numbers, rows of tangents, and instructions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.linalg.layout import ROWS, round_up
from lyapunov_pkg.linalg.program import ENTRIES, KIND_OF, PRODUCT, SUM, WHERE, Program

LARGEST_PROGRAM = 200_000
"""Maximum number of indices of a program. Programs are meant for steps of small vectors, which need fewer."""

WITHOUT_SLOPE = ("eq", "ne", "lt", "le", "gt", "ge", "sign", "floor")
"""Functions whose derivative is zero, so that their results have no tangents."""


class Refused(Exception):
    """A step that cannot be written as a program."""


def _broadcast(*slots: Tensor) -> tuple[Tensor, ...]:
    if all(of.shape == slots[0].shape for of in slots):
        return slots
    broadcast: tuple[Tensor, ...] = torch.broadcast_tensors(*slots)  # type: ignore[no-untyped-call]
    return broadcast


def _listed(slots: Tensor) -> list[int]:
    listed: list[int] = slots.flatten().tolist()
    return listed


class Lowering:
    """A program under construction. Slots are int64 tensors of any shape, and each entry identifies a number.

    Most operations of a small step are of a few numbers, for which lists take a fraction of the time of arrays.
    """

    def __init__(self, state_size: int, input_size: int, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._input_size = input_size
        self._rows = [*range(state_size), *[-1] * input_size]
        self._n_rows = state_size
        self._constants: list[tuple[int, NDArray[np.float64]]] = []
        self._slots_of: dict[tuple[tuple[int, ...], bytes], Tensor] = {}
        self._code: list[tuple[int, int, int, int, int]] = []
        self._index: list[int] = []
        self._weights: list[NDArray[np.float64]] = []
        self._weights_at: dict[tuple[tuple[int, ...], bytes], int] = {}
        self._n_weights = 0

    def constant(self, value: Tensor | float) -> Tensor:
        """Return slots of numbers that do not change."""
        shape: tuple[int, ...] = ()
        if not isinstance(value, Tensor):
            numbers = np.array([value], np.float64)
        elif value.is_complex():
            raise Refused("complex numbers")
        else:
            shape, numbers = tuple(value.shape), value.detach().double().flatten().numpy().copy()
        # Identified by content, because the step may change a constant in place and use it again.
        key = shape, numbers.tobytes()
        if key not in self._slots_of:
            self._constants.append((len(self._rows), numbers))
            self._slots_of[key] = self._new_slots(shape, [-1] * numbers.size)
        return self._slots_of[key]

    def rows_of(self, slots: Tensor) -> list[int]:
        """Return the rows of tangents of numbers; -1 for numbers that do not depend on the state."""
        return self._rows_of(_listed(slots))

    def _rows_of(self, listed: list[int]) -> list[int]:
        return [self._rows[slot] for slot in listed]

    def function(self, name: str, *operands: Tensor, moves: bool = True) -> Tensor:
        """Write an elementwise function of one or two numbers, and return the slots of its results.

        Args:
            name: one of `linalg.program.FUNCTIONS`.
            operands: slots of the operands.
            moves: whether the results have tangents if the operands have.
        """
        of_results, of_last = _broadcast(operands[0], operands[-1])
        a = _listed(of_results)
        b = _listed(of_last) if len(operands) == 2 else a
        of_a, of_b = self._rows_of(a), self._rows_of(b) if len(operands) == 2 else [-1] * len(a)
        moves = moves and name not in WITHOUT_SLOPE
        active = [moves and (one >= 0 or other >= 0) for one, other in zip(of_a, of_b, strict=True)]
        # A number plus a constant has the number's own tangents.
        shared = [name in ("add", "sub") and one and other < 0 for one, other in zip(active, of_b, strict=True)]
        written = self._new_rows([one and not other for one, other in zip(active, shared, strict=True)])
        rows = [of if is_shared else row for of, is_shared, row in zip(of_a, shared, written, strict=True)]
        return self._elementwise(KIND_OF[name], of_results.shape, (a, b, a), rows, (written, of_a, of_b))

    def where(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Write a choice between two numbers, and return the slots of the results."""
        broadcast = _broadcast(condition, a, b)
        of_condition, of_first, of_second = map(_listed, broadcast)
        of_a, of_b = self._rows_of(of_first), self._rows_of(of_second)
        rows = self._new_rows([one >= 0 or other >= 0 for one, other in zip(of_a, of_b, strict=True)])
        operands = of_first, of_second, of_condition
        return self._elementwise(WHERE, broadcast[0].shape, operands, rows, (rows, of_a, of_b))

    def sum(self, terms: Tensor, moves: bool = True) -> Tensor:
        """Write sums over the last axis, and return the slots of their results."""
        if terms.shape[-1] == 0:
            return self.constant(torch.zeros(terms.shape[:-1]))
        flat = terms.reshape(-1, terms.shape[-1])
        of_terms = [self.rows_of(one) for one in flat]
        rows = self._new_rows([moves and max(of) >= 0 for of in of_terms])
        slots = self._new_slots(terms.shape[:-1], rows)
        entries = zip(_listed(slots), rows, flat.tolist(), of_terms, strict=True)
        table = [i for slot, row, numbers, of in entries for i in (slot, row, *numbers, *of)]
        self._emit(SUM, len(flat), table, n_terms=terms.shape[-1])
        return slots

    def product(self, matrix: Tensor, vector: Tensor) -> Tensor:
        """Write a constant matrix (M, P) times a vector of slots (P,), and return the slots (M,) of the result."""
        of_vector = self.rows_of(vector)
        is_active = max(of_vector) >= 0
        if is_active and of_vector != [*range(of_vector[0], of_vector[0] + len(of_vector))]:
            # The kernel reads neighbouring rows.
            rows = self._new_rows([True] * len(of_vector))
            listed, none = _listed(vector), [-1] * len(rows)
            used = rows, of_vector, none
            vector = self._elementwise(KIND_OF["copy"], vector.shape, (listed, listed, listed), rows, used)
            of_vector = rows
        n_results, n_terms = matrix.shape
        first_row = self._n_rows if is_active else -1
        rows = [*range(first_row, first_row + n_results)] if is_active else [-1] * n_results
        self._n_rows += round_up(n_results, ROWS) if is_active else 0
        slots = self._new_slots((n_results,), rows)
        indices = [int(slots[0]), first_row, of_vector[0], *_listed(vector)]
        self._emit(PRODUCT, n_results, indices, self._keep_weights(matrix), n_terms)
        return slots

    def _keep_weights(self, matrix: Tensor) -> int:
        """Return the position of a matrix among the weights. Equal rows are stored once."""
        padded = np.zeros((round_up(matrix.shape[0], ROWS), matrix.shape[1]))
        padded[: matrix.shape[0]] = matrix.detach().double().numpy()
        key = tuple(matrix.shape), padded.tobytes()
        if key not in self._weights_at:
            self._weights_at[key] = self._n_weights
            self._weights.append(padded.ravel())
            self._n_weights += padded.size
        return self._weights_at[key]

    def program(self, state: Tensor) -> Program:
        """Return the program. The next state is in the slots `state` (S,)."""
        values = np.zeros(len(self._rows))
        for first, numbers in self._constants:
            values[first : first + len(numbers)] = numbers
        dtype = np.dtype(str(self.dtype).removeprefix("torch."))
        return Program(
            np.array(self._code, np.int64).reshape(-1, 5),
            np.array(self._index, np.int64),
            np.concatenate([np.zeros(0), *self._weights]).astype(dtype),
            values.astype(dtype),
            state.numpy().astype(np.int64),
            np.array(self.rows_of(state), np.int64),
            self._n_rows,
            self._input_size,
        )

    def _elementwise(
        self,
        kind: int,
        shape: torch.Size,
        slots: tuple[list[int], list[int], list[int]],
        rows: list[int],
        used: tuple[list[int], ...],
    ) -> Tensor:
        """Write a function element by element.

        Args:
            kind: which.
            shape: of the results.
            slots: of its operands, and of the condition.
            rows: of its results.
            used: rows that it writes, and those of its operands.
        """
        first = len(self._rows)
        results = self._new_slots(shape, rows)
        columns = [range(first, first + len(rows)), *slots, *used]
        assert len(columns) == ENTRIES
        self._emit(kind, len(rows), [i for entry in zip(*columns, strict=True) for i in entry])
        return results

    def _new_slots(self, shape: torch.Size | tuple[int, ...], rows: list[int]) -> Tensor:
        first = len(self._rows)
        self._rows.extend(rows)
        return torch.arange(first, len(self._rows)).reshape(shape)

    def _new_rows(self, active: list[bool]) -> list[int]:
        """Return a row of tangents for each number that has some, and -1 for each other."""
        rows = []
        for is_active in active:
            rows.append(self._n_rows if is_active else -1)
            self._n_rows += is_active
        return rows

    def _emit(self, kind: int, count: int, indices: list[int], weights_at: int = 0, n_terms: int = 0) -> None:
        if not count:
            return
        self._code.append((kind, count, len(self._index), weights_at, n_terms))
        self._index += indices
        if len(self._index) > LARGEST_PROGRAM:
            raise Refused(f"more than {LARGEST_PROGRAM} indices")
