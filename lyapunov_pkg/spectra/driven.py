"""What every computation of exponents starts from: a system, its inputs, a state and tangent vectors, all checked.

`driven_system` is the one place where the arguments that `lyapunov_spectrum`, `finite_time_exponents` and
`covariant_vectors` share are looked at; `orthonormalizations` steps what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.labels import describe
from lyapunov_pkg.linalg import orthonormalize
from lyapunov_pkg.networks import Network, from_torch
from lyapunov_pkg.version import package_version


class TangentMap(Protocol):
    """What the computation of exponents asks of a system: a step that carries tangent vectors along."""

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """From state (..., S), input (..., F) and tangents (..., S, k): the next state, and J times the tangents."""


Analysable: TypeAlias = torch.nn.RNNBase | Network | TangentMap | Callable[[Tensor, Tensor], Tensor]
"""What exponents can be taken of; `lyapunov_spectrum` says what each is."""


@dataclass(frozen=True)
class DrivenSystem:
    """A system and what drives it, checked, in one dtype and on one device.

    Attributes:
        system: what is stepped.
        inputs: (sequence, time, feature).
        initial_state: (sequence, S), or (variant, sequence, S).
        initial_tangents: (rows, k) for all trajectories, or (..., sequence, rows, k): orthonormal columns.
        jacobian: "full" or "reduced", the Jacobian that is taken.
        drops_variant: the system was a torch.nn module, whose one variant is no axis of the results.
        time_per_step: time units of a step of a flow; 1 for everything else, whose time is counted in steps.
    """

    system: TangentMap
    inputs: Tensor
    initial_state: Tensor
    initial_tangents: Tensor
    jacobian: str
    drops_variant: bool
    time_per_step: float = 1.0

    def results(self, values: Tensor) -> Tensor:
        """Return values ([variant], sequence, ...) as the user sees them: a torch.nn module has no axis of variants."""
        return values.squeeze(0) if self.drops_variant else values

    def dataset(
        self,
        variables: dict[str, tuple[tuple[str, ...], Tensor]],
        coordinates: dict[str, np.ndarray],
        descriptions: dict[str, tuple[str, str]],
        **settings: int | str,
    ) -> xr.Dataset:
        """Label results.

        Args:
            variables: {name: (dimensions after `sequence`, values)}; values ([variant], sequence, ...).
            coordinates: what belongs on a dimension beside the indices of the exponents.
            descriptions: {name: (units, long_name)} of both.
            settings: attributes beside those that every result has.
        """
        labelled = {}
        for name, (dims, values) in variables.items():
            values = self.results(values)
            leading = ("variant", "sequence")[len(dims) - values.ndim :]
            labelled[name] = ((*leading, *dims), values.cpu().numpy())
        coordinates = {"exponent": np.arange(1, self.initial_tangents.shape[-1] + 1)} | coordinates
        descriptions = {"exponent": ("1", "index of the exponent, the largest first")} | descriptions
        attributes = {"dtype": str(self.inputs.dtype).removeprefix("torch."), "jacobian": self.jacobian} | settings
        attributes["lyapunov_pkg_version"] = package_version()
        return describe(xr.Dataset(labelled, coordinates, attributes), descriptions)


def driven_system(
    system: Analysable,
    inputs: Tensor | ArrayLike | None = None,
    *,
    n_steps: int | None = None,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    initial_tangents: Tensor | ArrayLike | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: bool = False,
) -> DrivenSystem:
    """Check the arguments that all computations of exponents share; see `lyapunov_spectrum` for what they are.

    With `differentiable` what is returned stays in the graph of a torch.nn module's own weights.

    Raises:
        TypeError: `system` is nothing of which exponents can be taken, or `inputs` are no numbers.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included.
    """
    if jacobian not in ("full", "reduced"):
        raise ValueError(f'jacobian: got {jacobian!r}, expected "full" or "reduced"')
    stepped = _as_system(system, differentiable)
    if inputs is None:
        inputs = _no_inputs(n_steps, initial_state)
    sequences = _finite_tensor("inputs", inputs)
    dtype, device = _placement(stepped, sequences, dtype, device)
    if isinstance(stepped, Network):
        stepped = stepped.to(device=device, dtype=dtype)
    sequences = _checked_inputs(sequences, getattr(stepped, "input_size", None)).to(device=device, dtype=dtype)
    start = _start(stepped, initial_state, len(sequences)).to(device=device, dtype=dtype).contiguous()
    rows = _tangent_rows(stepped, jacobian, start.shape[-1])
    if not isinstance(stepped, Network):
        _check_tangent_map(stepped, start, sequences[:, 0])
    tangents = _tangents(initial_tangents, n_exponents, (*start.shape[:-1], rows)).to(device=device, dtype=dtype)
    return DrivenSystem(
        stepped,
        sequences,
        start,
        tangents,
        jacobian,
        isinstance(system, torch.nn.RNNBase),
        float(getattr(stepped, "time_per_step", 1.0)),
    )


TANGENT_SEED = 0
"""Of the random tangent vectors that a computation of fewer exponents than the Jacobian has rows starts from."""


def _tangents(given: Tensor | ArrayLike | None, n_exponents: int | None, rows_of: tuple[int, ...]) -> Tensor:
    """Return orthonormal tangent vectors to start from, (rows, k) or (..., rows, k).

    Without given ones: the identity for all exponents, else random ones. The first k unit vectors would never leave a
    subspace that the dynamics maps into itself.

    Args:
        given: what the user gave.
        n_exponents: k; None: one for each column of `given`, or else for each row.
        rows_of: the trajectories and the rows of the Jacobian, (..., rows).

    Raises:
        ValueError: `given` has another shape, is not finite or of lower rank than it has columns.
    """
    rows = rows_of[-1]
    if given is None:
        k = _checked_count(n_exponents, rows)
        if k == rows:
            return torch.eye(rows, dtype=torch.float64)
        # Vector by vector: the first of k vectors are those of fewer.
        random = np.random.default_rng(TANGENT_SEED).standard_normal((k, rows))
        return torch.linalg.qr(torch.from_numpy(random).T).Q
    tangents = _finite_tensor("initial_tangents", given).double()
    k = tangents.shape[-1] if tangents.ndim else 0
    leading = tangents.shape[:-1]
    if not 1 <= k <= rows or leading not in (rows_of[-1:], rows_of) or n_exponents not in (None, k):
        wanted = "k" if n_exponents is None else n_exponents
        raise ValueError(
            f"initial_tangents: got shape {tuple(tangents.shape)}, expected ({rows}, {wanted}) for all trajectories or "
            f"{(*rows_of, wanted)}, with k from 1 to {rows}"
        )
    identity = torch.eye(k, dtype=torch.float64, device=tangents.device)
    if torch.allclose(tangents.mT @ tangents, identity, atol=1e-5):
        return tangents
    q, log_r = orthonormalize(tangents)
    if not torch.isfinite(log_r).all():
        raise ValueError("initial_tangents: the columns are linearly dependent, expected independent vectors")
    return q


def _no_inputs(n_steps: int | None, initial_state: Tensor | ArrayLike | None) -> Tensor:
    """Return inputs without features (sequence, n_steps, 0) for an autonomous system."""
    if not isinstance(n_steps, Integral) or n_steps < 1:
        raise ValueError(f"n_steps: got {n_steps!r} without inputs, expected how many steps to take, 1 or more")
    shape = () if initial_state is None else np.shape(initial_state)
    return torch.empty(shape[-2] if len(shape) > 1 else 1, int(n_steps), 0, dtype=torch.float64)


def check_schedule(n_steps: int, warmup: int, orthonormalize_every: int | str = 1, *, or_auto: bool = False) -> None:
    """Refuse a warm-up that leaves nothing to measure, and an interval that is not positive (nor "auto", if allowed).

    Raises:
        ValueError: one of them.
    """
    if not 0 <= warmup < n_steps:
        raise ValueError(f"warmup: got {warmup}, expected 0 or more and fewer than the {n_steps} time steps of inputs")
    is_count = isinstance(orthonormalize_every, Integral) and orthonormalize_every >= 1
    if not is_count and not (or_auto and orthonormalize_every == "auto"):
        expected = '1 step or more, or "auto"' if or_auto else "1 step or more"
        raise ValueError(f"orthonormalize_every: got {orthonormalize_every!r}, expected {expected}")


class Orthonormalization(NamedTuple):
    """The end of an interval between two QR decompositions.

    Attributes:
        time: steps of the inputs taken so far.
        length: steps of the interval.
        state: (..., S), after the interval.
        tangents: (..., rows, k), as the Jacobians left them.
        q: (..., rows, k), orthonormalised.
        log_r: (..., k), nats over the whole interval; NaN where the state is no longer finite.
    """

    time: int
    length: int
    state: Tensor
    tangents: Tensor
    q: Tensor
    log_r: Tensor


def orthonormalizations(
    driven: DrivenSystem,
    *,
    warmup: int = 0,
    orthonormalize_every: int = 1,
    decompose: Callable[[Tensor], tuple[Tensor, Tensor]] = orthonormalize,
) -> Iterator[Orthonormalization]:
    """Step a system and its tangent vectors through all inputs, and yield each QR decomposition after the warm-up.

    Intervals are counted from the end of the warm-up, so that one ends there and none straddles it; the last one ends
    with the inputs and may be shorter.

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is not positive.
    """
    n_steps = driven.inputs.shape[-2]
    check_schedule(n_steps, warmup, orthonormalize_every)
    state = driven.initial_state
    tangents = driven.initial_tangents.expand(*state.shape[:-1], *driven.initial_tangents.shape[-2:])
    last = 0
    for time, x in enumerate(driven.inputs.unbind(-2), 1):
        state, tangents = driven.system.push_forward(state, x, tangents)
        if (time - warmup) % orthonormalize_every == 0 or time == n_steps:
            q, log_r = decompose(tangents)
            if time > warmup:
                # A map that saturates can have a finite Jacobian at an infinite state.
                finite = torch.isfinite(state).all(dim=-1, keepdim=True)
                yield Orthonormalization(time, time - last, state, tangents, q, torch.where(finite, log_r, torch.nan))
            tangents, last = q, time


class DifferentiatedStep:
    """A step function with its tangent map from forward-mode automatic differentiation: k tangents cost k columns."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.step = step

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """See `TangentMap`."""

        def along(tangent: Tensor) -> tuple[Tensor, Tensor]:
            return torch.func.jvp(lambda point: self.step(point, x), (state,), (tangent,))

        return torch.func.vmap(along, in_dims=-1, out_dims=(None, -1))(tangents)

    def check(self, state: Tensor, x: Tensor) -> None:
        """Refuse a step that cannot be run or differentiated, or does not return a new state like the old one.

        Raises:
            TypeError: what the step returns is no tensor.
            ValueError: anything else of these.
        """
        given = state.clone(), x.clone()
        called = f"step(state, x), with state {_kind(state)} and x {_kind(x)},"
        try:
            after = self.step(*given)
        except Exception as error:
            raise ValueError(f"system: {called} failed: {error}") from error
        if not isinstance(after, Tensor):
            raise TypeError(f"system: {called} returned {type(after).__name__}, expected the next state, a tensor")
        if _kind(after) != _kind(state):
            raise ValueError(f"system: {called} returned {_kind(after)}, expected the next state, {_kind(state)}")
        if not (torch.equal(given[0], state) and torch.equal(given[1], x)):
            raise ValueError(f"system: {called} changed one of them in place, expected a new tensor")
        try:
            self.push_forward(state, x, torch.ones_like(state)[..., None])
        except Exception as error:
            raise ValueError(f"system: {called} cannot be differentiated in forward mode: {error}") from error


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {tensor.dtype}"


