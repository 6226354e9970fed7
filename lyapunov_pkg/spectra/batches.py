"""Sums of log expansion rates over consecutive batches, which give the exponents and their standard errors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_BATCHES = 16
FEWEST_FOR_AN_ERROR = 8
ROWS_AT_ONCE = 4096
"""Rows with at most this many numbers are summed by one call of NumPy, longer ones by one call each."""


@dataclass
class Batches:
    """Log r summed over at most `MOST_BATCHES` batches of consecutive intervals.

    All batches but the last have the same number of intervals. When all batches are full, neighbouring batches are
    merged in pairs. Sums are computed in float64, row after row. They do not depend on how many rows are added at a
    time, so that a run in parts has the same sums as an uninterrupted run.

    Attributes:
        sums: of each batch, (..., k), nats.
        steps: steps of each batch.
        intervals: intervals of each batch.
    """

    sums: list[NDArray[np.float64]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    intervals: list[int] = field(default_factory=list)

    def add(self, rows: NDArray[np.float64], lengths: NDArray[np.int64]) -> None:
        """Add intervals: log r (interval, ..., k), and the steps of each."""
        at = 0
        with np.errstate(invalid="ignore"):  # NaN of diverged trajectories
            while at < len(rows):
                if not self.sums or self.intervals[-1] == self.intervals[0]:
                    self._open(rows.shape[1:])
                full = max(self.intervals[0], 1)
                taken = slice(at, min(at + full - self.intervals[-1], len(rows)))
                self.sums[-1] = _add_in_order(self.sums[-1], rows[taken])
                self.steps[-1] += int(lengths[taken].sum())
                self.intervals[-1] += taken.stop - taken.start
                at = taken.stop

    def _open(self, shape: tuple[int, ...]) -> None:
        if len(self.sums) == MOST_BATCHES:
            pairs = range(0, MOST_BATCHES, 2)
            self.sums = [self.sums[i] + self.sums[i + 1] for i in pairs]
            self.steps = [self.steps[i] + self.steps[i + 1] for i in pairs]
            self.intervals = [self.intervals[i] + self.intervals[i + 1] for i in pairs]
        self.sums.append(np.zeros(shape))
        self.steps.append(0)
        self.intervals.append(0)

    def exponents(self) -> NDArray[np.float64]:
        """Return the mean log r per step over all batches, (..., k)."""
        with np.errstate(invalid="ignore"):
            total: NDArray[np.float64] = sum(self.sums[1:], self.sums[0]) / sum(self.steps)
        return total

    def standard_error(self) -> NDArray[np.float64]:
        """Return the standard error of `exponents` by the method of batch means, (..., k).

        It is NaN with fewer than `FEWEST_FOR_AN_ERROR` full batches, and for exponents that are not finite.
        """
        full = [i for i, n in enumerate(self.intervals) if n == self.intervals[0]]
        if len(full) < FEWEST_FOR_AN_ERROR:
            return np.full(self.sums[0].shape, np.nan)
        sums, steps = np.stack([self.sums[i] for i in full]), np.array([self.steps[i] for i in full], dtype=float)
        column = (slice(None), *[None] * (sums.ndim - 1))
        weights = (steps / steps.sum())[column]
        with np.errstate(invalid="ignore"):
            means = sums / steps[column]
            deviations = weights * (means - (weights * means).sum(axis=0))
            error: NDArray[np.float64] = np.sqrt(len(full) / (len(full) - 1) * (deviations**2).sum(axis=0))
        return error


def _add_in_order(total: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a total after adding rows to it one after the other."""
    if total.size <= ROWS_AT_ONCE:
        result: NDArray[np.float64] = np.cumsum(np.concatenate((total[None], rows)), axis=0)[-1].copy()
        return result
    total = total.copy()
    for row in rows:
        total += row
    return total
