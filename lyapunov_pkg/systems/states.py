"""Nested states, and their flat form (sequence, S), for which exponents are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.systems.numbers import read_numbers

STATE_DIMS = ("variant", "layer", "sequence", "unit")
"""Allowed dimensions of a labelled state, in the order of the result."""

State: TypeAlias = Any
"""A tensor (sequence, ...), or tuples, lists and dicts of them."""


def leaves(state: State, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a nested state, each with its path, such as `['h'][0]`."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            yield from leaves(value, f"{path}[{key!r}]")
    elif is_nesting(state):
        for index, value in enumerate(state):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, state


def is_nesting(state: State) -> bool:
    """Return whether a list or tuple contains tensors or arrays. A list of numbers only is an array."""
    return isinstance(state, list | tuple) and any(
        isinstance(value, Tensor | np.ndarray | xr.DataArray | Mapping) or is_nesting(value) for value in state
    )


def map_leaves(state: State, change: Callable[[Any], Any]) -> State:
    """Return the same nesting with `change` applied to each leaf."""
    if isinstance(state, Mapping):
        return {key: map_leaves(value, change) for key, value in state.items()}
    if is_nesting(state):
        parts = [map_leaves(value, change) for value in state]
        if isinstance(state, list):
            return parts
        # A named tuple takes its fields as separate arguments.
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return change(state)


def read_state(state: State, dims: tuple[str, ...] = STATE_DIMS) -> State:
    """Return the same nesting with checked tensors as leaves.

    Raises:
        TypeError: a leaf is not numeric.
        ValueError: a leaf is not finite, or the state is empty.
    """
    paths = iter([path for path, _ in leaves(state)])
    read = map_leaves(state, lambda leaf: read_numbers(f"initial_state{next(paths)}", leaf, dims))
    if sum(leaf.numel() for _, leaf in leaves(read)) == 0:
        raise ValueError("initial_state: got no numbers, expected at least one state variable")
    return read


def described(state: State) -> str:
    """Return a description of a state: its nesting with the shapes and types of its tensors."""
    if isinstance(state, Mapping):
        return "{" + ", ".join(f"{key!r}: {described(value)}" for key, value in state.items()) + "}"
    if isinstance(state, list | tuple):
        inner = ", ".join(described(value) for value in state)
        return f"[{inner}]" if isinstance(state, list) else f"({inner})"
    if isinstance(state, Tensor):
        return f"{tuple(state.shape)} of {state.dtype}"
    return type(state).__name__


def count_sequences(state: State) -> int:
    """Return the number of sequences of a state: the length of axis 0. Tensors with one axis fit any number.

    Raises:
        ValueError: its tensors have different numbers.
    """
    found = {leaf.shape[0] for _, leaf in leaves(state) if leaf.ndim > 1} - {1}
    if len(found) > 1:
        raise ValueError(
            f"initial_state: got {described(state)}, expected the same number of sequences along axis 0 of all tensors"
        )
    return found.pop() if found else 1


@dataclass(frozen=True)
class StateLayout:
    """The layout of a nested state in a flat one, leaf after leaf.

    Attributes:
        example: the nesting, with leaves (sequence, ...).
    """

    example: State

    @classmethod
    def of(cls, state: State, n_sequences: int) -> tuple[StateLayout, Tensor]:
        """Return the layout of a state from `read_state`, and its flat form (sequence, S).

        A leaf is (sequence, ...). A leaf (1, ...), (S,) or a number is used for all sequences.

        Raises:
            ValueError: a leaf has another number of sequences.
        """
        for path, leaf in leaves(state):
            if leaf.ndim > 1 and leaf.shape[0] not in (1, n_sequences):
                raise ValueError(
                    f"initial_state{path}: got shape {tuple(leaf.shape)}, expected ({n_sequences}, ...): axis 0 is "
                    "that of the sequences, and a tensor with one sequence or one axis is used for all of them"
                )

        def batched(leaf: Tensor) -> Tensor:
            leaf = leaf.reshape(1, -1) if leaf.ndim < 2 else leaf
            return leaf.expand(n_sequences, *leaf.shape[1:])

        example = map_leaves(state, batched)
        layout = cls(map_leaves(example, lambda leaf: leaf[:1].detach()))
        return layout, layout.flatten(example)

    def flatten(self, state: State) -> Tensor:
        """Return the flat form (sequence, S) of a state of this layout."""
        parts = [leaf.flatten(1) for leaf in _aligned(self.example, state)]
        if len(parts) == 1:
            return parts[0]
        widest = max((part.dtype for part in parts), key=lambda dtype: (dtype.is_floating_point, dtype.itemsize))
        return torch.cat([part.to(widest) for part in parts], dim=1)

    def unflatten(self, flat: Tensor) -> State:
        """Return the nested form of a flat state (sequence, S)."""
        sizes = [leaf[0].numel() for _, leaf in leaves(self.example)]
        parts = iter(torch.split(flat, sizes, dim=-1))
        return map_leaves(self.example, lambda leaf: next(parts).reshape(flat.shape[0], *leaf.shape[1:]))

    def kinds(self, state: State) -> list[tuple[torch.Size, torch.dtype]]:
        """Return the shape and type of each leaf of a state, in the order of the layout."""
        return [(leaf.shape, leaf.dtype) for leaf in _aligned(self.example, state)]

    def fits(self, state: State) -> bool:
        """Return whether a state has the nesting and the shapes of this layout, for any number of sequences."""
        return _same_nesting(self.example, state)


def _aligned(example: State, state: State) -> Iterator[Tensor]:
    """Yield the leaves of a state in the order of the example. The order of keys in its dicts does not matter."""
    if isinstance(example, Mapping):
        for key, value in example.items():
            yield from _aligned(value, state[key])
    elif isinstance(example, list | tuple):
        for one, other in zip(example, state, strict=True):
            yield from _aligned(one, other)
    else:
        yield state


def _same_nesting(expected: State, found: State) -> bool:
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == expected.keys()
            and all(_same_nesting(expected[key], found[key]) for key in expected)
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(_same_nesting(one, other) for one, other in zip(expected, found, strict=True))
        )
    return isinstance(found, Tensor) and found.shape[1:] == expected.shape[1:] and found.ndim == expected.ndim
