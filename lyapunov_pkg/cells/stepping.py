"""One step of a cell and its derivative, derived from the cell's declaration.

Symbols as in `lyapunov_pkg.cells.base`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Linearization, Params, Units, Update

Term = TypeVar("Term", Tensor, Tensor | float)
Derivatives = dict[int, Tensor | float]
"""Derivatives of one block of the next state, by pre-activation or by block of the state."""


def advance(cell: Cell, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return the next state; see `Cell.advance`."""
    blocks = list(state.chunk(cell.n_states, dim=-1))
    for update, pre_activations, values in run_updates(cell, prepared, blocks, drive, noise):
        blocks[update.target] = update.value(pre_activations, values, update.constants)
    return torch.cat(blocks, dim=-1)


def linearize(
    cell: Cell, prepared: Params, state: Tensor, drive: Tensor, noise: Tensor | None = None
) -> tuple[Tensor, Linearization]:
    """Return the next state and the derivative of the step; see `Cell.linearize`."""
    blocks = list(state.chunk(cell.n_states, dim=-1))
    slopes: dict[int, Derivatives] = {}
    direct: dict[int, Derivatives] = {}
    for update, pre_activations, values in run_updates(cell, prepared, blocks, drive, noise):
        by_pre_activations, by_blocks = update.slopes(pre_activations, values, update.constants)
        blocks[update.target] = update.value(pre_activations, values, update.constants)
        own_slopes: Derivatives = {}
        for g, slope in zip(update.pre_activations, by_pre_activations, strict=True):
            own_slopes |= {h: slope for h, a in enumerate(cell.pre_activations) if h == g or a.joins == g}
        own_direct: Derivatives = {}
        for j, coefficient in zip(update.blocks, by_blocks, strict=True):
            if j not in direct:
                _accumulate(own_direct, j, coefficient)
                continue
            # Chain rule: a block that was already updated depends on the operands of its own update.
            for g, slope in slopes[j].items():
                _accumulate(own_slopes, g, coefficient * slope)
            for i, value in direct[j].items():
                _accumulate(own_direct, i, coefficient * value)
        slopes[update.target], direct[update.target] = own_slopes, own_direct
    full_slopes = {
        pair: slope if isinstance(slope, Tensor) else torch.full_like(blocks[0], slope)
        for pair, slope in _by_pairs(slopes).items()
    }
    return torch.cat(blocks, dim=-1), Linearization(full_slopes, _by_pairs(direct))


def move_tangents(
    cell: Cell, prepared: Params, linearization: Linearization, tangents: Tensor, drive_tangents: Tensor | None = None
) -> Tensor:
    """Return tangent vectors after one step (forward mode), full or reduced as in `Cell.push_forward`.

    drive_tangents (*lead, B, G*H, k) are the tangents of the drive; None: the drive is fixed.
    """
    weights = cell.pre_activation_weights(prepared)
    moved: dict[int, Tensor] = {}  # the tangents of the pre-activations
    if drive_tangents is not None:
        blocks = drive_tangents.chunk(cell.n_gates, dim=-2)
        moved = {g: blocks[a.drive] for g, a in enumerate(cell.pre_activations) if a.drive is not None}
    before = tangents.split(cell.hidden_size, dim=-2)
    for source, block in enumerate(before):
        _move_pre_activations(moved, weights, cell.acting_on(source, after=False), block)
    after: dict[int, Tensor] = {}
    # The last block comes first, because pre-activations may depend on its value after the step.
    for target in reversed(cell.blocks_to_move(len(before))):
        after[target] = _moved_block(linearization, target, moved, before)
        _move_pre_activations(moved, weights, cell.acting_on(target, after=True), after[target])
    return after[0] if len(before) == 1 else torch.cat([after[i] for i in range(cell.n_states)], dim=-2)


