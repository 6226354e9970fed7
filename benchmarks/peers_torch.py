"""Peers on PyTorch in plain code: (a) automatic and (b) analytic Jacobians with `torch.linalg.qr`, and (e) clvlib.

clvlib receives the analytic Jacobians. The peers share no code with lyapunov_pkg.

Symbols: B sequences, T steps, H hidden units, S state variables, G gates, k exponents. The Jacobian has n rows: S, or H
for jacobian="reduced". A state is (..., S) and contains h, or h and c for an LSTM. Every peer receives the drives W x_t
+ b of all steps.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.func import jacrev, jvp, vmap

Call = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Weights:
    """Weights and drives of a torch.nn.RNN, LSTM or GRU with one layer.

    Attributes:
        architecture: "RNN_TANH", "LSTM" or "GRU", the `mode` of the module.
        recurrent: U, (G*H, H).
        recurrent_bias: (G*H,) of the GRU; zero for the others, because their drives include both biases.
        drives: (B, T, G*H).
    """

    architecture: str
    recurrent: Tensor
    recurrent_bias: Tensor
    drives: Tensor

    @classmethod
    def read(cls, module: torch.nn.RNNBase, inputs: Tensor, dtype: torch.dtype = torch.float32) -> Weights:
        """Read the weights and project inputs (B, T, F)."""
        w_ih, w_hh, b_ih, b_hh = (weight.detach().to(dtype) for weight in module._flat_weights)
        apart = module.mode == "GRU"
        drives = torch.nn.functional.linear(inputs.to(dtype), w_ih, b_ih if apart else b_ih + b_hh)
        return cls(module.mode, w_hh, b_hh if apart else torch.zeros_like(b_hh), drives)

    @property
    def hidden_size(self) -> int:
        """Return H."""
        return self.recurrent.shape[1]

    @property
    def state_size(self) -> int:
        """Return S."""
        return self.hidden_size * (2 if self.architecture == "LSTM" else 1)


def step(weights: Weights, state: Tensor, drive: Tensor) -> Tensor:
    """Return the next state (..., S)."""
    h = state[..., : weights.hidden_size]
    recurrent = torch.nn.functional.linear(h, weights.recurrent, weights.recurrent_bias)
    if weights.architecture == "RNN_TANH":
        return torch.tanh(drive + recurrent)
    if weights.architecture == "LSTM":
        i, f, g, o = (drive + recurrent).chunk(4, dim=-1)
        c = torch.sigmoid(f) * state[..., weights.hidden_size :] + torch.sigmoid(i) * torch.tanh(g)
        return torch.cat([torch.sigmoid(o) * torch.tanh(c), c], dim=-1)
    (x_r, x_z, x_n), (h_r, h_z, h_n) = drive.chunk(3, dim=-1), recurrent.chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    return (1 - z) * torch.tanh(x_n + r * h_n) + z * h


def step_and_jacobian(weights: Weights, state: Tensor, drive: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Return the next states (B, S) and the analytic Jacobians (B, n, n) at states (B, S); `rows` is n."""
    size = weights.hidden_size
    h = state[:, :size]
    u = weights.recurrent.view(-1, size, size)
    recurrent = torch.addmm(weights.recurrent_bias, h, weights.recurrent.mT)
    if weights.architecture == "RNN_TANH":
        h = torch.tanh(drive + recurrent)
        return h, _combination([1 - h * h], u)
    if weights.architecture == "LSTM":
        c = state[:, size:]
        i, f, g, o = (drive + recurrent).chunk(4, dim=-1)
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        c_next = f * c + i * g
        tanh_c = torch.tanh(c_next)
        through_c = o * (1 - tanh_c * tanh_c)
        to_c = [i * (1 - i) * g, f * (1 - f) * c, i * (1 - g * g)]
        to_h = [through_c * factor for factor in to_c] + [o * (1 - o) * tanh_c]
        state = torch.cat([o * tanh_c, c_next], dim=-1)
        if rows == size:
            return state, _combination(to_h, u)
        jacobian = h.new_empty(len(h), rows, rows)
        jacobian[:, :size, :size] = _combination(to_h, u)
        jacobian[:, size:, :size] = _combination(to_c, u)
        jacobian[:, :size, size:] = torch.diag_embed(through_c * f)
        jacobian[:, size:, size:] = torch.diag_embed(f)
        return state, jacobian
    (x_r, x_z, x_n), (h_r, h_z, h_n) = drive.chunk(3, dim=-1), recurrent.chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    to_n = (1 - z) * (1 - n * n)
    jacobian = _combination([to_n * h_n * r * (1 - r), z * (1 - z) * (h - n), to_n * r], u)
    jacobian.diagonal(dim1=-2, dim2=-1).add_(z)
    return (1 - z) * n + z * h, jacobian


def _combination(factors: list[Tensor], u: Tensor) -> Tensor:
    """Return sum_g diag(factors_g) U_g, (B, H, H). In-place operations are faster here than einsum."""
    total = factors[0].unsqueeze(-1) * u[0]
    for factor, block in zip(factors[1:], u[1:], strict=False):
        total.addcmul_(factor.unsqueeze(-1), block)
    return total


@torch.no_grad()
def log_growth(weights: Weights, rows: int, n_exponents: int) -> Tensor:
    """Return log |diag R| of every step, (B, T, k), from analytic Jacobians and `torch.linalg.qr`.

    In float64, this is the reference of all results.
    """
    n_sequences = len(weights.drives)
    state = weights.drives.new_zeros(n_sequences, weights.state_size)
    q = torch.eye(rows, n_exponents, dtype=state.dtype).expand(n_sequences, -1, -1)
    logs = []
    for drive in weights.drives.unbind(dim=1):
        state, jacobian = step_and_jacobian(weights, state, drive, rows)
        q, r = torch.linalg.qr(torch.bmm(jacobian, q))
        logs.append(r.diagonal(dim1=-2, dim2=-1).abs().log())
    return torch.stack(logs, dim=1)


