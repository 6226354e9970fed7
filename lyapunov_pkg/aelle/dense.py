"""Fully connected networks for several members side by side: layers, training, and the samples they learn from.

Parameters of M members lie in one tensor (M, P), so that an optimiser step and keeping the best state are few
operations; each member's initial values come from its own generator.
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
"""What wraps the range of epochs and names the work, e.g. `lyapunov_pkg.progress.progress`."""

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
    pieces = torch.split(flat, [math.prod(shape) for shape in shapes.values()], dim=1)
    return {name: piece.view(-1, *shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}


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


class Members:
    """M members in training, by Adam: their parameters, and for each those of its lowest validation loss so far.

    Attributes:
        generators: each member's own, also of what is drawn in training.
        best_epoch: (M,), the epoch after which a member's validation loss was lowest.
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
        """Those of now, see `unpack`."""
        return unpack(self._flat, self._shapes)

    @property
    def best_parameters(self) -> dict[str, Tensor]:
        """Those of each member's best epoch."""
        return unpack(self._best, self._shapes)

    def step(self, loss: Tensor) -> None:
        """Take a step down the loss (M,) of each member."""
        self._optimizer.zero_grad()
        # Over members: none sees another's gradient, and Adam works element by element.
        torch.autograd.backward(loss.sum())
        self._optimizer.step()

    def end_epoch(self, epoch: int, validation_loss: Tensor) -> None:
        """Keep the state of those members whose validation loss (M,) is lower than after any epoch before."""
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
    """Return training and validation part, each values (M, n, d) and loss (M, n), as float32 tensors.

    Raises:
        ValueError: they are not that, or not finite. Errors call them "train_{name}", "train_loss" and so on, and the
            d numbers of a sample `numbers`.
    """
    train = _checked_samples("train", name, *train, n_members)
    validation = _checked_samples("validation", name, *validation, n_members)
    if train[0].shape[-1] != validation[0].shape[-1]:
        raise ValueError(
            f"train_{name} has {train[0].shape[-1]} {numbers} and validation_{name} {validation[0].shape[-1]}; "
            "expected the same"
        )
    return train, validation


def _checked_samples(part: str, name: str, values: ArrayLike, loss: ArrayLike, n_members: int) -> tuple[Tensor, Tensor]:
    """Return one part, see `checked_parts`."""
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
