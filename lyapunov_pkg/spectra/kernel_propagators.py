"""Propagation of tangent vectors by compiled kernels on the CPU, for networks and for systems that have a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params
from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.propagators import Propagator, Record

if TYPE_CHECKING:
    from lyapunov_pkg.linalg.plan import Block
    from lyapunov_pkg.linalg.stepping import SteppedFlow
    from lyapunov_pkg.linalg.tangent_flow import TangentFlow
    from lyapunov_pkg.systems.kernels import SystemKernel

SLOPES_AT_ONCE = 16_000_000
"""Number of slopes that are computed before the kernels run. It bounds memory and changes no result."""


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


class KernelPath(NamedTuple):
    """A path of a network.

    Attributes:
        slopes: (variant, step, sequence, slot, size).
        states: for each layer, (variant, step, sequence, S of the layer), before the first step and after each step.
    """

    slopes: Tensor
    states: list[Tensor]


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
