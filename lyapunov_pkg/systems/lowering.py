"""Programs written instruction by instruction: slots of numbers, rows of tangents, and what computes them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.linalg.layout import ROWS, round_up
from lyapunov_pkg.linalg.program import ENTRIES, KIND_OF, PRODUCT, SUM, WHERE, Program

LARGEST_PROGRAM = 200_000
"""Indices that a program may have. A step with more is not one of small vectors, for which programs are made."""

WITHOUT_SLOPE = ("eq", "ne", "lt", "le", "gt", "ge", "sign", "floor")
"""Functions whose derivative is zero, so that their results have no tangents."""


class Refused(Exception):
    """A step that cannot be written as a program."""


def _broadcast(*slots: Tensor) -> tuple[Tensor, ...]:
    shape = np.broadcast_shapes(*(of.shape for of in slots))
    return tuple(of.expand(shape) for of in slots)


class Lowering:
    """A program that is being written. Slots are int64 tensors of any shape; each entry names a number."""

    def __init__(self, state_size: int, input_size: int, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.was_refused = False
        self._input_size = input_size
        self._rows = [*range(state_size), *[-1] * input_size]
        self._n_rows = state_size
        self._constants: list[tuple[int, NDArray[np.float64]]] = []
        self._slots_of: dict[tuple[tuple[int, ...], bytes], Tensor] = {}
        self._code: list[tuple[int, int, int, int, int]] = []
        self._index: list[NDArray[np.int64]] = []
        self._n_indices = 0
        self._weights: list[NDArray[np.float64]] = []
        self._weights_at: dict[tuple[tuple[int, ...], bytes], int] = {}
        self._n_weights = 0

    def constant(self, value: Tensor | float) -> Tensor:
        """Return slots of numbers that do not change."""
        tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        if tensor.is_complex():
            raise Refused("complex numbers")
        numbers = tensor.detach().double().flatten().numpy().copy()
        # By their content: the step may change a constant in place, and use it again.
        key = tuple(tensor.shape), numbers.tobytes()
        if key not in self._slots_of:
            slots = self._new_slots(tensor.shape, np.full(tensor.numel(), -1))
            self._constants.append((int(slots.min()) if tensor.numel() else 0, numbers))
            self._slots_of[key] = slots
        return self._slots_of[key]

    def rows_of(self, slots: Tensor) -> NDArray[np.int64]:
        """Return the rows of tangents of some numbers; -1 where they do not depend on the state."""
        rows: NDArray[np.int64] = np.asarray(self._rows, np.int64)[slots.flatten().numpy()]
        return rows

    def function(self, name: str, *operands: Tensor, moves: bool = True) -> Tensor:
        """Write a function of one or two numbers, element by element, and return the slots of its results.

        Args:
            name: one of `linalg.program.FUNCTIONS`.
            operands: their slots.
            moves: whether the results have tangents where the operands have.
        """
        a, b = _broadcast(operands[0], operands[-1])
        of_a, of_b = self.rows_of(a), self.rows_of(b) if len(operands) == 2 else np.full(a.numel(), -1)
        active = ((of_a >= 0) | (of_b >= 0)) & moves & (name not in WITHOUT_SLOPE)
        rows = self._new_rows(active)
        written = rows
        if name in ("add", "sub"):  # A number plus a constant has the number's own tangents.
            shared = active & (of_b < 0)
            rows, written = np.where(shared, of_a, rows), np.where(shared, -1, rows)
        return self._elementwise(KIND_OF[name], (a, b, a), rows, (written, of_a, of_b))

    def where(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Write a choice between two numbers, and return the slots of what is chosen."""
        condition, a, b = _broadcast(condition, a, b)
        of_a, of_b = self.rows_of(a), self.rows_of(b)
        rows = self._new_rows((of_a >= 0) | (of_b >= 0))
        return self._elementwise(WHERE, (a, b, condition), rows, (rows, of_a, of_b))

    def sum(self, terms: Tensor, moves: bool = True) -> Tensor:
        """Write sums over the last axis, and return the slots of their results."""
        if terms.shape[-1] == 0:
            return self.constant(torch.zeros(terms.shape[:-1]))
        flat = terms.reshape(-1, terms.shape[-1])
        of_terms = self.rows_of(flat).reshape(flat.shape)
        rows = self._new_rows(np.asarray((of_terms >= 0).any(axis=1) & moves))
        slots = self._new_slots(terms.shape[:-1], rows)
        table = np.column_stack((slots.flatten().numpy(), rows, flat.numpy(), of_terms))
        self._emit(SUM, len(flat), table, n_terms=terms.shape[-1])
        return slots

    def product(self, matrix: Tensor, vector: Tensor) -> Tensor:
        """Write a constant matrix (M, P) times a vector of slots (P,), and return the slots (M,) of the results."""
        of_vector = self.rows_of(vector)
        is_active = bool((of_vector >= 0).any())
        if is_active and not (np.diff(of_vector) == 1).all():
            # The kernel reads neighbouring rows.
            rows = np.arange(self._n_rows, self._n_rows + len(of_vector))
            self._n_rows += len(of_vector)
            kinds = (vector, vector, vector)
            vector = self._elementwise(KIND_OF["copy"], kinds, rows, (rows, of_vector, np.full(len(rows), -1)))
            of_vector = rows
        n_results, n_terms = matrix.shape
        first_row = self._n_rows if is_active else -1
        rows = np.arange(first_row, first_row + n_results) if is_active else np.full(n_results, -1)
        self._n_rows += round_up(n_results, ROWS) if is_active else 0
        slots = self._new_slots((n_results,), rows)
        indices = np.concatenate(([slots[0].item(), first_row, of_vector[0]], vector.numpy()))
        self._emit(PRODUCT, n_results, indices, self._keep_weights(matrix), n_terms)
        return slots

    def _keep_weights(self, matrix: Tensor) -> int:
        """Return where a matrix stands among the weights; the same rows stand there once."""
        padded = np.zeros((round_up(matrix.shape[0], ROWS), matrix.shape[1]))
        padded[: matrix.shape[0]] = matrix.detach().double().numpy()
        key = tuple(matrix.shape), padded.tobytes()
        if key not in self._weights_at:
            self._weights_at[key] = self._n_weights
            self._weights.append(padded.ravel())
            self._n_weights += padded.size
        return self._weights_at[key]

    def program(self, state: Tensor) -> Program:
        """Return the program, of which the next state stands in slots (S,)."""
        values = np.zeros(len(self._rows))
        for first, numbers in self._constants:
            values[first : first + len(numbers)] = numbers
        dtype = np.dtype(str(self.dtype).removeprefix("torch."))
        return Program(
            np.array(self._code, np.int64).reshape(-1, 5),
            np.concatenate([np.zeros(0, np.int64), *self._index]),
            np.concatenate([np.zeros(0), *self._weights]).astype(dtype),
            values.astype(dtype),
            state.numpy().astype(np.int64),
            self.rows_of(state),
            self._n_rows,
            self._input_size,
        )

    def _elementwise(
        self,
        kind: int,
        slots: tuple[Tensor, Tensor, Tensor],
        rows: NDArray[np.int64],
        used: tuple[NDArray[np.int64], ...],
    ) -> Tensor:
        results = self._new_slots(slots[0].shape, rows)
        columns = [results.flatten().numpy(), *(of.flatten().numpy() for of in slots), *used]
        table = np.column_stack(columns)
        assert table.shape[1] == ENTRIES
        self._emit(kind, len(table), table)
        return results

    def _new_slots(self, shape: torch.Size | tuple[int, ...], rows: NDArray[np.int64]) -> Tensor:
        first = len(self._rows)
        self._rows.extend(rows.tolist())
        return torch.arange(first, len(self._rows)).reshape(shape)

    def _new_rows(self, active: NDArray[np.bool_]) -> NDArray[np.int64]:
        rows = np.where(active, self._n_rows + np.cumsum(active) - 1, -1)
        self._n_rows += int(active.sum())
        return rows

    def _emit(self, kind: int, count: int, indices: NDArray[np.int64], weights_at: int = 0, n_terms: int = 0) -> None:
        if not count:
            return
        self._code.append((kind, count, self._n_indices, weights_at, n_terms))
        self._index.append(np.asarray(indices, np.int64).ravel())
        self._n_indices += indices.size
        if self._n_indices > LARGEST_PROGRAM:
            raise Refused(f"more than {LARGEST_PROGRAM} indices")
