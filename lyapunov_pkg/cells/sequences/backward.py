"""A layer backward along its trajectory: back-propagation through time.

A step is the transpose of a step of `forward`, and steps are in reverse order. The gradients of the weights are
products over many steps.
"""

from __future__ import annotations

from torch import Tensor

from lyapunov_pkg.cells.sequences.forward import CHUNK
from lyapunov_pkg.cells.sequences.layer import Layer
from lyapunov_pkg.cells.sequences.plan import Product
from lyapunov_pkg.cells.sequences.trajectory import Trajectory
from lyapunov_pkg.cells.sequences.updates import bind_updates


def run_backward(
    layer: Layer, trajectory: Trajectory, gradient: Tensor, last_only: bool, of_inputs: bool
) -> tuple[Tensor | None, ...]:
    """Return the gradients by the tensors of `Layer.differentiated`. That by the inputs is None unless `of_inputs`.

    `gradient` is the gradient by the hidden units, in the shape of `hidden_units`. The cotangents of the
    pre-activations replace the pre-activations of the trajectory.
    """
    by_input_weight = layer.input_weight.new_zeros(layer.input_weight.mT.shape)
    by_recurrent = {product: weight.new_zeros(weight.mT.shape) for product, weight in layer.recurrent.items()}
    last_step = trajectory.n_steps - 1
    by_step = {last_step: gradient} if last_only else dict(enumerate(gradient.unbind(1)))
    updates = bind_updates(layer.cell, trajectory, layer.noise)
    products = [
        (product, trajectory.pre_activations_of(product), _cotangents_of(trajectory, product), weight)
        for product, weight in layer.recurrent.items()
    ]
    hidden = trajectory.cotangents[..., : trajectory.size]
    trajectory.cotangents.zero_()
    for step in reversed(range(trajectory.n_steps)):
        if step in by_step:
            hidden += by_step[step]
        for index in reversed(range(len(updates))):
            updates[index].backward(step=step)
            for product, pre_activations, source, weight in products:
                if product.is_made(index, step):
                    source.baddbmm_(pre_activations[step], weight)
        if step % CHUNK == 0:
            steps = slice(step, min(step + CHUNK, trajectory.n_steps))
            _add_gradients(trajectory, by_input_weight, by_recurrent, steps)
    by_inputs = _gradient_of_inputs(layer, trajectory) if of_inputs else None
    by_bias = None if layer.bias is None else trajectory.pre_activations.sum((1, 2))
    return by_inputs, by_input_weight.mT, by_bias, *(total.mT for total in by_recurrent.values())


def _cotangents_of(trajectory: Trajectory, product: Product) -> Tensor:
    return trajectory.cotangents[..., trajectory.sources_of(product)]


def _add_gradients(
    trajectory: Trajectory, by_input_weight: Tensor, by_recurrent: dict[Product, Tensor], steps: slice
) -> None:
    """Add the contribution of some steps to the transposed gradients of the weights."""
    inputs = trajectory.inputs[:, steps].flatten(1, 2)
    for pre_activations, rows in trajectory.driven(steps):
        by_input_weight[..., rows].baddbmm_(inputs.mT, pre_activations)
    for product, total in by_recurrent.items():
        first = steps.start if product.after else max(steps.start, 1)
        pre_activations = trajectory.pre_activations[:, first : steps.stop, :, trajectory.slots_of(product)]
        on = int(product.after)
        sources = trajectory.states[:, first + on : steps.stop + on, :, trajectory.sources_of(product)]
        total.baddbmm_(sources.flatten(1, 2).mT, pre_activations.flatten(1, 2))


def _gradient_of_inputs(layer: Layer, trajectory: Trajectory) -> Tensor:
    everything = slice(0, trajectory.n_steps)
    products = [
        pre_activations @ layer.input_weight[:, rows] for pre_activations, rows in trajectory.driven(everything)
    ]
    return sum(products[1:], start=products[0]).view(layer.inputs.shape)
