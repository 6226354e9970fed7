"""Systems that may run as programs, and the trial steps that they need."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from lyapunov_pkg.systems.base import Placement

if TYPE_CHECKING:
    from lyapunov_pkg.linalg.program import Program


class Traceable:
    """A user-defined system, whose step may be a program of `linalg.program`.

    Attributes:
        step: function from states (sequence, S) and inputs (sequence, F) to the next states.
    """

    step: Callable[..., Tensor]
    _traced: list[Program | None] | None = None

    def written(self) -> Callable[..., Any]:
        """Return the user's own function, which `step` calls."""
        raise NotImplementedError

    def of_one_computation(self) -> Self:
        """Return a copy that traces its step only once. The step may change until the next computation."""
        own = copy.copy(self)
        own._traced = []
        return own

    def program(self, state: Tensor, x: Tensor) -> Program | None:
        """Return the step as a program; see `tracing.program_of`."""
        if self._traced:
            return self._traced[0]
        # Imported here: loading the compiled kernels takes a while, and not all computations need them.
        from lyapunov_pkg.systems import tracing

        found = tracing.program_of(self.step, self.written(), state, x)
        if self._traced is not None:
            self._traced.append(found)
        return found

    def needs_trial(self, state: Tensor, x: Tensor, placement: Placement) -> bool:
        """Return whether a trial step of tangent vectors can find an error.

        Each operation of a program can be differentiated, and the same step gives the same program. One sequence cannot
        be mixed with others. A program of one sequence therefore needs no trial.
        """
        uses_programs = placement.device.type == "cpu" and not placement.differentiable
        return len(state) > 1 or not uses_programs or self.program(state, x) is None
