"""Flips of pixels, their order, and their effect on a network's loss (chapter 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lyapunov_pkg.networks import Network

SEQUENCES_TOGETHER = 1000  # bounds memory, changes no result beyond rounding


def flip(inputs: Tensor, places: Tensor) -> Tensor:
    """Return inputs with flipped pixels (algorithm 3): nonzero values become 0, and zeros become 1.

    Args:
        inputs: (B, T, 1).
        places: steps of the flipped pixels, (..., B, k), without repetitions.

    Returns:
        (..., B, T, 1).
    """
    values = inputs[..., 0].expand(*places.shape[:-1], -1)
    return values.scatter(-1, places, (values.gather(-1, places) == 0).to(values))[..., None]


def descending(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Return the order (..., T) of descending scores (..., T). Equal scores are in random order."""
    shuffled = torch.rand(scores.shape, generator=generator).argsort(-1)
    order = scores.gather(-1, shuffled).argsort(dim=-1, descending=True, stable=True)
    return shuffled.gather(-1, order)


def among_later(order: Tensor, n_early: int) -> Tensor:
    """Return orders (..., T) without the first `n_early` steps, (..., T - n_early)."""
    return order[order >= n_early].view(*order.shape[:-1], -1)


def of_other_images(order: Tensor, n_others: int) -> Tensor:
    """Return the orders (n_others, B, T) of the next few images for each image, from the orders (B, T) of all.

    Such pixels are as early in the sequence as an image's own, but are otherwise unrelated to it.
    """
    return torch.stack([order.roll(-shift, 0) for shift in range(1, n_others + 1)])


def share_among_first(order: Tensor, count: int) -> float:
    """Return the share of the first `count` entries of orders (B, T) that are among the first `count` steps."""
    return (order[:, :count] < count).double().mean().item()


def input_gradients(network: Network, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the derivative (B, T) of each sequence's loss after the last step by its inputs (B, T, 1)."""
    inputs = inputs.clone().requires_grad_()
    loss = cross_entropy(network.forward(inputs, last_only=True)[0], labels, reduction="sum")
    return torch.autograd.grad(loss, inputs)[0][..., 0]


@torch.no_grad()
def sequence_losses(network: Network, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy (n, B) in nats after the last step of sequences (n, B, T, F) with labels (B,).

    The network runs in float32, in which it was trained, and which is several times faster than float64.
    """
    network = network.to(dtype=torch.float32)
    sequences = inputs.float().flatten(0, 1).split(SEQUENCES_TOGETHER)
    logits = torch.cat([network.forward(part, last_only=True)[0] for part in sequences]).double()
    return cross_entropy(logits, labels.repeat(len(inputs)), reduction="none").view(inputs.shape[:2])
