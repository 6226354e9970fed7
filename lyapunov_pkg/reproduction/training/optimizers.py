"""Optimisers of stacked parameters, with a learning rate for each variant.

The updates are those of `torch.optim`, whose optimisers have only one learning rate for a whole stack.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor


class Optimizer(ABC):
    """An update rule with its state, for parameters (V, ...) and learning rates (V,).

    Attributes:
        factor: factor of all learning rates (decay).
    """

    quantities: ClassVar[tuple[str, ...]]
    """Names of the state variables of every parameter. They have its shape and are initially zero."""

    def __init__(self, params: Mapping[str, Tensor], learning_rates: Sequence[float]) -> None:
        """Create the state before the first step."""
        self.params = dict(params)
        self.learning_rates = np.array(learning_rates)
        self.factor = 1.0
        self.n_steps = 0
        self.state = {
            f"{name}/{quantity}": torch.zeros_like(value, requires_grad=False)
            for name, value in params.items()
            for quantity in self.quantities
        }

    def zero_grad(self) -> None:
        """Delete the gradients."""
        for value in self.params.values():
            value.grad = None

    def clip_gradients(self, norm: float) -> None:
        """Scale the gradient of every variant to at most `norm`, over all its parameters."""
        gradients = [_gradient(value) for value in self.params.values()]
        squares = sum((gradient.flatten(1).square().sum(1) for gradient in gradients), start=torch.tensor(0.0))
        scale = (norm / squares.sqrt()).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter by its gradient."""
        self.n_steps += 1
        sizes = torch.from_numpy(self.step_sizes()).to(next(iter(self.params.values())))
        for name, value in self.params.items():
            state = [self.state[f"{name}/{quantity}"] for quantity in self.quantities]
            self.update(value, _gradient(value), sizes.view(-1, *[1] * (value.ndim - 1)), *state)

    def step_sizes(self) -> np.ndarray:
        """Return the factors of the direction of this step, (V,)."""
        return self.learning_rates * self.factor

    @abstractmethod
    def update(self, value: Tensor, gradient: Tensor, step_size: Tensor, *state: Tensor) -> None:
        """Update one parameter and its state in place. `step_size` has a shape that broadcasts with them."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return a copy of the state: "{parameter}/{quantity}", and "n_steps"."""
        return {name: value.cpu().numpy().copy() for name, value in self.state.items()} | {
            "n_steps": np.array(self.n_steps)
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a state that `arrays` returned."""
        self.n_steps = int(arrays["n_steps"])
        for name, value in self.state.items():
            value.copy_(torch.from_numpy(arrays[name]))


def _gradient(value: Tensor) -> Tensor:
    """Return the gradient of a parameter.

    Raises:
        ValueError: the parameter has no gradient.
    """
    if value.grad is None:
        raise ValueError("a parameter has no gradient; expected a backward pass before the optimiser's step")
    return value.grad


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), with the recommended constants."""

    quantities = ("first_moment", "second_moment")
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    epsilon: ClassVar[float] = 1e-8

    def step_sizes(self) -> np.ndarray:
        """See `Optimizer.step_sizes`."""
        return super().step_sizes() / (1 - self.betas[0] ** self.n_steps)

    def update(self, value: Tensor, gradient: Tensor, step_size: Tensor, *state: Tensor) -> None:
        """See `Optimizer.update`."""
        first, second = state
        beta_1, beta_2 = self.betas
        first.lerp_(gradient, 1 - beta_1)
        second.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
        root = second.sqrt().div_(math.sqrt(1 - beta_2**self.n_steps)).add_(self.epsilon)
        value.sub_(first.mul(step_size).div_(root))


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011), with diagonal matrices."""

    quantities = ("sum_of_squares",)
    epsilon: ClassVar[float] = 1e-10

    def update(self, value: Tensor, gradient: Tensor, step_size: Tensor, *state: Tensor) -> None:
        """See `Optimizer.update`."""
        (squares,) = state
        squares.addcmul_(gradient, gradient)
        value.sub_(gradient.mul(step_size).div_(squares.sqrt().add_(self.epsilon)))


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012), with PyTorch's smoothing constant and without momentum."""

    quantities = ("mean_square",)
    smoothing: ClassVar[float] = 0.99
    epsilon: ClassVar[float] = 1e-8

    def update(self, value: Tensor, gradient: Tensor, step_size: Tensor, *state: Tensor) -> None:
        """See `Optimizer.update`."""
        (mean,) = state
        mean.mul_(self.smoothing).addcmul_(gradient, gradient, value=1 - self.smoothing)
        value.sub_(gradient.mul(step_size).div_(mean.sqrt().add_(self.epsilon)))


class SGD(Optimizer):
    """Stochastic gradient descent with momentum as in PyTorch: the rate multiplies the sum of gradients.

    Attributes:
        momentum: share of the sum that is kept after a step. 0 gives plain descent.
    """

    quantities = ("velocity",)
    momentum: float = 0.0

    def update(self, value: Tensor, gradient: Tensor, step_size: Tensor, *state: Tensor) -> None:
        """See `Optimizer.update`."""
        (velocity,) = state
        velocity.mul_(self.momentum).add_(gradient)
        value.sub_(velocity.mul(step_size))


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "adagrad": Adagrad, "rmsprop": RMSprop, "sgd": SGD}


def make_optimizer(
    name: str, momentum: float, params: Mapping[str, Tensor], learning_rates: Sequence[float]
) -> Optimizer:
    """Return a new optimiser. Only "sgd" uses `momentum`."""
    optimizer = OPTIMIZERS[name](params, learning_rates)
    if isinstance(optimizer, SGD):
        optimizer.momentum = momentum
    return optimizer
