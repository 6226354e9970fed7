"""Propagation of tangent vectors along trajectories.

Networks and systems of this package use compiled kernels on the CPU. All other systems use PyTorch. A propagator holds
the state and the tangent vectors of all trajectories, and moves them through a few steps at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params
from lyapunov_pkg.linalg import orthonormalize, orthonormalize_unasked
from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.driven import TangentMap
from lyapunov_pkg.systems.flows import MATRICES_UP_TO, Flow
from lyapunov_pkg.systems.maps import AutonomousMap
from lyapunov_pkg.systems.steps import DifferentiatedStep

if TYPE_CHECKING:
    from lyapunov_pkg.linalg.plan import Block
    from lyapunov_pkg.linalg.stepping import SteppedFlow
    from lyapunov_pkg.linalg.tangent_flow import TangentFlow
    from lyapunov_pkg.systems.kernels import SystemKernel

SLOPES_AT_ONCE = 16_000_000
"""Number of slopes that are computed before the kernels run. It bounds memory and changes no result."""

JACOBIANS_AT_ONCE = 4_000_000
"""Number of entries of a flow's Jacobians that are computed ahead. It bounds memory."""

STEPS_UNASKED = 32
"""Steps on a GPU after which the host checks whether all orthonormalisations succeeded. It changes no result."""

SYSTEM_MODULES = (AutonomousMap.__module__, Flow.__module__)
"""Modules whose systems may have kernels."""


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


def make_propagator(
    system: TangentMap, state: Tensor, tangents: Tensor, inputs: Tensor, records: bool = False
) -> Propagator:
    """Return the fastest propagator for this system and these tangent vectors (..., rows, k).

    Args:
        system: the system.
        state: (..., S).
        tangents: (..., rows, k).
        inputs: (..., step, feature); the first step may be tried.
        records: whether `Propagator.record` will be called, which needs the states after all intervals.
    """
    if (
        isinstance(system, Network)
        and tangents.device.type == "cpu"
        and len({c.hidden_size for c in system.cells}) == 1
    ):
        return KernelPropagator(system, state, tangents)
    kernel = _kernel_of(system, state, tangents)
    if kernel is not None:
        return SystemPropagator(kernel, state, tangents)
    forms_jacobians = isinstance(system, Flow) and state.shape[-1] <= max(MATRICES_UP_TO, 2 * tangents.shape[-1])
    plain = FlowPropagator if forms_jacobians and not records else StepPropagator
    if (isinstance(system, DifferentiatedStep) or type(system) is Flow) and _is_for_kernels(state, tangents):
        from lyapunov_pkg.spectra.recorded import RecordedPropagator

        return RecordedPropagator(system, plain, state, tangents, inputs[..., 0, :])
    return plain(system, state, tangents)  # type: ignore[arg-type] # Only a flow is a `FlowPropagator`'s.


def _kernel_of(system: TangentMap, state: Tensor, tangents: Tensor) -> SystemKernel | None:
    """Return the kernel of a system; None if it has none, or the tensors do not suit kernels."""
    if not _is_for_kernels(state, tangents) or type(system).__module__ not in SYSTEM_MODULES:
        return None
    # Imported here: loading the compiled kernels takes a while, and many programs never need them.
    from lyapunov_pkg.systems.kernels import kernel_of

    return kernel_of(system, state)


def _is_for_kernels(state: Tensor, tangents: Tensor) -> bool:
    return state.device.type == "cpu" and state.dtype == tangents.dtype


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


class KernelPath(NamedTuple):
    """A path of a network.

    Attributes:
        slopes: (variant, step, sequence, slot, size).
        states: for each layer, (variant, step, sequence, S of the layer), before the first step and after each step.
    """

    slopes: Tensor
    states: list[Tensor]


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


class HeldByKernels(Propagator):
    """Propagator whose tangent vectors are held by kernels."""

    flow: TangentFlow | SteppedFlow

    def current_tangents(self) -> Tensor:
        """See `Propagator.current_tangents`."""
        return self.flow.tangents()

    def snapshot(self) -> Any:
        """See `Propagator.snapshot`."""
        return self.flow.snapshot()

    def restore(self, snapshot: Any) -> None:
        """See `Propagator.restore`."""
        self.flow.restore(snapshot)


