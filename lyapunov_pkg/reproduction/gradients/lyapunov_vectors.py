"""Lyapunov vectors for the comparison with gradients in chapter 4: Q in two conventions, and covariant vectors."""

from __future__ import annotations

import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.covariant import covariant_vectors
from lyapunov_pkg.spectra.finite_time import finite_time_exponents
from lyapunov_pkg.systems import TransposedJacobian


def q_vectors(
    network: Network,
    inputs: Tensor,
    initial_state: Tensor | None,
    convention: str,
    warmup: int = 0,
    n_exponents: int | None = None,
    return_q: bool = True,
) -> xr.Dataset:
    """Return log R_t and orthonormal vectors Q_t after every step, from Q_0 = I.

    Args:
        network: a network of V variants.
        inputs: (B, T, F).
        initial_state: (V, B, S); None: zero.
        convention: "tangent": Q_t R_t = J_t Q_{t-1} (algorithm 1, eq. 4.2); "dissertation": Q_t R_t = J_tᵀ Q_{t-1} (eq.
            4.11).
        warmup: number of first steps that are not returned.
        n_exponents: number of columns of Q_0, the first ones of the identity. Default: all.
        return_q: whether to return Q_t, which takes `state_size` times the memory of log R_t.

    Returns:
        The result of `lyapunov_pkg.finite_time_exponents`.

    Raises:
        KeyError: `convention` is unknown.
    """
    systems: dict[str, Network | TransposedJacobian] = {
        "tangent": network,
        "dissertation": TransposedJacobian(network),
    }
    columns = network.state_size if n_exponents is None else n_exponents
    return finite_time_exponents(
        systems[convention],
        inputs,
        initial_state=initial_state,
        initial_tangents=torch.eye(network.state_size, columns, dtype=inputs.dtype),
        warmup=warmup,
        return_q=return_q,
    )


def settled_vectors(network: Network, inputs: Tensor, initial_state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return vectors without the transient of Q: those of the second of three passes over each sequence.

    The first pass is the warm-up of Q and of the state. The third pass is the backward warm-up of the covariant vectors
    (`lyapunov_pkg.covariant_vectors`).

    Args:
        network: a network of one variant.
        inputs: (B, T, F).
        initial_state: (B, H), before the first pass.

    Returns:
        The state before the second pass (B, H), and the vectors after each of its steps (B, T, H, H), in the columns
        of the last two axes: Q_t with Q_t R_t = J_t Q_{t-1}, and the covariant vectors.
    """
    n_steps = inputs.shape[1]
    state = initial_state[None]
    for x in inputs.unbind(1):
        state = network.step(state, x)
    q = finite_time_exponents(
        network, inputs.repeat(1, 2, 1), initial_state=initial_state, warmup=n_steps, return_q=True
    )["q"]
    covariant = covariant_vectors(
        network, inputs.repeat(1, 3, 1), initial_state=initial_state, warmup=n_steps, backward_warmup=n_steps
    )["covariant_vector"]
    return state[0], torch.from_numpy(q.values[0]), torch.from_numpy(covariant.values[0])
