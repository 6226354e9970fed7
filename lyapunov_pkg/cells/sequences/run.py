"""A layer over whole sequences, differentiable by autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyapunov_pkg.cells.base import Cell, Params
from lyapunov_pkg.cells.sequences.backward import run_backward
from lyapunov_pkg.cells.sequences.forward import hidden_units, run_forward
from lyapunov_pkg.cells.sequences.layer import Layer, make_layer


def run_sequence(
    cell: Cell, params: Params, inputs: Tensor, noise: Tensor | None = None, last_only: bool = False
) -> Tensor:
    """Return the hidden units of a layer over whole sequences from the zero state, differentiable once by autograd.

    Args:
        cell: the layer's cell.
        params: its parameters, with a leading axis of variants.
        inputs: (V, T, B, F).
        noise: standard normal draws (V, B, T, n_noise, H) for a noisy cell in training; None: no noise.
        last_only: whether to return only the last step.

    Returns:
        Hidden units (V, T, B, H), or (V, B, H) with last_only.

    Example:
        >>> import torch
        >>> from lyapunov_pkg.cells import make_cell
        >>> cell = make_cell("gru", input_size=3, hidden_size=5)
        >>> params = cell.draw_params(0.5, torch.Generator().manual_seed(0))
        >>> one_variant = {name: value[None] for name, value in params.items()}
        >>> run_sequence(cell, one_variant, torch.ones(1, 7, 2, 3)).shape
        torch.Size([1, 7, 2, 5])
    """
    layer = make_layer(cell, params, inputs, noise)
    differentiated = layer.differentiated
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in differentiated):
        hidden: Tensor = _Sequence.apply(layer, last_only, *differentiated)
        return hidden
    trajectory = run_forward(layer)
    hidden = hidden_units(trajectory, last_only)
    trajectory.release()
    return hidden


class _Sequence(torch.autograd.Function):
    """A run, with the gradient of its hidden units by the tensors of `Layer.differentiated`."""

    @staticmethod
    def forward(ctx: Any, layer: Layer, last_only: bool, *differentiated: Tensor | None) -> Tensor:
        ctx.layer, ctx.last_only = layer, last_only
        ctx.trajectory = run_forward(layer)
        return hidden_units(ctx.trajectory, last_only)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # A second backward pass over the same graph has to run forward again, because the first released the memory.
        trajectory = ctx.trajectory or run_forward(ctx.layer)
        ctx.trajectory = None
        gradients = run_backward(ctx.layer, trajectory, gradient, ctx.last_only, of_inputs=ctx.needs_input_grad[2])
        trajectory.release()
        return None, None, *gradients