class SteppedPropagator(HeldByKernels):
    """Propagator of a step that `linalg.stepping` compiles or interprets."""

    steps_at_once = 100_000
    flow: SteppedFlow

    def __init__(self, flow: SteppedFlow, leading: torch.Size) -> None:
        """Store a flow. Its axis of trajectories has the shape `leading` in arguments and results."""
        self.flow, self._leading = flow, leading

    @property
    def state(self) -> Tensor:
        """See `Propagator`."""
        return self.flow.states.view(*self._leading, -1).clone()

    @state.setter
    def state(self, state: Tensor) -> None:
        self.flow.states.copy_(state.reshape(self.flow.states.shape))

    def follow(self, path: Any, steps: slice, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """See `Propagator.follow`."""
        advance, _ = self.flow.advance(orthonormalizes)
        return self._by_trajectory(advance.log_r, 1), self._by_trajectory(advance.sines, 1)

    def record(
        self, path: Any, steps: slice, orthonormalizes: Sequence[bool], *, keeps_q: bool = False, keeps_r: bool = False
    ) -> Record:
        """See `Propagator.record`."""
        advance, finite = self.flow.advance(orthonormalizes, to_rounding=True, keeps_q=keeps_q, keeps_r=keeps_r)
        q, r = (None if values is None else self._by_trajectory(values, 0) for values in (advance.q, advance.r))
        return Record(
            self._by_trajectory(advance.log_r, 1).movedim(0, -2), self._by_trajectory(finite, 1).movedim(0, -1), q, r
        )

    def _by_trajectory(self, values: Tensor, dim: int) -> Tensor:
        """Return values with the axis of trajectories in its outside shape."""
        return values.reshape(*values.shape[:dim], *self._leading, *values.shape[dim + 1 :])

    def current_tangents(self) -> Tensor:
        """See `Propagator.current_tangents`."""
        return self._by_trajectory(super().current_tangents(), 0)


class SystemPropagator(SteppedPropagator):
    """Propagator of a system that has a kernel."""

    def __init__(self, kernel: SystemKernel, state: Tensor, tangents: Tensor) -> None:
        from lyapunov_pkg.linalg.stepping import SteppedFlow

        vectors, states = tangents.reshape(-1, *tangents.shape[-2:]), state.reshape(-1, state.shape[-1])
        super().__init__(SteppedFlow(kernel.step, kernel.parameters, states, vectors), state.shape[:-1])

    def path(self, inputs: Tensor) -> int:
        """See `Propagator.path`: the number of steps."""
        return inputs.shape[-2]


class KernelPropagator(HeldByKernels):
    """Propagator of a network on the CPU: states and slopes of many steps first, then `linalg.TangentFlow`."""

    aligned_steps = 16  # rows of one float32, the narrowest ones, fill a cache line
    flow: TangentFlow

    def __init__(self, network: Network, state: Tensor, tangents: Tensor) -> None:
        # Imported here: loading the compiled kernels takes a while, and many programs never need them.
        from lyapunov_pkg.linalg.tangent_flow import TangentFlow

        self.network, self.state = network, state
        blocks, n_blocks, n_slots = jacobian_blocks(
            network, "reduced" if tangents.shape[-2] < network.state_size else "full"
        )
        self.flow = TangentFlow(blocks, n_blocks, tangents)
        self.steps_at_once = max(1, SLOPES_AT_ONCE // (n_slots * state[..., 0].numel() * network.cells[0].hidden_size))

    def follow(self, path: KernelPath, steps: slice, orthonormalizes: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """See `Propagator.follow`."""
        advance = self.flow.advance(path.slopes[:, steps], orthonormalizes)
        return advance.log_r, advance.sines

    def record(
        self,
        path: KernelPath,
        steps: slice,
        orthonormalizes: Sequence[bool],
        *,
        keeps_q: bool = False,
        keeps_r: bool = False,
    ) -> Record:
        """See `Propagator.record`."""
        advance = self.flow.advance(
            path.slopes[:, steps], orthonormalizes, to_rounding=True, keeps_q=keeps_q, keeps_r=keeps_r
        )
        ends = torch.tensor(orthonormalizes, dtype=torch.bool)
        finite = [torch.isfinite(states[:, 1:][:, steps][:, ends]).all(dim=-1) for states in path.states]
        finite_everywhere = torch.stack(finite).all(dim=0).movedim(1, -1)
        return Record(advance.log_r.movedim(0, -2), finite_everywhere, advance.q, advance.r)

    def state_after(self, path: KernelPath, n_steps: int) -> Tensor:
        """See `Propagator.state_after`. The path may be longer."""
        return torch.cat([states[:, n_steps] for states in path.states], dim=-1)

    def path(self, inputs: Tensor) -> KernelPath:
        """See `Propagator.path`. The path has the slopes and states of all steps."""
        from lyapunov_pkg.cells.sequences import linearize_sequence

        cells = self.network.cells
        layer_inputs = inputs.transpose(-3, -2).expand(self.network.n_variants, -1, -1, -1)
        slopes, states = [], []
        for layer, (cell, state) in enumerate(
            zip(cells, self.state.split_with_sizes([cell.state_size for cell in cells], dim=-1), strict=True)
        ):
            of_layer, along = linearize_sequence(cell, self.network.layer_params(layer), layer_inputs, state)
            layer_inputs = along[:, 1:, :, : cell.hidden_size]
            slopes.append(of_layer)
            states.append(along)
        self.state = torch.cat([along[:, -1] for along in states], dim=-1)
        return KernelPath(slopes[0] if len(slopes) == 1 else torch.cat(slopes, dim=-2), states)


Terms = dict[tuple[int, bool], list[tuple[tuple[int, ...], Tensor | None]]]
"""Terms of `Block`s with one target, by source and by whether the source is taken after the step."""


def jacobian_blocks(network: Network, jacobian: Literal["full", "reduced"]) -> tuple[list[Block], int, int]:
    """Return the blocks of a network's Jacobian (dissertation, eq. 2.6), in the order of their computation.

    The rows are those of the layers in order: the state of each layer, or its hidden units if `jacobian` is "reduced".
    Intermediate quantities of a cell (LEM's z) come after all layers.

    Returns:
        The blocks, the number of blocks of rows of the tangent vectors, and the number of slots of slopes. The slots
        are those of `cells.sequences.linearize_sequence`, layer after layer.
    """
    from lyapunov_pkg.linalg.plan import Block

    kept = [1 if jacobian == "reduced" else cell.n_states for cell in network.cells]
    blocks: list[Block] = []
    first, next_auxiliary, below, n_slots = 0, sum(kept), None, 0
    for layer, cell in enumerate(network.cells):
        places = {i: first + i for i in range(kept[layer])}
        for i in set(cell.blocks_to_move(kept[layer])) - set(places):
            places[i], next_auxiliary = next_auxiliary, next_auxiliary + 1
        moved, n_slots = _layer_terms(cell, network.layer_params(layer), kept[layer], places, below, n_slots)
        for target, terms in moved.items():
            if target in places:
                blocks += [Block(places[target], *source, tuple(of_source)) for source, of_source in terms.items()]
        first, below = first + kept[layer], places[0]
    return blocks, sum(kept), n_slots


def _layer_terms(
    cell: Cell, params: Params, n_kept: int, places: dict[int, int], below: int | None, n_slots: int
) -> tuple[dict[int, Terms], int]:
    """Return the terms of each block that a layer updates, in order, and the number of slots including its own.

    Args:
        cell: the layer's cell.
        params: its parameters.
        n_kept: number of blocks of its state that have tangents; the others are held fixed.
        places: indices of the blocks of its state among the rows.
        below: index of the hidden units that are its input; None if the input is fixed.
        n_slots: number of slots of the layers before it.
    """
    weights = cell.pre_activation_weights(cell.prepare(params))
    input_weights = params["input_weight"].chunk(cell.n_gates, dim=-2)
    moved: dict[int, Terms] = {}
    for update in cell.updates():
        terms: Terms = {}
        for g in update.pre_activations:
            for h, pre_activation in enumerate(cell.pre_activations):
                if h != g and pre_activation.joins != g:
                    continue
                if pre_activation.source is not None and (pre_activation.after or pre_activation.source < n_kept):
                    source = places[pre_activation.source], pre_activation.after
                    terms.setdefault(source, []).append(((n_slots,), weights[h]))
                if pre_activation.drive is not None and below is not None:
                    terms.setdefault((below, True), []).append(((n_slots,), input_weights[pre_activation.drive]))
            n_slots += 1
        for j in update.blocks:
            if j in moved and j in places:
                terms.setdefault((places[j], True), []).append(((n_slots,), None))
            elif j in moved:  # A block that is not among the rows changes with the blocks from which it was computed.
                for source, of_source in moved[j].items():
                    folded = [((*slots, n_slots), weight) for slots, weight in of_source]
                    terms.setdefault(source, []).extend(folded)
            elif j < n_kept:
                terms.setdefault((places[j], False), []).append(((n_slots,), None))
            n_slots += 1
        moved[update.target] = terms
    return moved, n_slots