def analytic(module: torch.nn.RNNBase, inputs: Tensor, rows: int, n_exponents: int, n_cores: int) -> Call:
    """Return the computation of (b): analytic Jacobians, and per step a batched product and `torch.linalg.qr`."""
    return lambda: _averaged(log_growth(Weights.read(module, inputs), rows, n_exponents))


def automatic(module: torch.nn.RNNBase, inputs: Tensor, rows: int, n_exponents: int, n_cores: int) -> Call:
    """Return the computation of (a), which is (b) with Jacobians from torch.func under `vmap` over sequences.

    For all exponents it uses `jacrev`, which is faster than `jacfwd` here. For some exponents it uses `jvp` along the
    tangent vectors, which needs far less work than a complete Jacobian.
    """

    @torch.no_grad()
    def call() -> np.ndarray:
        weights = Weights.read(module, inputs)

        def leading(part: Tensor, state: Tensor, drive: Tensor) -> tuple[Tensor, Tensor]:
            following = step(weights, torch.cat([part, state[rows:]]), drive)
            return following[:rows], following

        def pushed_along(tangent: Tensor, state: Tensor, drive: Tensor) -> Tensor:
            return jvp(lambda part: leading(part, state, drive)[0], (state[:rows],), (tangent,))[1]

        push = vmap(vmap(pushed_along, in_dims=(-1, None, None), out_dims=-1))
        n_sequences = len(inputs)
        jacobians = vmap(jacrev(leading, has_aux=True))
        state = weights.drives.new_zeros(n_sequences, weights.state_size)
        q = torch.eye(rows, n_exponents).expand(n_sequences, -1, -1)
        logs = []
        for drive in weights.drives.unbind(dim=1):
            if n_exponents == rows:
                jacobian, state = jacobians(state[:, :rows], state, drive)
                pushed = torch.bmm(jacobian, q)
            else:
                pushed, state = push(q, state, drive), step(weights, state, drive)
            q, r = torch.linalg.qr(pushed)
            logs.append(r.diagonal(dim1=-2, dim2=-1).abs().log())
        return _averaged(torch.stack(logs, dim=1))

    return call


def clvlib(module: torch.nn.RNNBase, inputs: Tensor, rows: int, n_exponents: int, n_cores: int) -> Call:
    """Return the computation of (e): clvlib's PyTorch backend, `lyap_exp` with `stepper="discrete"`.

    `lyap_exp` takes one trajectory per call. The sequences are therefore distributed over as many threads as there are
    cores, and PyTorch's own parallelism is off in each. The inputs enter through the time: the Jacobians of all steps
    are computed in one batch and looked up. `lyap_exp` only passes the state on, so that the trajectory is empty and f
    is the identity.
    """
    from clvlib.pytorch import lyap_exp

    return _by_clvlib(lyap_exp, module, inputs, rows, n_exponents, torch.float32, n_cores)


def _by_clvlib(
    analysis: Callable[..., tuple[Tensor, ...]],
    module: torch.nn.RNNBase,
    inputs: Tensor,
    rows: int,
    n_exponents: int,
    dtype: torch.dtype,
    n_cores: int,
) -> Call:
    """Return the computation of exponents by a function of clvlib whose first result is the exponents."""
    pool = ThreadPoolExecutor(n_cores, initializer=torch.set_num_threads, initargs=(1,))

    @torch.no_grad()
    def one(weights: Weights, states: Tensor, drives: Tensor) -> Tensor:
        _, jacobians = step_and_jacobian(weights, states, drives, rows)
        n_steps = len(jacobians)
        return analysis(
            lambda t, x: x,
            lambda t, x: jacobians[int(t)],
            jacobians.new_zeros(n_steps + 1, rows),
            torch.arange(n_steps + 1.0),
            stepper="discrete",
            n_lyap=n_exponents,
        )[0]

    @torch.no_grad()
    def call() -> np.ndarray:
        weights = Weights.read(module, inputs, dtype)
        states = [weights.drives.new_zeros(len(inputs), weights.state_size)]
        for drive in weights.drives.unbind(dim=1)[:-1]:
            states.append(step(weights, states[-1], drive))
        each = pool.map(partial(one, weights), torch.stack(states, dim=1), weights.drives)
        return _sorted(torch.stack(list(each)).numpy())

    return call


def clvlib_vectors(
    module: torch.nn.RNNBase, inputs: Tensor, rows: int, n_exponents: int, dtype: str, n_cores: int
) -> Call:
    """Return the exponents from clvlib's `lyap_analysis`, which computes covariant vectors in addition to exponents."""
    from clvlib.pytorch import lyap_analysis

    return _by_clvlib(lyap_analysis, module, inputs, rows, n_exponents, getattr(torch, dtype), n_cores)


@torch.no_grad()
def jacobian_after(weights: Weights, n_steps: int, rows: int) -> Tensor:
    """Return the Jacobians (B, n, n) of the step after the first `n_steps`."""
    state = weights.drives.new_zeros(len(weights.drives), weights.state_size)
    for drive in weights.drives.unbind(dim=1)[:n_steps]:
        state = step(weights, state, drive)
    return step_and_jacobian(weights, state, weights.drives[:, n_steps], rows)[1]


def _averaged(logs: Tensor) -> np.ndarray:
    return _sorted(logs.to(torch.float64).mean(dim=1).numpy())


def _sorted(exponents: np.ndarray) -> np.ndarray:
    return -np.sort(-exponents, axis=-1)
