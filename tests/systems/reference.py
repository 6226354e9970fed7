"""Exponents for tests: from the public functions, and independently from reverse-mode differentiation and LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.spectra.driven import driven_system, orthonormalizations

FEATURES, UNITS = 3, 4


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exponents(
    system: Any, inputs: Any = None, warmup: int = 0, orthonormalize_every: int = 1, **arguments: Any
) -> np.ndarray:
    """Return the library's exponents of a system as (sequence, exponent) or (variant, sequence, exponent)."""
    driven = driven_system(system, inputs, **arguments)
    with torch.no_grad():
        ends = list(orthonormalizations(driven, warmup=warmup, orthonormalize_every=orthonormalize_every))
    mean = sum(end.log_r.double() for end in ends) / sum(end.length for end in ends)
    return driven.results(mean.sort(dim=-1, descending=True).values).numpy()


def by_lapack(
    step: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    state: Tensor,
    tangents: np.ndarray | None = None,
    warmup: int = 0,
    rows: np.ndarray | slice = slice(None),
) -> np.ndarray:
    """Return exponents of one sequence in float64, from reverse-mode Jacobians and NumPy's QR.

    Args:
        step: function of a state (S,) and an input (F,) that returns the next state.
        inputs: (T, F).
        state: (S,).
        tangents: initial tangent vectors (S, k); None means the identity.
        warmup: number of steps that are not measured.
        rows: rows of the state whose Jacobian is used; the other rows are driven.
    """
    q = np.eye(len(state[rows])) if tangents is None else tangents
    total = np.zeros(q.shape[1])
    for time, x in enumerate(inputs):
        jacobian = torch.autograd.functional.jacobian(lambda point, x=x: step(point, x), state).numpy()
        q, r = np.linalg.qr(jacobian[rows][:, rows] @ q)
        total += np.log(np.abs(np.diag(r))) * (time >= warmup)
        state = step(state, x).detach()
    return np.sort(total / (len(inputs) - warmup))[::-1]


def own_step(module: torch.nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Return one step through a recurrent module's own forward, on a state (S,).

    The state has one block per layer, with h before c.
    """
    has_cell_state = isinstance(module, torch.nn.LSTM | torch.nn.LSTMCell)
    hidden = getattr(module, "proj_size", 0) or module.hidden_size
    sizes = [hidden, module.hidden_size] if has_cell_state else [hidden]
    module.eval()

    def step(state: Tensor, x: Tensor) -> Tensor:
        n_layers = getattr(module, "num_layers", 1)
        blocks = state.split(sizes * n_layers)
        parts = [torch.stack(blocks[i :: len(sizes)])[:, None] for i in range(len(sizes))]
        if isinstance(module, torch.nn.RNNBase):
            after = module(x[None, None], tuple(parts) if has_cell_state else parts[0])[1]
            after = list(after) if has_cell_state else [after]
        else:
            after = module(x[None], tuple(part[0] for part in parts) if has_cell_state else parts[0][0])
            after = [part[None] for part in (after if has_cell_state else [after])]
        return torch.cat([part[layer, 0] for layer in range(n_layers) for part in after])

    return step


def of_module(module: torch.nn.Module, inputs: Tensor) -> np.ndarray:
    """Return all exponents of a torch.nn recurrent module for inputs (B, T, F) and initial states of zero."""
    step = own_step(module)
    hidden = getattr(module, "proj_size", 0) or module.hidden_size
    has_cell_state = isinstance(module, torch.nn.LSTM | torch.nn.LSTMCell)
    size = getattr(module, "num_layers", 1) * (hidden + module.hidden_size * has_cell_state)
    start = torch.zeros(size, dtype=torch.float64)
    if getattr(module, "proj_size", 0):
        return np.stack([by_lapack(step, x, start) for x in inputs])
    # The library starts a stack of layers from the directions of the last layer, which span an invariant subspace.
    # Hence the exponents are those of the diagonal blocks of the Jacobians.
    layers = np.split(np.arange(size), getattr(module, "num_layers", 1))
    spectra = [[by_lapack(step, x, start, rows=rows) for rows in layers] for x in inputs]
    return np.sort(np.stack([np.concatenate(of_layers) for of_layers in spectra]))[:, ::-1]
