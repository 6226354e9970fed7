"""Propagation of user-defined steps: as a program of `linalg.program` where possible, otherwise through PyTorch.

No number comes from a program alone. The user's own function computes the next state from each state of a path, and the
results are compared with the program's states. Tangent vectors are compared at some of the states. If anything differs,
the run continues through PyTorch from the beginning of that path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lyapunov_pkg.devices import without_autocast
from lyapunov_pkg.linalg.program import Program
from lyapunov_pkg.linalg.stepping import SteppedFlow
from lyapunov_pkg.spectra.kernel_propagators import SteppedPropagator
from lyapunov_pkg.spectra.propagators import Propagator, Record
from lyapunov_pkg.spectra.torch_propagators import StepPropagator
from lyapunov_pkg.systems.flows import Flow
from lyapunov_pkg.systems.steps import DifferentiatedStep

CHECKED_EVERY = 512
"""Minimum number of steps between two comparisons of tangent vectors."""

CHECKED_STATES = 16
"""Number of states at which tangent vectors are compared, for each `CHECKED_EVERY` steps of a path."""

STEPS_AT_ONCE = 16_384
"""Number of steps of the longest path. Each comparison has a cost, whatever the number of states."""

LARGEST_MEMORY = 16_000_000
"""Largest number of entries of a program's tangent vectors per thread. Above it PyTorch's products are as fast."""

NUMBERS_AT_ONCE = 100_000
"""Number of entries of the states that are passed to the user's function at once, so that they stay in the cache."""

NUMBERS_OF_A_PATH = 1_000_000
"""Number of entries of the states of a path, and of tangent vectors that are compared at once; limits memory."""


