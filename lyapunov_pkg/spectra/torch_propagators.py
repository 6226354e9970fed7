"""Propagation of tangent vectors through PyTorch, one step at a time, for any system on any device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lyapunov_pkg.linalg import orthonormalize, orthonormalize_unasked
from lyapunov_pkg.spectra.driven import TangentMap
from lyapunov_pkg.spectra.propagators import Propagator, Record
from lyapunov_pkg.systems.flows import Flow

JACOBIANS_AT_ONCE = 4_000_000
"""Number of entries of a flow's Jacobians that are computed ahead. It bounds memory."""

STEPS_UNASKED = 32
"""Steps on a GPU after which the host checks whether all orthonormalisations succeeded. It changes no result."""


class StepPropagator(Propagator):
    """Propagator of any system, step by step, by its own `push_forward` and `orthonormalize`.

    Attributes:
        asks_each_time: whether each orthonormalisation checks immediately if it needs the fallback. On a GPU the host
            would have to wait for the device.
    """

    steps_at_once = 256

    def __init__(self, system: TangentMap, state: Tensor, tangents: Tensor) -> None:
        self.system, self.state, self.tangents = system, state, tangents
        self.asks_each_time = tangents.device.type != "cuda" or tangents.numel() == 0

    def path(self, inputs: Tensor) -> Tensor:
        """See `Propagator.path`: nothing is computed ahead."""
        return inputs

    def follow(self, path: Tensor, steps: slice, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """See `Propagator.follow`."""

        def measure(before: Tensor, log_r: Tensor) -> tuple[Tensor, Tensor]:
            lengths = torch.linalg.vector_norm(before, dim=-2)
            return log_r.double(), (log_r.exp() / lengths).double().amin(dim=-1)

        found = self._through(path, steps, orthonormalizes, False, measure)
        if not found:
            nothing = self.tangents.new_empty(0, *self.tangents.shape[:-2], self.tangents.shape[-1]).double()
            return nothing, nothing[..., 0]
        log_rs, sines = zip(*found, strict=True)
        return torch.stack(log_rs), torch.stack(sines)

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

        def measure(before: Tensor, log_r: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
            finite = torch.isfinite(self.state).all(dim=-1)
            r = (self.tangents.mT @ before).triu() if keeps_r else None
            return log_r.double(), finite, self.tangents if keeps_q else None, r

        found = self._through(path, steps, orthonormalizes, True, measure)
        if not found:
            shape, k = self.tangents.shape[:-2], self.tangents.shape[-1]
            nothing = self.tangents.new_empty(*shape, 0, k)
            return Record(nothing.double(), nothing[..., 0].bool(), None, None)
        log_rs, finite, qs, rs = zip(*found, strict=True)
        q = torch.stack(qs, dim=-3) if keeps_q else None
        r = torch.stack(rs, dim=-3) if keeps_r else None
        return Record(torch.stack(log_rs, dim=-2), torch.stack(finite, dim=-1), q, r)

    def _through(
        self,
        path: Tensor,
        steps: slice,
        orthonormalizes: Sequence[bool],
        to_rounding: bool,
        measure: Callable[[Tensor, Tensor], Any],
    ) -> list[Any]:
        """Take steps of a path, and return the results of `measure(before, log_r)` at each orthonormalisation.

        On a GPU the host checks once per block of steps whether all orthonormalisations succeeded. If one failed, the
        block is repeated with a check at each orthonormalisation, so that results are the same.
        """
        numbered = list(zip(range(self._n_steps(path))[steps], orthonormalizes, strict=True))
        asking = partial(orthonormalize, to_rounding=to_rounding)
        if self.asks_each_time:
            return self._take(path, numbered, asking, measure)
        found = []
        for first in range(0, len(numbered), STEPS_UNASKED):
            block, start = numbered[first : first + STEPS_UNASKED], self.snapshot()
            good: list[Tensor] = []

            def unasked(matrices: Tensor, good: list[Tensor] = good) -> tuple[Tensor, Tensor]:
                q, log_r, is_good = orthonormalize_unasked(matrices)
                good.append(is_good)
                return q, log_r

            of_block = self._take(path, block, unasked, measure)
            if good and not torch.stack(good).all():
                self.restore(start)
                of_block = self._take(path, block, asking, measure)
            found += of_block
        return found

    def _take(
        self,
        path: Tensor,
        numbered: list[tuple[int, bool]],
        orthonormalized: Callable[[Tensor], tuple[Tensor, Tensor]],
        measure: Callable[[Tensor, Tensor], Any],
    ) -> list[Any]:
        """Take the given steps. Each says whether the vectors are orthonormalised after it."""
        found = []
        for step, ends in numbered:
            self._move(path, step)
            if ends:
                before = self.tangents
                self.tangents, log_r = orthonormalized(before)
                found.append(measure(before, log_r))
        return found

    def _n_steps(self, path: Tensor) -> int:
        return path.shape[-2]

    def _move(self, path: Tensor, step: int) -> None:
        """Move state and tangent vectors through one step of a path."""
        self.state, self.tangents = self.system.push_forward(self.state, path[..., step, :], self.tangents)

    def current_tangents(self) -> Tensor:
        """See `Propagator.current_tangents`."""
        return self.tangents

    def snapshot(self) -> Any:
        """See `Propagator.snapshot`."""
        return self.state, self.tangents

    def restore(self, snapshot: Any) -> None:
        """See `Propagator.restore`."""
        self.state, self.tangents = snapshot


class FlowPropagator(StepPropagator):
    """Propagator of a flow, which computes the Jacobians of many steps together."""

    system: Flow

    def __init__(self, system: Flow, state: Tensor, tangents: Tensor) -> None:
        super().__init__(system, state, tangents)
        numbers = 4 * state.numel() * state.shape[-1]
        self.steps_at_once = max(1, min(StepPropagator.steps_at_once, JACOBIANS_AT_ONCE // numbers))

    def path(self, inputs: Tensor) -> Tensor:
        """See `Propagator.path`: the Jacobians (..., step, sequence, S, S)."""
        states = []
        for x in inputs.unbind(-2):
            states.append(self.state)
            self.state = self.system.step(self.state, x)
        return self.system.jacobians(torch.stack(states), inputs.movedim(-2, 0))

    def _n_steps(self, path: Tensor) -> int:
        return len(path)

    def _move(self, path: Tensor, step: int) -> None:
        self.tangents = path[step] @ self.tangents

    def snapshot(self) -> Tensor:
        """See `Propagator.snapshot`. The state is always that at the end of the path."""
        return self.tangents

    def restore(self, snapshot: Tensor) -> None:
        """See `Propagator.restore`."""
        self.tangents = snapshot