@torch.no_grad()
def _check_tangent_map(system: TangentMap, state: Tensor, x: Tensor) -> None:
    """Try a user's own system on one tangent vector, of the first sequence alone."""
    if isinstance(system, DifferentiatedStep):
        system.check(state, x)
    tangents = torch.zeros_like(state)[..., None]
    tangents[..., 0, :, 0] = torch.linspace(1, 2, state.shape[-1])
    returned = system.push_forward(state, x, tangents)
    expected = (_kind(state), _kind(tangents))
    if not isinstance(returned, tuple) or not all(isinstance(value, Tensor) for value in returned):
        raise TypeError(f"system: push_forward returned {type(returned).__name__}, expected two tensors in a tuple")
    found = tuple(_kind(value) for value in returned)
    if found != expected:
        raise ValueError(f"system: push_forward returned {found}, expected {expected}, those of state and tangents")
    # NaN says nothing here: the step may overflow for another sequence.
    if returned[1][..., 1:, :, :].nan_to_num(nan=0.0).any():
        raise ValueError(
            "system: moving the state of the first sequence moved that of another; expected a step that treats each "
            f"sequence by itself, along axis {state.ndim - 2} of the state, {_kind(state)}"
        )


def _as_system(system: object, differentiable: bool) -> TangentMap:
    network = system
    if isinstance(network, torch.nn.RNNBase):
        network = from_torch(network, detach=not differentiable)
    if isinstance(network, Network):
        bad = [name for name, weights in network.params.items() if not torch.isfinite(weights).all()]
        if bad:
            raise ValueError(f"system: NaN or infinite weights in {bad}, expected finite weights")
        return network
    if hasattr(network, "push_forward"):
        return network
    # A torch.nn module is called with the input first: taking it for a step would swap its arguments unnoticed.
    if callable(network) and not isinstance(network, torch.nn.Module):
        return DifferentiatedStep(network)
    raise TypeError(
        f"system: got {type(network).__name__}, expected torch.nn.RNN, LSTM or GRU, a Network of lyapunov_pkg, "
        "an object with push_forward(state, x, tangents), or a function step(state, x) -> state"
    )


def _finite_tensor(name: str, values: Tensor | ArrayLike) -> Tensor:
    # A copy of an array: PyTorch cannot share read-only memory or negative strides.
    try:
        tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, order="C"))
    except TypeError as error:
        raise TypeError(f"{name}: got {type(values).__name__}, expected a tensor or an array of numbers") from error
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


def _tangent_rows(system: TangentMap, jacobian: str, state_size: int) -> int:
    if jacobian == "full":
        return state_size
    if not isinstance(system, Network):
        raise ValueError('jacobian: got "reduced", expected "full": only a recurrent network has a reduced Jacobian')
    return system.reduced_size


def _checked_count(n_exponents: int | None, rows: int) -> int:
    if n_exponents is None:
        return rows
    if not isinstance(n_exponents, Integral) or not 1 <= n_exponents <= rows:
        raise ValueError(f"n_exponents: got {n_exponents}, expected 1 to {rows}, the rows of the Jacobian")
    return n_exponents
