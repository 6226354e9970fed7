"""Checked arguments of every computation of exponents: a system, its inputs, a state and tangent vectors.

`driven_system` checks the arguments that `lyapunov_spectrum`, `finite_time_exponents` and `covariant_vectors` share.
`orthonormalizations` runs the system that it returns.
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
"""Systems that have exponents. `lyapunov_spectrum` describes each kind."""


@dataclass(frozen=True)
class DrivenSystem:
    """A system with its inputs, checked, in one dtype and on one device.

    Attributes:
        system: the system.
        inputs: (sequence, time, feature).
        initial_state: (sequence, S), or (variant, sequence, S).
        initial_tangents: (rows, k) for all trajectories, or (..., sequence, rows, k): orthonormal columns.
        jacobian: "full" or "reduced", the Jacobian that is used.
        drops_variant: whether results have no axis of variants, because the system was a torch.nn module.
        time_per_step: time units per step of a flow; 1 for all other systems, whose time is counted in steps.
    """

    system: TangentMap
    inputs: Tensor
    initial_state: Tensor
    initial_tangents: Tensor
    jacobian: str
    drops_variant: bool
    time_per_step: float = 1.0

    def results(self, values: Tensor) -> Tensor:
        """Return values ([variant], sequence, ...) without the axis of variants if the system was a torch.nn module."""
        return values.squeeze(0) if self.drops_variant else values

    def dataset(
        self,
        variables: dict[str, tuple[tuple[str, ...], Tensor]],
        coordinates: Mapping[str, NDArray[Any] | tuple[str, NDArray[Any]]],
        descriptions: dict[str, tuple[str, str]],
        **settings: int | str,
    ) -> xr.Dataset:
        """Return results as a labelled Dataset.

        Args:
            variables: {name: (dimensions after `sequence`, values)}; values ([variant], sequence, ...).
            coordinates: coordinates besides the indices of the exponents.
            descriptions: {name: (units, long_name)} of variables and coordinates.
            settings: attributes besides those that every result has.
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
    """Check the arguments that all computations of exponents share; `lyapunov_spectrum` describes them.

    A torch module is run for one or two steps in evaluation mode, and the result is compared with the computation. The
    module is not changed. Weights that hooks compute are those of this call. If the module's own forward is a recurrent
    step that differs from torch.nn's, the computation uses the module's own forward.

    The computation runs in `dtype`. The default is the dtype of the system's weights, or without weights the wider
    dtype of inputs and initial state. With `differentiable`, the result stays in the autograd graph of a torch.nn
    module's own weights.

    Raises:
        TypeError: `system` is of a type that has no exponents, or an argument is not numeric.
        ValueError: an argument (or a weight) is out of range, has the wrong shape, or is not finite. Or the system is
            random, mixes sequences, or cannot be differentiated.
    """
    _check_choices(jacobian, differentiable)
    reader = reader_of(system)
    sequences, state = _read(reader, inputs, n_steps, initial_state)
    placement = _placement(reader, sequences, state, dtype, device, differentiable)
    sequences = converted("inputs", sequences, placement.dtype, placement.device)
    if not differentiable:  # PyTorch rounds products differently if they require gradients.
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
    """Raise an error if the warm-up leaves no step, or the interval is neither positive nor an allowed "auto".

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is not valid.
    """
    expected = f"a whole number, 0 or more and fewer than the {n_steps} time steps of inputs"
    whole_number("warmup", warmup, expected, 0, n_steps - 1)
    if not (or_auto and isinstance(orthonormalize_every, str) and orthonormalize_every == "auto"):
        expected = '1 step or more, or "auto"' if or_auto else "1 step or more"
        whole_number("orthonormalize_every", orthonormalize_every, expected, 1, LONGEST)


LONGEST = 2**62
"""An upper limit of all numbers of steps."""


class Orthonormalization(NamedTuple):
    """The end of an interval between two QR decompositions.

    Attributes:
        time: number of input steps taken so far.
        length: number of steps of the interval.
        state: (..., S), after the interval.
        tangents: (..., rows, k), after the Jacobians, before orthonormalisation.
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
    """Run a system and its tangent vectors through all inputs, and yield each QR decomposition after the warm-up.

    Intervals are counted from the end of the warm-up, so that no interval extends across it. The last one ends with the
    inputs and may be shorter.

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
                # A saturating map can have a finite Jacobian at an infinite state.
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
                f"n_steps: got {shown(n_steps)} together with inputs, which have their own number of steps; expected "
                "only one of the two"
            )
        sequences = reader.read_inputs(inputs)
        return sequences, reader.read_state(initial_state, len(sequences))
    if reader.input_size():
        raise ValueError(
            f"inputs: got None, expected inputs of {reader.input_size()} features (zeros if nothing drives the system)"
        )
    if n_steps is None:
        raise ValueError("inputs: got None, expected inputs, or n_steps of an autonomous system")
    steps = whole_number("n_steps", n_steps, "a whole number of steps, 1 or more", 1, LONGEST)
    state = reader.read_state(initial_state, None)
    # Integers, so that they do not influence the dtype of the computation.
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
    # The inputs of an autonomous system were created here, so their device carries no information.
    reference = weight if weight is not None else given[-1] if inputs.shape[-1] == 0 else inputs
    return Placement(dtype, _known_device(reference.device if device is None else device), differentiable)


def _common_dtype(tensors: list[Tensor]) -> torch.dtype:
    """Return the widest floating-point type of the tensors; float64 if there is none."""
    found = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
    return max(found, key=lambda dtype: dtype.itemsize, default=torch.float64)


def _known_device(device: object) -> torch.device:
    expected = 'a device that PyTorch finds on this machine, such as "cpu" or "cuda"'
    if not isinstance(device, str | torch.device):
        raise ValueError(f"device: got {shown(device)}, expected {expected}")
    try:
        known = torch.empty(0, device=device).device
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device: got {str(device)!r}, expected {expected} ({reason})") from error
    if known.type == "meta":
        raise ValueError(f'device: got "meta", which computes nothing, expected {expected}')
    return known


def _complete_tangents(system: TangentMap, jacobian: Literal["full", "reduced"], state: Tensor) -> Tensor:
    """Return the tangent vectors (rows, rows) from which all exponents are computed."""
    if isinstance(system, Network):
        return system.initial_tangents(jacobian)
    if jacobian == "reduced":
        raise ValueError('jacobian: got "reduced", expected "full"; only a recurrent network has a reduced Jacobian')
    return torch.eye(state.shape[-1], dtype=state.dtype, device=state.device)
