"""Stacked fully connected networks of several members: layers, training, and checks of samples.

The parameters of M members are one tensor (M, P), so that an optimiser step and storing the best state take few
operations. The initial values of each member come from its own generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ArrayLike = NDArray[np.floating[Any]] | Tensor
Progress = Callable[[range, str], Iterable[int]]
"""Function of the range of epochs and a description, e.g. `lyapunov_pkg.progress.progress`."""

Shapes = dict[str, tuple[int, int]]


def layer_shapes(parts: Mapping[str, Sequence[int]]) -> Shapes:
    """Return {name: (rows, columns)} of all parameters of one member.

    Args:
        parts: {name of a part: widths of its layers, input first}. Weights "{part}.{layer}.weight" are (in, out),
            biases "{part}.{layer}.bias" are (1, out).
    """
    shapes = {}
    for part, widths in parts.items():
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            shapes[f"{part}.{layer}.weight"] = (fan_in, fan_out)
            shapes[f"{part}.{layer}.bias"] = (1, fan_out)
    return shapes


def initial_parameters(shapes: Shapes, generators: Sequence[torch.Generator]) -> Tensor:
    """Return random parameters (M, P), weights and biases, as in torch.nn.Linear: uniform on +-1/sqrt(fan in)."""
    return torch.stack([_draw_member(shapes, generator) for generator in generators])


def _draw_member(shapes: Shapes, generator: torch.Generator) -> Tensor:
    drawn = []
    for name, shape in shapes.items():
        fan_in = shapes[name.replace("bias", "weight")][0]
        drawn.append((2 * torch.rand(math.prod(shape), generator=generator) - 1) / math.sqrt(fan_in))
    return torch.cat(drawn)


def unpack(flat: Tensor, shapes: Shapes) -> dict[str, Tensor]:
    """Return {name: (M, rows, columns)} as views of the flat parameters (M, P)."""
    pieces = torch.split(flat, [math.prod(shape) for shape in shapes.values()], dim=1)
    return {name: piece.view(-1, *shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}


def through(
    parameters: Mapping[str, Tensor], part: str, values: Tensor, masks: Sequence[Tensor] | None = None
) -> Tensor:
    """Return the output of one part's layers for (M, n, in): tanh and dropout masks follow all layers but the last."""
    depth = sum(name.startswith(part) for name in parameters) // 2
    for layer in range(depth):
        values = torch.baddbmm(parameters[f"{part}.{layer}.bias"], values, parameters[f"{part}.{layer}.weight"])
        if layer < depth - 1:
            values = torch.tanh(values)
            if masks is not None:
                values = values * masks[layer]
    return values


class Members:
    """M members in training by Adam, with their parameters and those of each member's best epoch so far.

    Attributes:
        generators: generator of each member, also for random numbers in training.
        best_epoch: (M,), the epoch after which the member's validation loss was lowest.
    """

    def __init__(self, shapes: Shapes, seeds: Sequence[int], learning_rate: float) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.best_epoch = torch.zeros(len(seeds), dtype=torch.int64)
        self._shapes = shapes
        self._flat = initial_parameters(shapes, self.generators).requires_grad_()
        self._optimizer = torch.optim.Adam([self._flat], lr=learning_rate, fused=True)
        self._best, self._best_loss = self._flat.detach().clone(), torch.full((len(seeds),), torch.inf)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Return the present parameters, as `unpack` does."""
        return unpack(self._flat, self._shapes)

    @property
    def best_parameters(self) -> dict[str, Tensor]:
        """Return the parameters of each member's best epoch."""
        return unpack(self._best, self._shapes)

    def step(self, loss: Tensor) -> None:
        """Take an optimiser step on the loss (M,) of each member."""
        self._optimizer.zero_grad()
        # The sum over members keeps their gradients independent, and Adam works element by element.
        torch.autograd.backward(loss.sum())
        self._optimizer.step()

    def end_epoch(self, epoch: int, validation_loss: Tensor) -> None:
        """Store the parameters of the members whose validation loss (M,) is the lowest so far."""
        better = validation_loss < self._best_loss
        self._best = torch.where(better[:, None], self._flat.detach(), self._best)
        self._best_loss = torch.where(better, validation_loss, self._best_loss)
        self.best_epoch = torch.where(better, epoch, self.best_epoch)


def checked_parts(
    name: str,
    numbers: str,
    train: tuple[ArrayLike, ArrayLike],
    validation: tuple[ArrayLike, ArrayLike],
    n_members: int,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return training and validation parts as float32 tensors, each with values (M, n, d) and losses (M, n).

    Raises:
        ValueError: shapes are wrong, or values are not finite. Errors use the names "train_{name}", "train_loss" and so
            on, and call the d numbers of a sample `numbers`.
    """
    train = _checked_samples("train", name, *train, n_members)
    validation = _checked_samples("validation", name, *validation, n_members)
    if train[0].shape[-1] != validation[0].shape[-1]:
        raise ValueError(
            f"train_{name} and validation_{name}: got {train[0].shape[-1]} and {validation[0].shape[-1]} {numbers}, "
            "expected the same number"
        )
    return train, validation


def _checked_samples(part: str, name: str, values: ArrayLike, loss: ArrayLike, n_members: int) -> tuple[Tensor, Tensor]:
    """Return one part as in `checked_parts`."""
    values, loss = torch.as_tensor(values, dtype=torch.float32), torch.as_tensor(loss, dtype=torch.float32)
    if values.ndim != 3 or len(values) != n_members or 0 in values.shape:
        raise ValueError(
            f"{part}_{name}: got shape {tuple(values.shape)}, expected ({n_members} seeds, samples, numbers of a "
            "sample)"
        )
    if loss.shape != values.shape[:2]:
        raise ValueError(
            f"{part}_loss: got shape {tuple(loss.shape)}, expected {tuple(values.shape[:2])} as {part}_{name} has"
        )
    for called, numbers in ((f"{part}_{name}", values), (f"{part}_loss", loss)):
        if not numbers.isfinite().all():
            raise ValueError(
                f"{called}: got {int((~numbers.isfinite()).sum())} values that are not finite, expected none"
            )
    return values, loss
