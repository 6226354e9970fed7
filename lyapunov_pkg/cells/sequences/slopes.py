"""The derivatives of all updates of a layer along its trajectory, on the CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params
from lyapunov_pkg.cells.sequences.forward import run_forward
from lyapunov_pkg.cells.sequences.layer import make_layer
from lyapunov_pkg.cells.sequences.trajectory import Trajectory
from lyapunov_pkg.cells.sequences.updates import bind_updates
from lyapunov_pkg.devices import one_torch_thread
from lyapunov_pkg.linalg.threads import on_threads


def linearize_sequence(cell: Cell, params: Params, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return the derivatives of all updates of a layer over whole sequences, and its states, on the CPU.

    Args:
        cell: the layer's cell.
        params: its parameters, with a leading axis of variants.
        inputs: (V, T, B, F), float32 or float64.
        state: (V, B, S), before the first step.

    Returns:
        Derivatives (V, T, B, slots, H): for each update, the slopes by its pre-activations, followed by those by its
        blocks (`Update.slopes`, without noise). States (V, T + 1, B, S): before each step, and after the last.
    """
    layer = make_layer(cell, params, inputs, start=state)
    with one_torch_thread():
        trajectory = run_forward(layer)
    derivatives = _derivatives(cell, trajectory)
    trajectory.release(keep_states=True)
    return derivatives, trajectory.states


def _derivatives(cell: Cell, trajectory: Trajectory) -> Tensor:
    """Return the derivatives of all updates at all steps, (V, T, B, slots, H), with as many threads as PyTorch uses."""
    counts = [len(update.pre_activations) + len(update.blocks) for update in cell.updates()]
    first_slots = np.cumsum([0, *counts]).tolist()
    shape = (*trajectory.pre_activations.shape[:3], first_slots[-1], trajectory.size)
    derivatives = trajectory.states.new_empty(shape)
    n_rows = derivatives[..., 0, 0].numel()
    n_parts = min(torch.get_num_threads(), n_rows)
    parts = [(n_rows * part // n_parts, n_rows * (part + 1) // n_parts) for part in range(n_parts)]

    def work(tasks: range) -> None:
        for first_slot, update in zip(first_slots, bind_updates(cell, trajectory), strict=False):
            for task in tasks:
                update.linearize(derivatives=derivatives.numpy(), first_slot=first_slot, rows=parts[task])

    on_threads(work, n_parts)
    return derivatives
