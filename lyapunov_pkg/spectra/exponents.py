"""Lyapunov exponents of driven systems: Algorithms 1 and 2 of the dissertation (chapter 2).

`average_exponents` is the algorithm, tensors in and tensors out, for any stack of systems; `lyapunov_spectrum` is its
checked and labelled form for one network, or one stack of them, and its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Literal, Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.linalg import orthonormalize
from lyapunov_pkg.networks import Network, from_torch
from lyapunov_pkg.store import describe


class TangentMap(Protocol):
    """What the computation of exponents asks of a system: a step that carries tangent vectors along."""

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """From state (..., S), input (..., F) and tangents (..., S, k): the next state, and J times the tangents."""


@torch.no_grad()
def average_exponents(
    system: TangentMap,
    inputs: Tensor,
    initial_state: Tensor,
    initial_tangents: Tensor,
    *,
    warmup: int = 0,
    orthonormalize_every: int = 1,
) -> Tensor:
    """Average log expansion rates of tangent vectors along driven trajectories (Algorithm 2, eq. 2.7).

    State and tangents evolve through the first `warmup` steps without being measured. Every `orthonormalize_every`
    steps (T_ON) the tangents are orthonormalised and their log lengths added up; a shorter last interval counts too.
    Between two orthonormalisations whatever is smaller than the rounding error of the fastest direction is lost, so
    that a long interval spoils the trailing exponents: in float32 they come out too large (dissertation, figure 2.5),
    in float64 as -inf where `orthonormalize` finds them lost. Sums are taken in float64.

    Args:
        system: a `Network`, or anything with `push_forward(state, x, tangents)`.
        inputs: (V, B, T, F), (B, T, F) for all variants alike, or whatever else precedes (T, F) that the system takes.
        initial_state: (V, B, S), or (B, S) for a system without variants.
        initial_tangents: (rows, k) for all alike, or (V, B, rows, k): orthonormal columns, which need not be complete.
        warmup: steps of `inputs` that are not measured.
        orthonormalize_every: T_ON, in steps.

    Returns:
        (V, B, k) or (B, k): natural log per time step, decreasing along the last axis, in the dtype of the tangents.
        -inf where the Jacobians are singular; NaN for a trajectory that does not stay finite.

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is not positive.
    """
    n_steps = inputs.shape[-2]
    if not 0 <= warmup < n_steps:
        raise ValueError(f"warmup: got {warmup}, expected 0 or more and fewer than the {n_steps} time steps of inputs")
    if orthonormalize_every < 1:
        raise ValueError(f"orthonormalize_every: got {orthonormalize_every}, expected 1 step or more")
    state = initial_state
    tangents = initial_tangents.expand(*state.shape[:-1], *initial_tangents.shape[-2:])
    totals = torch.zeros((), dtype=torch.float64, device=state.device)
    for step in range(n_steps):
        state, tangents = system.push_forward(state, inputs[..., step, :], tangents)
        measured = step + 1 - warmup
        # Intervals are counted from the end of the warm-up, so that one ends there and none straddles it.
        if measured % orthonormalize_every == 0 or step + 1 == n_steps:
            tangents, log_r = orthonormalize(tangents)
            if measured > 0:
                totals = totals + log_r
    exponents = (totals / (n_steps - warmup)).sort(dim=-1, descending=True).values
    # A map that saturates can have a finite Jacobian at an infinite state.
    stays_finite = torch.isfinite(state).all(dim=-1, keepdim=True)
    return torch.where(stays_finite, exponents, torch.nan).to(tangents.dtype)


def lyapunov_spectrum(
    network: torch.nn.RNNBase | Network | TangentMap | Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    state: Literal["full", "hidden"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> xr.Dataset:
    """Lyapunov spectrum of a recurrent network driven by each of several input sequences.

    Tangent vectors start as the first columns of the identity and are multiplied by the analytic Jacobian of each step;
    see `average_exponents` for the algorithm (dissertation, Algorithm 2). Spectra are not averaged over sequences.

    Args:
        network: torch.nn.RNN, LSTM or GRU of any depth (dropout is not applied); a `Network` of this package, which
            may hold many variants; an object with `push_forward(state, x, tangents)`, such as those of
            `lyapunov_pkg.systems`; or a function `step(state, x) -> state` on states (sequence, S) and inputs
            (sequence, feature), which is differentiated automatically and needs `initial_state`.
        inputs: (sequence, time, feature) in this order whatever the module's `batch_first`, tensor or array.
        n_exponents: how many leading exponents to compute; default all, one per row of the Jacobian.
        state: "full" takes the Jacobian of the whole state (LSTM: h and c), "hidden" the dissertation's reduced one,
            dh_t/dh_{t-1} with the cell state held.
        initial_state: (S,), (sequence, S), or (variant, sequence, S), layer after layer, and in each the hidden units
            first (LSTM: h, c); default zeros, or what a system itself starts from.
        warmup: number of first time steps that move state and tangent vectors but are not measured.
        orthonormalize_every: steps from one QR decomposition to the next (T_ON of Algorithm 2). Larger is faster;
            trailing exponents lose accuracy first.
        dtype: torch.float32 or torch.float64; default that of the network, else of the inputs.
        device: default that of the network, else of the inputs.

    Returns:
        Dataset with `lyapunov_exponent(sequence, exponent)`, or `(variant, sequence, exponent)` for a `Network`, in
        natural log per time step, decreasing along `exponent`. -inf: singular Jacobians; NaN: the trajectory diverged.

    Raises:
        TypeError: `network` is none of these.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included.
    """
    if state not in ("full", "hidden"):
        raise ValueError(f'state: got {state!r}, expected "full" or "hidden"')
    system = _as_system(network)
    sequences = _finite_tensor("inputs", inputs)
    dtype, device = _placement(system, sequences, dtype, device)
    if isinstance(system, Network):
        system = system.to(device=device, dtype=dtype)
    sequences = _checked_inputs(sequences, getattr(system, "input_size", None)).to(device=device, dtype=dtype)
    start = _start(system, initial_state, len(sequences)).to(device=device, dtype=dtype)
    rows = _tangent_rows(system, state, start.shape[-1])
    exponents = average_exponents(
        system,
        sequences,
        start,
        torch.eye(rows, _checked_count(n_exponents, rows), dtype=dtype, device=device),
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
    )
    if isinstance(network, torch.nn.RNNBase):
        exponents = exponents.squeeze(0)
    attributes = {"dtype": str(dtype).removeprefix("torch."), "state": state, "warmup": warmup}
    attributes |= {"orthonormalize_every": orthonormalize_every, "lyapunov_pkg_version": version("lyapunov-pkg")}
    return _labelled(exponents, attributes)


class _DifferentiatedStep:
    """A step function with its tangent map from forward-mode automatic differentiation."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.step = step

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        def along(tangent: Tensor) -> tuple[Tensor, Tensor]:
            return torch.func.jvp(lambda point: self.step(point, x), (state,), (tangent,))

        return torch.func.vmap(along, in_dims=-1, out_dims=(None, -1))(tangents)


