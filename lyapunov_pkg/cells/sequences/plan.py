"""Where the pre-activations of a cell stand in memory, and of which products they are made."""

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
    """W [state_source, ...], added to pre-activations that stand one after another from `slot` on.

    Attributes:
        source: the first block of the state that it takes; the others follow.
        after: whether as they are after the step.
        pre_activations: of each of these blocks, the pre-activations that it is added to.
        slot: where the first of them stands.
        updates_before: it is made when so many of a step's updates have been made.
    """

    source: int
    after: bool
    pre_activations: tuple[tuple[int, ...], ...]
    slot: int
    updates_before: int

    @property
    def n_sources(self) -> int:
        """How many blocks of the state it takes."""
        return len(self.pre_activations)

    @property
    def n_slots(self) -> int:
        """How many pre-activations it is added to."""
        return len(self.pre_activations[0])

    def places(self, slots: Sequence[int]) -> list[int]:
        """Return where the pre-activations stand."""
        return [slots[g] for g in self.pre_activations[0]]

    def weight(self, weights: Sequence[Tensor | None]) -> Tensor:
        """Return its weight, made of those of the pre-activations."""
        of_sources = [
            torch.cat([weight for weight in (weights[g] for g in acting) if weight is not None], dim=-2)
            for acting in self.pre_activations
        ]
        return torch.cat(of_sources, dim=-1)

    def is_made(self, update: int, step: int, from_zero: bool = True) -> bool:
        """Whether it precedes that update of that step; the state zero, before the first step, adds nothing."""
        return self.updates_before == update and (self.after or step > 0 or not from_zero)


class DrivenRun(NamedTuple):
    """Pre-activations one after another to which blocks of the drive, one after another, are added.

    Attributes:
        slot: where the first pre-activation stands.
        drive: the first block of the drive.
        n_blocks: how many there are.
    """

    slot: int
    drive: int
    n_blocks: int


@dataclass(frozen=True)
class Plan:
    """Where a cell's pre-activations stand in memory, and of which products they are made.

    Attributes:
        slots: the place of each pre-activation, in blocks of H.
        driven: the pre-activations that the drive is added to, run by run.
        products: by the blocks of the state that pre-activations act on; blocks that join in the same pre-activations
            make one.
    """

    slots: tuple[int, ...]
    driven: tuple[DrivenRun, ...]
    products: tuple[Product, ...]

    @property
    def n_slots(self) -> int:
        """A."""
        return max(self.slots) + 1

    @property
    def undriven(self) -> set[int]:
        """The slots that the drive is not added to."""
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
