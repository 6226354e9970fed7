"""Trial steps of a user-defined system, which find errors before the computation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lyapunov_pkg.systems.base import TangentMap


@contextmanager
def random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Restore the state of PyTorch's random generators afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def agree(first: Tensor, second: Tensor) -> bool:
    """Return whether two results of the same function are equal. On a GPU sums may differ by rounding."""
    if first.device.type == "cpu":
        return torch.equal(first.nan_to_num(), second.nan_to_num())
    return torch.allclose(first, second, rtol=1e-4, atol=1e-6, equal_nan=True)


def kind(tensor: Tensor) -> str:
    """Return a description of the shape and type of a tensor."""
    return f"{tuple(tensor.shape)} of {tensor.dtype}"


@torch.no_grad()
def check_tangent_map(
    system: TangentMap,
    state: Tensor,
    inputs: Tensor,
    step: str | None = None,
    advance: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> None:
    """Take one or two steps with tangent vectors, and raise an error if the system mixes sequences or is random.

    One sequence takes one step: there is nothing that it could be mixed with.

    Args:
        system: any system except a `Network`.
        state: (..., sequence, S).
        inputs: (sequence, time, feature).
        step: description of the call of a step that was already tried and is differentiated. None: the system has its
            own `push_forward`.
        advance: function from state and input to the next state, if it costs less than `push_forward`.

    Raises:
        TypeError: `push_forward` does not return two tensors.
        ValueError: `push_forward` fails, returns wrong shapes or types, or differs between two calls. Or a sequence
            changes another one.
    """
    tangents, columns = _separate_directions(state)
    with random_numbers_kept(state.device):
        for x in inputs[:, : min(2, state.shape[-2])].unbind(1):
            after, moved = _pushed(system, state, x, tangents, step)
            if step is None and not all(map(agree, (after, moved), system.push_forward(state, x, tangents))):
                raise ValueError(f"system: push_forward {NOT_DETERMINISTIC}")
            # NaN shows nothing here, because the step may overflow for another sequence.
            strayed = moved.nan_to_num(nan=0.0).abs().amax(dim=-2) * ~columns
            if strayed.any():
                raise ValueError(
                    f"system: a change in the state of one sequence changed another sequence; {_by_itself(state)}"
                )
            if advance is None:
                _refuse_mixing(lambda s, x: system.push_forward(s, x, tangents[..., :1])[0], state, x, after)
            else:
                _refuse_mixing(advance, state, x, after)
            state = after


def _by_itself(state: Tensor) -> str:
    return (
        f"expected a step that treats sequences independently, along axis {state.ndim - 2} of the state, "
        f"{kind(state)}. For a step of one sequence use torch.vmap(step)"
    )


def _refuse_mixing(advance: Callable[[Tensor, Tensor], Tensor], state: Tensor, x: Tensor, after: Tensor) -> None:
    """Raise an error if the result for one sequence changes when the other sequences are made equal to it."""
    if state.shape[-2] < 2:
        return
    tolerance = 1e3 * torch.finfo(state.dtype).eps
    for row in (slice(0, 1), slice(-1, None)):
        alike = advance(state[..., row, :].expand_as(state).contiguous(), x[row].expand_as(x).contiguous())
        found, expected = (value[..., row, :].nan_to_num() for value in (alike, after))
        if not torch.allclose(found, expected, rtol=tolerance, atol=tolerance):
            raise ValueError(
                f"system: the input or the state of one sequence changed the next state of another; {_by_itself(state)}"
            )


NOT_DETERMINISTIC = (
    "returned another state in a second call, expected a deterministic step; give random numbers as inputs, and "
    "switch dropout off with module.eval()"
)
"""Error for a system that draws random numbers or counts its calls."""


def _separate_directions(state: Tensor) -> tuple[Tensor, Tensor]:
    """Return tangent vectors (..., sequence, S, k), and the sequences (sequence, k) in which each is not zero.

    For any two sequences there is a vector that is nonzero in the first and zero in the second.
    """
    n_sequences, size = state.shape[-2:]
    bits = torch.arange(max(1, math.ceil(math.log2(n_sequences))), device=state.device)
    bit_set = (torch.arange(n_sequences, device=state.device)[:, None] >> bits) % 2 == 1
    columns = torch.cat((~bit_set, bit_set), dim=-1) if n_sequences > 1 else ~bit_set
    direction = torch.linspace(1, 2, size, dtype=state.dtype, device=state.device)
    tangents = direction[:, None] * columns[:, None, :].to(state.dtype)
    return tangents.expand(*state.shape[:-2], *tangents.shape).contiguous(), columns


def _pushed(system: TangentMap, state: Tensor, x: Tensor, tangents: Tensor, step: str | None) -> tuple[Tensor, Tensor]:
    try:
        with warnings.catch_warnings():
            # PyTorch's own warnings when it loads its forward derivatives.
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
            returned = system.push_forward(state, x, tangents)
    except Exception as error:
        if step is not None:
            raise ValueError(
                f"system: {step} cannot be differentiated in forward mode: {error}{_how_to_differentiate(error)}"
            ) from error
        called = f"push_forward(state, x, tangents), with state {kind(state)} and x {kind(x)},"
        raise ValueError(f"system: {called} failed: {error}") from error
    if not isinstance(returned, tuple) or not all(isinstance(value, Tensor) for value in returned):
        raise TypeError(f"system: push_forward returned {type(returned).__name__}, expected two tensors in a tuple")
    expected, found = (kind(state), kind(tangents)), tuple(kind(value) for value in returned)
    if found != expected:
        raise ValueError(f"system: push_forward returned {found}, expected {expected} like state and tangents")
    return returned


def _how_to_differentiate(error: Exception) -> str:
    if "random" in str(error):
        return ". Give random numbers as inputs, and switch dropout off with module.eval()"
    return ". Write the step with torch operations only, without NumPy, .item() and .detach().numpy()"
