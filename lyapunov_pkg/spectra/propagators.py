"""Propagation of tangent vectors along trajectories.

A propagator holds the state and the tangent vectors of all trajectories, and moves them through a few steps at a time.
`propagator_choice` chooses the propagator of a system: one of `kernel_propagators`, `recorded` or `torch_propagators`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Record(NamedTuple):
    """Result of `Propagator.record` at each orthonormalisation.

    Attributes:
        log_r: (..., interval, k), float64: natural logarithm of the diagonal of R.
        finite: (..., interval), whether the state is finite.
        q: (..., interval, rows, k), orthonormal to rounding; None if not requested.
        r: (..., interval, k, k), the upper triangle of Q^T A, of which the diagonal is that of R but for rounding.
    """

    log_r: Tensor
    finite: Tensor
    q: Tensor | None
    r: Tensor | None


class Propagator(ABC):
    """Trajectories with their tangent vectors.

    `path` prepares some steps of the inputs. `follow` or `record` then moves the tangent vectors along them, piece by
    piece.

    Attributes:
        state: (..., S), at the end of the steps that were followed, or at the end of the path.
        steps_at_once: the best number of steps for a path.
        aligned_steps: if paths begin at multiples of this number and their lengths are multiples of it, results do not
            depend on the lengths in any bit.
    """

    state: Tensor
    steps_at_once: int
    aligned_steps: int = 1

    @abstractmethod
    def path(self, inputs: Tensor) -> Any:
        """Return the path through inputs (..., step, feature), which continues the last path."""

    @abstractmethod
    def follow(self, path: Any, steps: slice, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """Move the tangent vectors through some steps of a path.

        Args:
            path: the result of `path`; its steps must be followed in order.
            steps: the steps of the path.
            orthonormalizes: for each of these steps, whether the tangent vectors are orthonormalised after it.

        Returns:
            log_r (interval, ..., k): natural logarithm of the diagonal of R at each orthonormalisation.
            sines (interval, ...): smallest sine of the angle between a vector and the span of those before it.
        """

    @abstractmethod
    def record(
        self, path: Any, steps: slice, orthonormalizes: Sequence[bool], *, keeps_q: bool = False, keeps_r: bool = False
    ) -> Record:
        """Move as `follow` does, with vectors that are orthonormal to rounding, and return them as a `Record`.

        Args:
            path: as in `follow`.
            steps: as in `follow`.
            orthonormalizes: as in `follow`.
            keeps_q: whether to return Q.
            keeps_r: whether to return R.
        """

    def state_after(self, path: Any, n_steps: int) -> Tensor:
        """Return the state (..., S) after some steps of the last path, once all its steps were followed."""
        return self.state

    @abstractmethod
    def current_tangents(self) -> Tensor:
        """Return the present tangent vectors (..., rows, k)."""

    @abstractmethod
    def snapshot(self) -> Any:
        """Return the data from which `restore` recovers the present position."""

    @abstractmethod
    def restore(self, snapshot: Any) -> None:
        """Return to the position of a `snapshot` on the same path."""
