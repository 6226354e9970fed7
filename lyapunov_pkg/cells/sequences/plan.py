"""The layout of a cell's pre-activations in memory, and the products from which they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell


@dataclass(frozen=True)
class Product:
    """A product W [state_source, ...], which is added to consecutive pre-activations from `slot` on.

    Attributes:
        source: index of its first block of the state; the others follow.
        after: whether it uses their values after the step.
        pre_activations: for each of these blocks, the indices of the pre-activations to which its product is added.
        slot: position of the first of them.
        updates_before: number of updates of a step that precede the product.
    """

    source: int
    after: bool
    pre_activations: tuple[tuple[int, ...], ...]
    slot: int
    updates_before: int

    @property
    def n_sources(self) -> int:
        """Return the number of its blocks of the state."""
        return len(self.pre_activations)

    @property
    def n_slots(self) -> int:
        """Return the number of pre-activations to which it is added."""
        return len(self.pre_activations[0])

    def places(self, slots: Sequence[int]) -> list[int]:
        """Return the positions of the pre-activations."""
        return [slots[g] for g in self.pre_activations[0]]

    def weight(self, weights: Sequence[Tensor | None]) -> Tensor:
        """Return its weight, which is combined from those of the pre-activations."""
        of_sources = [
            torch.cat([weight for weight in (weights[g] for g in acting) if weight is not None], dim=-2)
            for acting in self.pre_activations
        ]
        return torch.cat(of_sources, dim=-1)

    def is_made(self, update: int, step: int, from_zero: bool = True) -> bool:
        """Return whether it is computed before an update of a step. A zero state before the first step adds nothing."""
        return self.updates_before == update and (self.after or step > 0 or not from_zero)


class DrivenRun(NamedTuple):
    """Consecutive pre-activations to which consecutive blocks of the drive are added.

    Attributes:
        slot: position of the first pre-activation.
        drive: index of the first block of the drive.
        n_blocks: number of blocks.
    """

    slot: int
    drive: int
    n_blocks: int


@dataclass(frozen=True)
class Plan:
    """The layout of a cell's pre-activations in memory, and the products from which they are computed.

    Attributes:
        slots: position of each pre-activation, in blocks of H.
        driven: the runs of pre-activations to which the drive is added.
        products: the products with the blocks of the state. Blocks that contribute to the same pre-activations share
            one product.
    """

    slots: tuple[int, ...]
    driven: tuple[DrivenRun, ...]
    products: tuple[Product, ...]

    @property
    def n_slots(self) -> int:
        """Return A, the number of slots."""
        return max(self.slots) + 1

    @property
    def undriven(self) -> set[int]:
        """Return the slots to which the drive is not added."""
        return set(self.slots) - {run.slot + k for run in self.driven for k in range(run.n_blocks)}


@cache
def make_plan(cell: Cell) -> Plan:
    """Return the plan of a cell."""
    slots: list[int] = []
    for pre_activation in cell.pre_activations:
        slots.append(max(slots, default=-1) + 1 if pre_activation.joins is None else slots[pre_activation.joins])
    return Plan(tuple(slots), _driven_runs(cell, slots), _products(cell, slots))


def _driven_runs(cell: Cell, slots: Sequence[int]) -> tuple[DrivenRun, ...]:
    runs: list[DrivenRun] = []
    for slot, pre_activation in zip(slots, cell.pre_activations, strict=True):
        if pre_activation.drive is None:
            continue
        last = runs[-1] if runs else DrivenRun(0, 0, 0)
        if (slot, pre_activation.drive) == (last.slot + last.n_blocks, last.drive + last.n_blocks):
            runs[-1:] = [last._replace(n_blocks=last.n_blocks + 1)]
        else:
            runs.append(DrivenRun(slot, pre_activation.drive, 1))
    return tuple(runs)


def _products(cell: Cell, slots: Sequence[int]) -> tuple[Product, ...]:
    targets = [update.target for update in cell.updates()]
    products: list[Product] = []
    for after in (False, True):
        for source in range(cell.n_states):
            acting = tuple(cell.acting_on(source, after))
            if not acting:
                continue
            updates_before = targets.index(source) + 1 if after else 0
            places = [slots[g] for g in acting]
            last = products[-1] if products else None
            if last and (last.after, last.updates_before) == (after, updates_before) and last.places(slots) == places:
                products[-1] = replace(last, pre_activations=(*last.pre_activations, acting))
            else:
                products.append(Product(source, after, (acting,), places[0], updates_before))
    return tuple(products)
