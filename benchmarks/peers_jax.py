"""Peers on JAX: (c) a jitted scan of `jax.jvp` and `jnp.linalg.qr`, and (d) lyapax.

They run in float32, like every contestant. Symbols are those of `peers_torch`, which also reads the weights. Weights
and inputs are on JAX's device beforehand. The projection of the inputs is part of the timed computation, as for the
other peers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg  # noqa: F401 - loads the OpenBLAS whose LAPACK JAX calls
import torch
from jax import Array, lax
from threadpoolctl import ThreadpoolController

Call = Callable[[], np.ndarray]
Arrays = dict[str, Array]


def step(architecture: str, weights: Arrays, h: Array, c: Array, drive: Array) -> tuple[Array, Array]:
    """Return the next hidden and cell state (H,) of one sequence; the cell state is empty except for LSTM."""
    recurrent = weights["w_hh"] @ h
    if architecture == "RNN_TANH":
        return jnp.tanh(drive + recurrent), c
    if architecture == "LSTM":
        i, f, g, o = jnp.split(drive + recurrent, 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c
    (x_r, x_z, x_n), (h_r, h_z, h_n) = jnp.split(drive, 3), jnp.split(recurrent + weights["b_hh"], 3)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    return (1 - z) * jnp.tanh(x_n + r * h_n) + z * h, c


def jitted_scan(module: torch.nn.RNNBase, inputs: torch.Tensor, rows: int, n_exponents: int, n_cores: int) -> Call:
    """Return the computation of (c): `lax.scan` over steps and `vmap` over sequences.

    Each step is linearised once, and the linear map is applied to all tangent vectors.
    """

    def exponents(weights: Arrays, drives: Array) -> Array:
        found = _log_growth(module, rows, n_exponents, weights, drives).mean(axis=0)
        return jnp.sort(found, descending=True)

    return _call(module, inputs, exponents)


def finite_time(module: torch.nn.RNNBase, inputs: torch.Tensor, rows: int, n_exponents: int, n_cores: int) -> Call:
    """Return the computation of (c) for the exponents of every step, (B, T, k)."""
    return _call(module, inputs, partial(_log_growth, module, rows, n_exponents))


def _log_growth(module: torch.nn.RNNBase, rows: int, n_exponents: int, weights: Arrays, drives: Array) -> Array:
    """Return log |diag R| of every step of a sequence, (T, k)."""
    size = module.hidden_size

    def body(carry: tuple[Array, Array, Array], drive: Array) -> tuple[tuple[Array, Array, Array], Array]:
        h, c, q = carry

        def leading(part: Array) -> tuple[Array, tuple[Array, Array]]:
            following = step(module.mode, weights, part[:size], part[size:] if rows > size else c, drive)
            return jnp.concatenate(following)[:rows], following

        _, push, (h, c) = jax.linearize(leading, jnp.concatenate([h, c])[:rows], has_aux=True)
        q, r = jnp.linalg.qr(jax.vmap(push, in_axes=-1, out_axes=-1)(q))
        return (h, c, q), jnp.log(jnp.abs(jnp.diagonal(r)))

    start = (jnp.zeros(size), jnp.zeros(_cell_size(module)), jnp.eye(rows, n_exponents))
    return lax.scan(body, start, drives)[1]


def lyapax(module: torch.nn.RNNBase, inputs: torch.Tensor, rows: int, n_exponents: int, n_cores: int) -> Call:
    """Return the computation of (d): lyapax's `lyapunov_spectrum` of a step function, under `vmap` and `jit`.

    lyapax iterates a map of the state alone. The step number is therefore an additional state variable, with which the
    step looks up its drive. The initial tangent vectors are those of all contestants. lyapax receives them through
    `resume`, its interface for continued runs. They have no component along the additional variable, and this component
    stays zero.

    For jacobian="reduced", the cell states are computed beforehand and looked up in the same way. lyapax warns that
    float64 is advisable. The warning is silenced, because all contestants run in float32.
    """
    from lyapax import LyapunovCheckpoint, lyapunov_spectrum

    size = module.hidden_size

    def exponents(weights: Arrays, drives: Array) -> Array:
        cells = _cell_states(module, weights, drives) if rows == size else None

        def numbered_step(state: Array) -> Array:
            number = state[-1].astype(int)
            c = state[size:-1] if cells is None else cells[number]
            following = jnp.concatenate(step(module.mode, weights, state[:size], c, drives[number]))
            return jnp.append(following[:rows], state[-1] + 1)

        start = LyapunovCheckpoint(
            state=jnp.zeros(rows + 1),
            Y=jnp.eye(rows + 1, n_exponents),
            cum_log_growth=jnp.zeros(n_exponents),
            elapsed_time=jnp.zeros(()),
            dt=1.0,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="lyapax: jax_enable_x64")
            found = lyapunov_spectrum(
                numbered_step, start.state, dt=1.0, n_steps=len(drives), k=n_exponents, resume=start
            ).exponents
            return jnp.sort(found, descending=True)

    return _call(module, inputs, exponents)


def lyapax_of_system(name: str, starts: np.ndarray, n_steps: int, n_cores: int) -> Call:
    """Return the computation of (d) for trajectories (trajectory, S) of a system, in float64, from our tangents."""
    from lyapax import LyapunovCheckpoint, lyapunov_spectrum

    def runge_kutta(field: Callable[[Array], Array], h: float) -> Callable[[Array], Array]:
        def advance(state: Array) -> Array:
            first = field(state)
            second = field(state + h / 2 * first)
            third = field(state + h / 2 * second)
            return state + h / 6 * (first + 2 * (second + third) + field(state + h * third))

        return advance

    def henon(s: Array) -> Array:
        return jnp.array([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]])

    def lorenz(s: Array) -> Array:
        return jnp.array([10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]])

    def rossler(s: Array) -> Array:
        return jnp.array([-s[1] - s[2], s[0] + 0.2 * s[1], 0.2 + s[2] * (s[0] - 5.7)])

    advance, dt = {
        "Henon": (henon, 1.0),
        "Lorenz": (runge_kutta(lorenz, 0.01), 0.01),
        "Rossler": (runge_kutta(rossler, 0.05), 0.05),
    }[name]
    size = starts.shape[1]

    def exponents(state: Array) -> Array:
        start = LyapunovCheckpoint(
            state=state, Y=jnp.eye(size), cum_log_growth=jnp.zeros(size), elapsed_time=jnp.zeros(()), dt=dt
        )
        return lyapunov_spectrum(advance, state, dt=dt, n_steps=n_steps, k=size, resume=start).exponents

    with jax.enable_x64():
        compiled, initial = jax.jit(jax.vmap(exponents)), jnp.asarray(starts)

    def call() -> np.ndarray:
        with jax.enable_x64():
            return -np.sort(-np.asarray(compiled(initial)), axis=-1)

    return call


def _cell_states(module: torch.nn.RNNBase, weights: Arrays, drives: Array) -> Array:
    """Return the cell state (T, H) before each step."""

    def body(state: tuple[Array, Array], drive: Array) -> tuple[tuple[Array, Array], Array]:
        return step(module.mode, weights, *state, drive), state[1]

    return lax.scan(body, (jnp.zeros(module.hidden_size), jnp.zeros(_cell_size(module))), drives)[1]


def _cell_size(module: torch.nn.RNNBase) -> int:
    return module.hidden_size if module.mode == "LSTM" else 0


def _call(module: torch.nn.RNNBase, inputs: torch.Tensor, exponents: Callable[[Arrays, Array], Array]) -> Call:
    """Return the jitted computation of all sequences."""
    names = ("w_ih", "w_hh", "b_ih", "b_hh")
    weights = {
        name: jnp.asarray(value.detach().numpy()) for name, value in zip(names, module._flat_weights, strict=True)
    }
    sequences = jnp.asarray(inputs.numpy())

    @jax.jit
    def compiled(weights: Arrays, sequences: Array) -> Array:
        bias = weights["b_ih"] if module.mode == "GRU" else weights["b_ih"] + weights["b_hh"]
        return jax.vmap(partial(exponents, weights))(sequences @ weights["w_ih"].T + bias)

    one_thread = _openblas_on_one_thread()

    def call() -> np.ndarray:
        with one_thread():
            return np.asarray(compiled(weights, sequences))

    return call


def _openblas_on_one_thread() -> Callable[[], AbstractContextManager[Any]]:
    """Switch off the threads of SciPy's OpenBLAS, whose LAPACK JAX calls for QR.

    XLA calls it from its own thread pool, so OpenBLAS's threads would only compete with those of XLA.
    """
    openblas = ThreadpoolController().select(internal_api="openblas")
    return partial(openblas.limit, limits=1)