class ProgramPropagator(SteppedPropagator):
    """Propagator of a program that is driven by inputs."""

    def __init__(self, program: Program, state: Tensor, tangents: Tensor) -> None:
        flow = SteppedFlow(program, torch.zeros(1, 0), state.detach(), tangents.detach())
        super().__init__(flow, state.shape[:-1])
        self.program = program

    def path(self, inputs: Tensor) -> Tensor:
        """See `Propagator.path`: nothing is computed ahead."""
        return inputs.detach()

    def follow(self, path: Tensor, steps: slice, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """See `Propagator.follow`."""
        self.flow.drive(path[:, steps])
        return super().follow(path, steps, orthonormalizes)

    def record(
        self,
        path: Tensor,
        steps: slice,
        orthonormalizes: Sequence[bool],
        *,
        keeps_q: bool = False,
        keeps_r: bool = False,
    ) -> Record:
        """See `Propagator.record`."""
        self.flow.drive(path[:, steps])
        return super().record(path, steps, orthonormalizes, keeps_q=keeps_q, keeps_r=keeps_r)


class RecordedPropagator(Propagator):
    """Propagator of a user-defined step or flow, by the fastest method that agrees with it."""

    def __init__(
        self, system: DifferentiatedStep | Flow, plain: type[StepPropagator], state: Tensor, tangents: Tensor, x: Tensor
    ) -> None:
        """Start trajectories.

        Args:
            system: the system.
            plain: the propagator to use if the step is not a program.
            state: (sequence, S).
            tangents: (sequence, S, k).
            x: (sequence, F), the first input.
        """
        self.system = system
        program = system.program(state, x) if x.shape[:-1] == state.shape[:-1] else None
        if program is None or program.n_rows * tangents.shape[-1] > LARGEST_MEMORY:
            self._now: Propagator = plain(system, state, tangents)
            self.steps_at_once = self._now.steps_at_once
        else:
            self._now = ProgramPropagator(program, state, tangents)
            at_once = max(StepPropagator.steps_at_once, NUMBERS_OF_A_PATH // state.numel())
            self.steps_at_once = min(at_once, STEPS_AT_ONCE)
        self._unchecked = CHECKED_EVERY

    @property
    def state(self) -> Tensor:
        """See `Propagator`."""
        return self._now.state

    @state.setter
    def state(self, state: Tensor) -> None:
        self._now.state = state

    def path(self, inputs: Tensor) -> Any:
        """See `Propagator.path`."""
        if isinstance(self._now, ProgramPropagator) and not self._agrees(self._now, inputs):
            # It computes nothing ahead, so that a path may have any length.
            self._now = StepPropagator(self.system, self._now.state, self._now.current_tangents())
        return self._now.path(inputs)

    def _agrees(self, program: ProgramPropagator, inputs: Tensor) -> bool:
        """Return whether the program agrees with the user's function along a path."""
        along = program.flow.states_along(inputs.detach())
        before, after = along[:, :-1].flatten(0, 1), along[:, 1:].flatten(0, 1)
        x = inputs.flatten(0, 1)
        rows = max(1, NUMBERS_AT_ONCE // before.shape[-1])
        try:
            with without_autocast():
                for at in range(0, len(before), rows):
                    part = slice(at, at + rows)
                    if not _close(after[part], self.system.step(before[part], x[part]), _largest(before[part])):
                        return False
                self._unchecked += inputs.shape[1]
                return self._unchecked <= CHECKED_EVERY or self._tangents_agree(program, before, x, inputs.shape[1])
        except Exception:  # For example, the function does not accept as many states.
            return False

    def _tangents_agree(self, program: ProgramPropagator, states: Tensor, x: Tensor, n_steps: int) -> bool:
        self._unchecked = 0
        n_checked = min(CHECKED_STATES * -(-n_steps // CHECKED_EVERY), len(states))
        some = torch.linspace(0, len(states) - 1, n_checked).long()
        states, x = states[some], x[some]
        generator = torch.Generator().manual_seed(0)
        tangents = torch.randn(*states.shape, 2, dtype=torch.float64, generator=generator).to(states)
        expected = _moved(self.system, states, x, tangents)
        # The slopes of saturated units are rounding errors. They are not compared if they are that small beside other
        # slopes.
        scale = 1e-3 * expected.abs().max()
        # As many columns as in the run, so that the code that runs is the code that is checked.
        columns = torch.arange(program.flow.layout.shape.n_columns) % 2
        at_once = max(1, NUMBERS_OF_A_PATH // (states.shape[-1] * len(columns)))
        for first in range(0, len(states), at_once):
            part = slice(first, first + at_once)
            moved = SteppedFlow(program.program, torch.zeros(1, 0), states[part], tangents[part][..., columns])
            moved.drive(x[part, None])
            moved.advance([False])
            if not _close(moved.tangents().mT, expected[part][..., columns].mT, scale):
                return False
        return True

    def follow(self, path: Any, steps: slice, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """See `Propagator.follow`."""
        return self._now.follow(path, steps, orthonormalizes)

    def record(
        self, path: Any, steps: slice, orthonormalizes: Sequence[bool], *, keeps_q: bool = False, keeps_r: bool = False
    ) -> Record:
        """See `Propagator.record`."""
        return self._now.record(path, steps, orthonormalizes, keeps_q=keeps_q, keeps_r=keeps_r)

    def current_tangents(self) -> Tensor:
        """See `Propagator.current_tangents`."""
        return self._now.current_tangents()

    def snapshot(self) -> Any:
        """See `Propagator.snapshot`."""
        return self._now.snapshot()

    def restore(self, snapshot: Any) -> None:
        """See `Propagator.restore`."""
        self._now.restore(snapshot)


def _moved(system: DifferentiatedStep | Flow, states: Tensor, x: Tensor, tangents: Tensor) -> Tensor:
    """Return the Jacobian J of the user's step times tangent vectors V (sequence, S, k), from PyTorch's derivatives.

    Reverse mode gives the product J^T u. Its derivative by u in the directions V is J V. This takes a fraction of the
    time of `torch.func.jvp`, for which PyTorch evaluates in Python each operation with a constant. Forward mode is used
    where reverse mode fails or is not finite, as at a derivative that is infinite but not chosen by `torch.where`.
    """
    moved: Tensor | None = None
    n, k = len(states), tangents.shape[-1]
    with contextlib.suppress(RuntimeError), torch.enable_grad():
        given = states.repeat(k, 1).requires_grad_()
        after = system.step(given, x.repeat(k, 1))
        u = torch.zeros_like(after, requires_grad=True)
        (product,) = torch.autograd.grad(after, given, u, create_graph=True)
        (columns,) = torch.autograd.grad(product, u, tangents.movedim(-1, 0).flatten(0, 1))
        moved = columns.reshape(k, n, -1).movedim(0, -1)
    if moved is None or not moved.isfinite().all():
        return system.push_forward(states, x, tangents)[1]
    return moved


def _largest(vectors: Tensor) -> Tensor:
    return vectors.abs().amax(dim=-1, keepdim=True)


def _close(found: Tensor, expected: Tensor, scale: Tensor) -> bool:
    """Return whether vectors (..., S) agree up to rounding, relative to the largest entry of each or to a scale."""
    if not torch.equal(found.isfinite(), expected.isfinite()):
        return False
    found, expected = (value.nan_to_num(0, 0, 0) for value in (found, expected))
    tolerance = 1e3 * torch.finfo(found.dtype).eps * torch.maximum(_largest(expected), scale.nan_to_num(0, 0, 0))
    return bool(((found - expected).abs() <= tolerance).all())