def _move_pre_activations(
    moved: dict[int, Tensor], weights: Sequence[Tensor | None], acting: list[int], block: Tensor
) -> None:
    """Add a block's contribution to the tangents of the pre-activations that depend on it, in one product."""
    if not acting:
        return
    pushed = push(_above_one_another(weights, acting), block).chunk(len(acting), dim=-2)
    for g, value in zip(acting, pushed, strict=True):
        _accumulate(moved, g, value)


def _moved_block(
    linearization: Linearization, target: int, moved: dict[int, Tensor], before: Sequence[Tensor]
) -> Tensor:
    """Return the tangents of a block after the step.

    Missing tangents are zero: those of the rest of a reduced state, and of a pre-activation that depends only on the
    input.
    """
    terms = [scale(slope, moved[g]) for (i, g), slope in linearization.slopes.items() if i == target and g in moved]
    terms += [
        scale(coefficient, before[j])
        for (i, j), coefficient in linearization.direct.items()
        if i == target and j < len(before)
    ]
    return sum(terms[1:], start=terms[0])


def run_updates(
    cell: Cell, prepared: Params, blocks: list[Tensor], drive: Tensor, noise: Tensor | None
) -> Iterator[tuple[Update, Units, Units]]:
    """Yield each update with its pre-activations, and its blocks and draws. The caller updates `blocks`."""
    weights = cell.pre_activation_weights(prepared)
    drives = drive.chunk(cell.n_gates, dim=-1)
    pre_activations = {g: drives[a.drive] for g, a in enumerate(cell.pre_activations) if a.drive is not None}
    for g, bias in cell.recurrent_biases(prepared).items():
        _accumulate(pre_activations, g, bias.unsqueeze(-2))

    def act(source: int, after: bool) -> None:
        """Add a block's contribution to the pre-activations, in one product."""
        acting = cell.acting_on(source, after)
        if not acting:
            return
        products = blocks[source] @ _above_one_another(weights, acting).mT
        for g, value in zip(acting, products.chunk(len(acting), dim=-1), strict=True):
            joined = cell.pre_activations[g].joins
            _accumulate(pre_activations, g if joined is None else joined, value)

    for source in range(cell.n_states):
        act(source, after=False)
    for update in cell.updates(noisy=noise is not None):
        draws = () if noise is None else tuple(noise[..., draw, :] for draw in update.draws)
        yield (
            update,
            tuple(pre_activations[g] for g in update.pre_activations),
            tuple(blocks[j] for j in update.blocks) + draws,
        )
        act(update.target, after=True)


def _above_one_another(weights: Sequence[Tensor | None], acting: list[int]) -> Tensor:
    """Return the weights of the pre-activations in `acting`, stacked to one matrix."""
    return torch.cat([weight for weight in (weights[g] for g in acting) if weight is not None], dim=-2)


def _accumulate(totals: dict[int, Term], key: int, term: Term) -> None:
    totals[key] = totals[key] + term if key in totals else term


def _by_pairs(rows: dict[int, Derivatives]) -> dict[tuple[int, int], Tensor | float]:
    return {(i, j): value for i, row in rows.items() for j, value in row.items()}


def push(weight: Tensor, tangents: Tensor) -> Tensor:
    """Return weight (*lead, rows, columns) @ tangents (*lead, B, columns, k): (*lead, B, rows, k).

    One product for the vectors of all sequences is many times faster than a product per sequence. The vectors are rows
    in this product, because QR returns each vector contiguously.
    """
    vectors = tangents.mT.flatten(-3, -2) @ weight.mT
    return vectors.unflatten(-2, (tangents.shape[-3], tangents.shape[-1])).mT


def scale(slope: Tensor | float, tangents: Tensor) -> Tensor:
    """Return diag(slope) @ tangents: slope (*lead, B, H) or one number, tangents (*lead, B, H, k)."""
    return (slope.unsqueeze(-1) if isinstance(slope, Tensor) else slope) * tangents
