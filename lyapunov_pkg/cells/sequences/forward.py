"""A layer forward along a sequence.

A step is one product for each block of the state on which pre-activations depend, and one pass over memory for each
block that is updated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lyapunov_pkg.cells.sequences.layer import Layer
from lyapunov_pkg.cells.sequences.trajectory import Trajectory
from lyapunov_pkg.cells.sequences.updates import bind_updates

CHUNK = 4
"""Number of steps whose inputs are multiplied together: enough for a fast product, few enough for the cache."""


def run_forward(layer: Layer) -> Trajectory:
    """Run a layer over its inputs."""
    trajectory = Trajectory(layer.cell, layer.inputs, layer.start)
    updates = bind_updates(layer.cell, trajectory, layer.noise)
    products = [
        (product, trajectory.pre_activations_of(product), trajectory.states_before(product), weight.mT)
        for product, weight in layer.recurrent.items()
    ]
    for step in range(trajectory.n_steps):
        if step % CHUNK == 0:
            _drive(layer, trajectory, slice(step, step + CHUNK))
        for index, update in enumerate(updates):
            for product, pre_activations, sources, weight in products:
                if product.is_made(index, step, layer.start is None):
                    pre_activations[step].baddbmm_(sources[step], weight)
            update.forward(step=step)
    return trajectory


def hidden_units(trajectory: Trajectory, last_only: bool) -> Tensor:
    """Return a copy of the hidden units of all steps (V, T, B, H), or of the last one (V, B, H)."""
    hidden = trajectory.states[:, 1:, :, : trajectory.size]
    return (hidden[:, -1] if last_only else hidden).clone(memory_format=torch.contiguous_format)


def _drive(layer: Layer, trajectory: Trajectory, steps: slice) -> None:
    """Set the pre-activations of some steps to the contribution of inputs and biases."""
    if layer.bias is not None:
        trajectory.pre_activations[:, steps] = layer.bias[:, None, None]
    else:
        for slot in trajectory.plan.undriven:
            trajectory.pre_activations[:, steps, :, trajectory.columns(slot)] = 0
    inputs = trajectory.inputs[:, steps].flatten(1, 2)
    for pre_activations, rows in trajectory.driven(steps):
        weight = layer.input_weight[:, rows].mT
        pre_activations.baddbmm_(inputs, weight, beta=0 if layer.bias is None else 1)
