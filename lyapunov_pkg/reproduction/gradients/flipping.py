"""Pixels that are flipped, the order in which they are, and what flips do to a network's loss (chapter 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lyapunov_pkg.networks import Network

SEQUENCES_TOGETHER = 1000  # bounds memory, changes no number beyond rounding


def flip(inputs: Tensor, places: Tensor) -> Tensor:
    """Flip pixels (algorithm 3): what is not zero becomes 0, what is zero becomes 1.

    Args:
        inputs: (B, T, 1).
        places: steps to flip, (..., B, k), each once.

    Returns:
        (..., B, T, 1).
    """
    values = inputs[..., 0].expand(*places.shape[:-1], -1)
    return values.scatter(-1, places, (values.gather(-1, places) == 0).to(values))[..., None]


def descending(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Return the order (..., T) that puts the highest scores (..., T) first; ties in random order."""
    shuffled = torch.rand(scores.shape, generator=generator).argsort(-1)
    order = scores.gather(-1, shuffled).argsort(dim=-1, descending=True, stable=True)
    return shuffled.gather(-1, order)


def among_later(order: Tensor, n_early: int) -> Tensor:
    """Return orders (..., T) without the first `n_early` steps, (..., T - n_early)."""
    return order[order >= n_early].view(*order.shape[:-1], -1)


def of_other_images(order: Tensor, n_others: int) -> Tensor:
    """Return the orders (n_others, B, T) that other images have, each of the next few, from those of all (B, T).

    Such places come as early in the sequence as an image's own, but have nothing else to do with it.
    """
    return torch.stack([order.roll(-shift, 0) for shift in range(1, n_others + 1)])


def share_among_first(order: Tensor, count: int) -> float:
    """Return which share of the first `count` places of orders (B, T) are among the first `count` steps."""
    return (order[:, :count] < count).double().mean().item()


def input_gradients(network: Network, inputs: Tensor, labels: Tensor) -> Tensor:
    """Derivative of each sequence's loss after the last step by its inputs (B, T, 1): (B, T)."""
    inputs = inputs.clone().requires_grad_()
    loss = cross_entropy(network.forward(inputs, last_only=True)[0], labels, reduction="sum")
    return torch.autograd.grad(loss, inputs)[0][..., 0]


@torch.no_grad()
def sequence_losses(network: Network, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy (n, B) in nats after the last step of sequences (n, B, T, F) with labels (B,).

    The network runs in float32, in which it was trained and which is several times as fast.
    """
    network = network.to(dtype=torch.float32)
    sequences = inputs.float().flatten(0, 1).split(SEQUENCES_TOGETHER)
    logits = torch.cat([network.forward(part, last_only=True)[0] for part in sequences]).double()
    return cross_entropy(logits, labels.repeat(len(inputs)), reduction="none").view(inputs.shape[:2])
