"""What every computation of exponents starts from: a system, its inputs, a state and tangent vectors, all checked.

`driven_system` is the one place where the arguments that `lyapunov_spectrum`, `finite_time_exponents` and
`covariant_vectors` share are looked at; `orthonormalizations` steps what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.labels import describe
from lyapunov_pkg.linalg import orthonormalize
from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.tangents import initial_tangents as start_tangents
from lyapunov_pkg.spectra.tangents import of_each_trajectory
from lyapunov_pkg.systems.base import Placement, Reader, TangentMap
from lyapunov_pkg.systems.numbers import Values, converted, shown, whole_number
from lyapunov_pkg.systems.reading import reader_of
from lyapunov_pkg.systems.states import State, leaves
from lyapunov_pkg.version import package_version

Analysable: TypeAlias = torch.nn.Module | Network | TangentMap | Callable[..., Any]
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
        coordinates: Mapping[str, NDArray[Any] | tuple[str, NDArray[Any]]],
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
        coordinates = {"exponent": np.arange(1, self.initial_tangents.shape[-1] + 1), **coordinates}
        descriptions = {"exponent": ("1", "index of the exponent, the largest first")} | descriptions
        attributes = {"dtype": str(self.inputs.dtype).removeprefix("torch."), "jacobian": self.jacobian} | settings
        attributes["lyapunov_pkg_version"] = package_version()
        return describe(xr.Dataset(labelled, coordinates, attributes), descriptions)


def driven_system(
    system: Analysable,
    inputs: Values | None = None,
    *,
    n_steps: int | None = None,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: State = None,
    initial_tangents: Values | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: bool = False,
) -> DrivenSystem:
    """Check the arguments that all computations of exponents share; see `lyapunov_spectrum` for what they are.

    A torch module is run for a step or two, in evaluation mode and without a trace left in it, and compared with what
    will be computed. Weights that hooks make are those of that call. A module whose own forward is not that of
    torch.nn, but is a recurrent step, is stepped through its own forward.

    The computation runs in `dtype`, else in that of the system's weights, else in the wider one of inputs and initial
    state. With `differentiable` what is returned stays in the graph of a torch.nn module's own weights.

    Raises:
        TypeError: `system` is nothing of which exponents can be taken, or an argument is no numbers.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included; the system
            is not a deterministic step that treats each sequence by itself, or cannot be differentiated.
    """
    _check_choices(jacobian, differentiable)
    reader = reader_of(system)
    sequences, state = _read(reader, inputs, n_steps, initial_state)
    placement = _placement(reader, sequences, state, dtype, device, differentiable)
    sequences = converted("inputs", sequences, placement.dtype, placement.device)
    if not differentiable:  # PyTorch multiplies in another way, to other last bits, what requires gradients.
        sequences = sequences.detach()
    prepared = reader.prepare(state, sequences, placement)
    start = prepared.initial_state
    complete = _complete_tangents(prepared.system, jacobian, start)
    tangents = start_tangents(complete, n_exponents, initial_tangents, len(sequences))
    time_per_step = 1.0 if isinstance(system, torch.nn.Module) else getattr(system, "time_per_step", 1.0)
    return DrivenSystem(
        prepared.system, sequences, start, tangents, jacobian, prepared.drops_variant, float(time_per_step)
    )


def check_schedule(n_steps: int, warmup: int, orthonormalize_every: int | str = 1, *, or_auto: bool = False) -> None:
    """Refuse a warm-up that leaves nothing to measure, and an interval that is not positive (nor "auto", if allowed).

    Raises:
        ValueError: one of them.
    """
    expected = f"a whole number, 0 or more and fewer than the {n_steps} time steps of inputs"
    whole_number("warmup", warmup, expected, 0, n_steps - 1)
    if not (or_auto and isinstance(orthonormalize_every, str) and orthonormalize_every == "auto"):
        expected = '1 step or more, or "auto"' if or_auto else "1 step or more"
        whole_number("orthonormalize_every", orthonormalize_every, expected, 1, LONGEST)


LONGEST = 2**62
"""Above any number of steps."""


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
    tangents = of_each_trajectory(driven.initial_tangents, state)
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


def _check_choices(jacobian: object, differentiable: object) -> None:
    if not isinstance(jacobian, str) or jacobian not in ("full", "reduced"):
        raise ValueError(f'jacobian: got {shown(jacobian)}, expected "full" or "reduced"')
    if not isinstance(differentiable, bool):
        raise ValueError(f"differentiable: got {shown(differentiable)}, expected True or False")


def _read(reader: Reader, inputs: Values | None, n_steps: int | None, initial_state: State) -> tuple[Tensor, State]:
    """Return inputs (sequence, time, feature) and the state, as the system's reader returns them."""
    reader.refuse_missing_state(initial_state, inputs is None)
    if inputs is not None:
        if n_steps is not None:
            raise ValueError(
                f"n_steps: got {shown(n_steps)} beside inputs, which have their own; expected one of the two"
            )
        sequences = reader.read_inputs(inputs)
        return sequences, reader.read_state(initial_state, len(sequences))
    if reader.input_size():
        raise ValueError(
            f"inputs: got None, expected inputs of {reader.input_size()} features; zeros where nothing drives it"
        )
    if n_steps is None:
        raise ValueError("inputs: got None, expected inputs, or n_steps of an autonomous system")
    steps = whole_number("n_steps", n_steps, "a whole number of steps, 1 or more", 1, LONGEST)
    state = reader.read_state(initial_state, None)
    # Integers: they have no say in the dtype of the computation.
    return torch.zeros(1, 1, 0, dtype=torch.int64).expand(reader.count_sequences(state), steps, 0), state


def _placement(
    reader: Reader, inputs: Tensor, state: State, dtype: object, device: object, differentiable: bool
) -> Placement:
    weight = reader.weights()
    given = [inputs] if state is None else [inputs, *(leaf for _, leaf in leaves(state))]
    if dtype is None:
        dtype = _common_dtype([weight] if weight is not None else given)
    if not isinstance(dtype, torch.dtype) or dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype: got {shown(dtype)}, expected torch.float32 or torch.float64")
    # Autonomous inputs are made here; their device says nothing.
    reference = weight if weight is not None else given[-1] if inputs.shape[-1] == 0 else inputs
    return Placement(dtype, _known_device(reference.device if device is None else device), differentiable)


def _common_dtype(tensors: list[Tensor]) -> torch.dtype:
    """Return the widest floating-point type among some tensors; float64 where there is none."""
    found = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
    return max(found, key=lambda dtype: dtype.itemsize, default=torch.float64)


def _known_device(device: object) -> torch.device:
    expected = 'one that PyTorch finds here, such as "cpu" or "cuda"'
    if not isinstance(device, str | torch.device):
        raise ValueError(f"device: got {shown(device)}, expected {expected}")
    try:
        known = torch.empty(0, device=device).device
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device: got {str(device)!r}, expected {expected} ({reason})") from error
    if known.type == "meta":
        raise ValueError(f'device: got "meta", on which nothing is computed, expected {expected}')
    return known


def _complete_tangents(system: TangentMap, jacobian: Literal["full", "reduced"], state: Tensor) -> Tensor:
    """Return the tangent vectors (rows, rows) from which all exponents are computed."""
    if isinstance(system, Network):
        return system.initial_tangents(jacobian)
    if jacobian == "reduced":
        raise ValueError('jacobian: got "reduced", expected "full": only a recurrent network has a reduced Jacobian')
    return torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)
