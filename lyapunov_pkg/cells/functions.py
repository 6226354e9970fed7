"""The nonlinearities of cells and their slopes for tensors. `sequences.numbers` has them for single numbers.

They use methods of the tensors, so that this module loads without PyTorch, like those of all cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sigmoid(a: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-a))."""
    return a.sigmoid()


def sigmoid_slope(a: Tensor) -> Tensor:
    """Return sigmoid'(a) = sigmoid(a) sigmoid(-a), which is accurate even if tiny, unlike s (1 - s)."""
    return a.sigmoid() * (-a).sigmoid()


def tanh(a: Tensor) -> Tensor:
    """Return tanh(a)."""
    return a.tanh()


def tanh_slope(a: Tensor) -> Tensor:
    """Return tanh'(a) = sech²(a) = 4 sigmoid(2a) sigmoid(-2a), which is accurate even if tiny, unlike 1 - tanh²(a)."""
    return 4 * sigmoid_slope(2 * a)


def relu(a: Tensor) -> Tensor:
    """Return max(a, 0)."""
    return a.relu()


def relu_slope(a: Tensor) -> Tensor:
    """Return 1 where a >= 0, otherwise 0. The value at 0 is that of the dissertation's eq. 2.4."""
    return (a >= 0).to(a.dtype)
