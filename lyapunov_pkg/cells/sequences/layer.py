"""The tensors of a layer's run, computed from its parameters and its cell. Gradients are by these tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params
from lyapunov_pkg.cells.sequences.plan import Plan, Product, make_plan


@dataclass(frozen=True)
class Layer:
    """A layer with the tensors of a run.

    Attributes:
        cell: the layer's cell.
        inputs: (V, T, B, F).
        input_weight: (V, G*H, F).
        bias: biases of all pre-activations, (V, A*H); None if there are none.
        recurrent: the weight of each product of the cell's plan.
        noise: standard normal draws (V, B, T, n_noise, H); None: no noise.
        start: state (V, B, S) before the first step; None: zero.
    """

    cell: Cell
    inputs: Tensor
    input_weight: Tensor
    bias: Tensor | None
    recurrent: dict[Product, Tensor]
    noise: Tensor | None
    start: Tensor | None

    @property
    def differentiated(self) -> list[Tensor | None]:
        """Return the tensors by which a run has gradients, in the order of the result of `backward`."""
        return [self.inputs, self.input_weight, self.bias, *self.recurrent.values()]


def make_layer(
    cell: Cell, params: Params, inputs: Tensor, noise: Tensor | None = None, start: Tensor | None = None
) -> Layer:
    """Return the layer of a cell's parameters, which have a leading axis of variants."""
    prepared = cell.prepare(params)
    weights = cell.pre_activation_weights(prepared)
    plan = make_plan(cell)
    recurrent = {product: product.weight(weights) for product in plan.products}
    bias = _bias_of_pre_activations(cell, plan, params, cell.recurrent_biases(prepared))
    return Layer(cell, inputs, params["input_weight"], bias, recurrent, noise, start)


def _bias_of_pre_activations(cell: Cell, plan: Plan, params: Params, recurrent: dict[int, Tensor]) -> Tensor | None:
    """Return the biases of all pre-activations, (V, A*H), or None if there are none."""
    if "bias" not in params and not recurrent:
        return None
    blocks = [params["input_weight"].new_zeros(params["input_weight"].shape[0], cell.hidden_size)] * plan.n_slots
    of_drive = params["bias"].chunk(cell.n_gates, dim=-1) if "bias" in params else None
    for g, pre_activation in enumerate(cell.pre_activations):
        if of_drive is not None and pre_activation.drive is not None:
            blocks[plan.slots[g]] = blocks[plan.slots[g]] + of_drive[pre_activation.drive]
        if g in recurrent:
            blocks[plan.slots[g]] = blocks[plan.slots[g]] + recurrent[g]
    return torch.cat(blocks, dim=-1)
