"""The optimisers of this package agree with those of PyTorch for every variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from lyapunov_pkg.reproduction.training.optimizers import OPTIMIZERS, Optimizer, make_optimizer

RATES = [0.003, 0.01, 0.1]
MOMENTUM = 0.9
THEIRS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "sgd": partial(torch.optim.SGD, momentum=MOMENTUM),
}


def stacked(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Return a matrix and a vector for each of three variants."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"weight": (3, 4, 2), "bias": (3, 4)}
    return {name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in shapes.items()}


def ours_with(name: str, params: Mapping[str, Tensor], rates: Sequence[float] = RATES) -> Optimizer:
    return make_optimizer(name, MOMENTUM, params, rates)


def gradients(step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {name: torch.randn(value.shape, generator=generator, dtype=value.dtype) for name, value in stacked().items()}


def make_steps(optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        for name, gradient in gradients(step).items():
            optimizer.params[name].grad = gradient
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_variant_is_updated_as_in_pytorch_at_its_own_learning_rate(name: str) -> None:
    params = stacked()
    theirs = [{key: value[variant].clone() for key, value in params.items()} for variant in range(3)]
    optimizers = [THEIRS[name](own.values(), lr=rate) for own, rate in zip(theirs, RATES, strict=True)]
    ours = ours_with(name, params)
    for step in range(20):
        make_steps(ours, range(step, step + 1))
        for variant, optimizer in enumerate(optimizers):
            for key, gradient in gradients(step).items():
                theirs[variant][key].grad = gradient[variant]
            optimizer.step()
    for key, value in params.items():
        expected = torch.stack([own[key] for own in theirs])
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_factor_multiplies_all_learning_rates(name: str) -> None:
    slow, decayed = (ours_with(name, stacked(), rates) for rates in ([0.5 * rate for rate in RATES], RATES))
    decayed.factor = 0.5
    for optimizer in (slow, decayed):
        make_steps(optimizer, range(3))
    for key, value in slow.params.items():
        torch.testing.assert_close(value, decayed.params[key])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_state_continues_to_the_same_bits(name: str) -> None:
    whole = ours_with(name, stacked())
    make_steps(whole, range(3))
    copy = ours_with(name, {key: value.clone() for key, value in whole.params.items()})
    copy.restore(whole.arrays())
    make_steps(whole, range(3, 6))
    make_steps(copy, range(3, 6))
    assert all(torch.equal(value, copy.params[key]) for key, value in whole.params.items())


def test_gradients_are_clipped_by_the_norm_of_each_variant() -> None:
    optimizer = ours_with("adam", stacked())
    found = gradients(0)
    for key, gradient in found.items():
        optimizer.params[key].grad = gradient.clone() * torch.tensor([0.01, 1.0, 100.0]).view(
            3, *[1] * (gradient.ndim - 1)
        )
    before = torch.cat([value.grad.flatten(1) for value in optimizer.params.values()], dim=1)
    optimizer.clip_gradients(1.5)
    after = torch.cat([value.grad.flatten(1) for value in optimizer.params.values()], dim=1)
    norms = before.norm(dim=1)
    assert norms[0] < 1.5 < norms[1]
    torch.testing.assert_close(after, before * torch.tensor([1.0, 1.5 / norms[1], 1.5 / norms[2]])[:, None])
