"""Fully connected networks for several members side by side: layers, initial values, and the samples they learn from.

Parameters of M members lie in one tensor (M, P), so that an optimiser step and keeping the best state are few
operations; each member's initial values come from its own generator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

ArrayLike = np.ndarray | Tensor
Shapes = dict[str, tuple[int, int]]


def layer_shapes(parts: Mapping[str, Sequence[int]]) -> Shapes:
    """Return name -> (rows, columns) of every parameter of one member.

    Args:
        parts: name of a part -> widths of its layers, input first. Weights "{part}.{layer}.weight" are (in, out),
            biases "{part}.{layer}.bias" (1, out).
    """
    shapes = {}
    for part, widths in parts.items():
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            shapes[f"{part}.{layer}.weight"] = (fan_in, fan_out)
            shapes[f"{part}.{layer}.bias"] = (1, fan_out)
    return shapes


def initial_parameters(shapes: Shapes, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw each member's parameters, (M, P), as torch.nn.Linear does: uniform on +-1/sqrt(fan in), biases too."""
    return torch.stack([_draw_member(shapes, generator) for generator in generators])


def _draw_member(shapes: Shapes, generator: torch.Generator) -> Tensor:
    drawn = []
    for name, shape in shapes.items():
        fan_in = shapes[name.replace("bias", "weight")][0]
        drawn.append((2 * torch.rand(math.prod(shape), generator=generator) - 1) / math.sqrt(fan_in))
    return torch.cat(drawn)


def unpack(flat: Tensor, shapes: Shapes) -> dict[str, Tensor]:
    """Return name -> (M, rows, columns), views of the flat parameters (M, P)."""
    pieces = flat.split([math.prod(shape) for shape in shapes.values()], dim=1)
    return {name: piece.unflatten(1, shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}


def through(
    parameters: Mapping[str, Tensor], part: str, values: Tensor, masks: Sequence[Tensor] | None = None
) -> Tensor:
    """Apply the layers of one part to (M, n, in): tanh after all but the last, times the dropout mask if there are
    any."""
    depth = sum(name.startswith(part) for name in parameters) // 2
    for layer in range(depth):
        values = torch.baddbmm(parameters[f"{part}.{layer}.bias"], values, parameters[f"{part}.{layer}.weight"])
        if layer < depth - 1:
            values = torch.tanh(values)
            if masks is not None:
                values = values * masks[layer]
    return values


def checked_samples(part: str, name: str, values: ArrayLike, loss: ArrayLike, n_members: int) -> tuple[Tensor, Tensor]:
    """Return values (M, n, d) and loss (M, n) as float32 tensors.

    Raises:
        ValueError: they are not that, or not finite; they are called "{part}_{name}" and "{part}_loss".
    """
    values, loss = torch.as_tensor(values, dtype=torch.float32), torch.as_tensor(loss, dtype=torch.float32)
    if values.ndim != 3 or len(values) != n_members or 0 in values.shape:
        raise ValueError(
            f"{part}_{name} has shape {tuple(values.shape)}; expected ({n_members} seeds, samples, numbers of a sample)"
        )
    if loss.shape != values.shape[:2]:
        raise ValueError(
            f"{part}_loss has shape {tuple(loss.shape)}; expected that of {part}_{name}, {tuple(values.shape[:2])}"
        )
    for called, numbers in ((f"{part}_{name}", values), (f"{part}_loss", loss)):
        if not numbers.isfinite().all():
            raise ValueError(
                f"{called} has {int((~numbers.isfinite()).sum())} values that are not finite; expected none"
            )
    return values, loss