def _as_system(network: object) -> TangentMap:
    if isinstance(network, torch.nn.RNNBase):
        network = from_torch(network)
    if isinstance(network, Network):
        bad = [name for name, weights in network.params.items() if not torch.isfinite(weights).all()]
        if bad:
            raise ValueError(f"network: NaN or infinite weights in {bad}, expected finite weights")
        return network
    if hasattr(network, "push_forward"):
        return network
    # A torch.nn module is called with the input first: taking it for a step would swap its arguments unnoticed.
    if callable(network) and not isinstance(network, torch.nn.Module):
        return _DifferentiatedStep(network)
    raise TypeError(
        f"network: got {type(network).__name__}, expected torch.nn.RNN, LSTM or GRU, a Network of lyapunov_pkg, "
        "an object with push_forward(state, x, tangents), or a function step(state, x) -> state"
    )


def _finite_tensor(name: str, values: Tensor | ArrayLike) -> Tensor:
    # A copy of an array: PyTorch cannot share read-only memory or negative strides.
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, order="C"))
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name}: found NaN or infinite values, expected finite numbers")
    return tensor


def _placement(
    system: TangentMap, inputs: Tensor, dtype: torch.dtype | None, device: torch.device | str | None
) -> tuple[torch.dtype, torch.device | str]:
    reference = next(iter(system.params.values())) if isinstance(system, Network) else inputs
    if dtype is None:
        dtype = reference.dtype if reference.is_floating_point() else torch.get_default_dtype()
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype: got {dtype}, expected torch.float32 or torch.float64")
    return dtype, reference.device if device is None else device


def _checked_inputs(inputs: Tensor, input_size: int | None) -> Tensor:
    if inputs.ndim != 3 or 0 in inputs.shape[:2]:
        raise ValueError(f"inputs: got shape {tuple(inputs.shape)}, expected (sequence, time, feature), none empty")
    if input_size is not None and inputs.shape[-1] != input_size:
        raise ValueError(f"inputs: got {inputs.shape[-1]} features per time step, expected the network's {input_size}")
    return inputs


def _start(system: TangentMap, initial_state: Tensor | ArrayLike | None, n_sequences: int) -> Tensor:
    default = system.initial_state(n_sequences) if hasattr(system, "initial_state") else None
    if initial_state is None:
        if default is None:
            raise ValueError("initial_state: got None, expected (sequence, S), because the system does not define one")
        return default
    given = _finite_tensor("initial_state", initial_state)
    if default is not None:
        expected = tuple(default.shape)
    else:
        expected = (n_sequences, getattr(system, "state_size", given.shape[-1] if given.ndim else 1))
    try:
        return given.expand(expected)
    except RuntimeError:
        raise ValueError(
            f"initial_state: got shape {tuple(given.shape)}, expected {expected} or its last axes"
        ) from None


def _tangent_rows(system: TangentMap, state: str, state_size: int) -> int:
    if state == "full":
        return state_size
    if not isinstance(system, Network):
        raise ValueError('state: got "hidden", expected "full": only a recurrent network has a reduced Jacobian')
    return system.reduced_size


def _checked_count(n_exponents: int | None, rows: int) -> int:
    if n_exponents is None:
        return rows
    if not 1 <= n_exponents <= rows:
        raise ValueError(f"n_exponents: got {n_exponents}, expected 1 to {rows}, the rows of the Jacobian")
    return n_exponents


def _labelled(exponents: Tensor, attributes: dict[str, str | int]) -> xr.Dataset:
    dims = ("variant", "sequence", "exponent")[-exponents.ndim :]
    spectrum = xr.Dataset(
        {"lyapunov_exponent": (dims, exponents.cpu().numpy())},
        coords={"exponent": np.arange(1, exponents.shape[-1] + 1)},
        attrs=attributes,
    )
    descriptions = {
        "exponent": ("1", "index of the exponent, the largest first"),
        "lyapunov_exponent": ("nat/step", "Lyapunov exponent (natural log per time step)"),
    }
    return describe(spectrum, descriptions)
