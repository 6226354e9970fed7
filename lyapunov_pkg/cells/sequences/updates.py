"""The updates of a cell, bound to the memory of a trajectory, so that they are functions of the step only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Update
from lyapunov_pkg.cells.sequences.compiled import compiled_update
from lyapunov_pkg.cells.sequences.places import Places
from lyapunov_pkg.cells.sequences.plan import Plan
from lyapunov_pkg.cells.sequences.tensor_updates import tensor_update
from lyapunov_pkg.cells.sequences.trajectory import Trajectory

COMPILED_PRECISIONS = {torch.float32: np.float32, torch.float64: np.float64}


@dataclass(frozen=True)
class BoundUpdate:
    """One of a cell's updates along a trajectory.

    Attributes:
        forward: takes `step`, and updates the target block of the state.
        backward: takes `step`, and converts cotangents by the state after the update to those by the state before it.
        linearize: takes `derivatives`, `first_slot` and `rows`, and writes the slopes; see `compiled.make_linearize`.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    linearize: Callable[..., None]


def bind_updates(cell: Cell, trajectory: Trajectory, noise: Tensor | None = None) -> list[BoundUpdate]:
    """Return the updates of a cell along a trajectory: compiled for the CPU in float32 and float64, else of tensors."""
    updates = cell.updates(noisy=noise is not None)
    places = _places_of(updates, trajectory.plan)
    if trajectory.states.device.type == "cpu" and trajectory.states.dtype in COMPILED_PRECISIONS:
        return [_bind_compiled(*pair, trajectory, noise) for pair in zip(updates, places, strict=True)]
    return [_bind_tensors(*pair, trajectory, noise) for pair in zip(updates, places, strict=True)]


def _places_of(updates: tuple[Update, ...], plan: Plan) -> list[Places]:
    """Return the operands of each update. A block that was already updated is used with its value after the step."""
    found, renewed = [], set[int]()
    for update in updates:
        slots = tuple(plan.slots[g] for g in update.pre_activations)
        steps_on = tuple(int(block in renewed) for block in update.blocks)
        found.append(Places(slots, update.blocks, steps_on, update.draws))
        renewed.add(update.target)
    return found


def _flat_draws(trajectory: Trajectory, noise: Tensor | None) -> Tensor:
    """Return the draws (V, B, T, n_noise*H) in the form for the updates; an empty array without noise."""
    if noise is None:
        return trajectory.states.new_empty(0, 0, 0, 0)
    return noise.flatten(-2).to(trajectory.states).contiguous()


def _bind_compiled(update: Update, places: Places, trajectory: Trajectory, noise: Tensor | None) -> BoundUpdate:
    number = COMPILED_PRECISIONS[trajectory.states.dtype]
    path = {
        "size": trajectory.size,
        "constants": tuple(number(constant) for constant in update.constants),
        "pre_activations": trajectory.pre_activations.numpy(),
        "states": trajectory.states.numpy(),
    }
    draws, cotangents = _flat_draws(trajectory, noise).numpy(), trajectory.cotangents.numpy()
    kernels = compiled_update(update.target, places, update.value, update.slopes)
    return BoundUpdate(
        forward=partial(kernels.forward, **path, noise=draws),
        backward=partial(kernels.backward, **path, noise=draws, cotangents=cotangents),
        linearize=partial(kernels.linearize, **path),
    )


def _bind_tensors(update: Update, places: Places, trajectory: Trajectory, noise: Tensor | None) -> BoundUpdate:
    path = {
        "size": trajectory.size,
        "constants": tuple(float(constant) for constant in update.constants),
        "pre_activations": trajectory.pre_activations,
        "states": trajectory.states,
        "noise": _flat_draws(trajectory, noise),
    }
    forward, backward = tensor_update(update.target, places, update.value, update.slopes)
    return BoundUpdate(
        forward=partial(forward, **path),
        backward=partial(backward, **path, cotangents=trajectory.cotangents),
        linearize=_not_on_tensors,
    )


def _not_on_tensors(**_: object) -> None:
    raise NotImplementedError("slopes along a trajectory are available only on the CPU in float32 or float64")
