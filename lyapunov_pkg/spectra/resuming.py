"""Resuming from an earlier result: the variables that results store for this, and how they are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lyapunov_pkg.spectra.batches import Batches
from lyapunov_pkg.spectra.driven import (
    Analysable,
    DrivenSystem,
    driven_system,
)
from lyapunov_pkg.spectra.estimation import Checkpoint

Variables = dict[str, tuple[tuple[str, ...], Tensor]]

DESCRIPTIONS = {
    "final_state": ("1", "state after all steps"),
    "final_tangents": ("1", "orthonormal tangent vectors after all steps, in the order of the QR decomposition"),
}


class SharedArguments(TypedDict):
    """The arguments of all computations of exponents; `lyapunov_spectrum` describes them."""

    n_steps: int | None
    n_exponents: int | None
    jacobian: Literal["full", "reduced"]
    initial_state: Tensor | ArrayLike | None
    initial_tangents: Tensor | ArrayLike | None
    dtype: torch.dtype | None
    device: torch.device | str | None


def prepare(
    system: Analysable,
    inputs: Tensor | ArrayLike | None,
    duration: float | None,
    resume: xr.Dataset | None,
    differentiable: bool = False,
    **shared: Unpack[SharedArguments],
) -> DrivenSystem:
    """Check the arguments that all computations share, and start at the end of an earlier result if one is given.

    Raises:
        TypeError: `system` is of a type that has no exponents, or `resume` is not a Dataset.
        ValueError: an argument is out of range, has the wrong shape, is not finite, or contradicts `resume`.
    """
    shared["n_steps"] = _number_of_steps(system, inputs, shared["n_steps"], duration)
    if resume is None:
        return driven_system(system, inputs, differentiable=differentiable, **shared)
    _check_resume(resume, shared)
    tangents = torch.from_numpy(np.array(resume["final_tangents"].values))
    state = torch.from_numpy(np.array(resume["final_state"].values))
    shared["dtype"] = shared["dtype"] or tangents.dtype
    shared["n_exponents"] = tangents.shape[-1]
    if shared["initial_state"] is None and not isinstance(system, torch.nn.Module):
        shared["initial_state"] = state
    driven = driven_system(system, inputs, differentiable=differentiable, **shared)
    state, tangents = (_inside(driven, values) for values in (state, tangents))
    rows = driven.initial_tangents.shape[-2]
    _check_shape("final_state", state, tuple(driven.initial_state.shape))
    _check_shape("final_tangents", tangents, (*state.shape[:-1], rows, tangents.shape[-1]))
    return dataclasses.replace(driven, initial_state=state, initial_tangents=tangents)


def _number_of_steps(
    system: Analysable, inputs: Tensor | ArrayLike | None, n_steps: int | None, duration: float | None
) -> int | None:
    """Return the number of steps of an autonomous system; None for a driven one, whose inputs give it.

    Raises:
        ValueError: more than one of `inputs`, `n_steps` and `duration` is given, or `duration` for a system that is not
            a flow.
    """
    given = {"inputs": inputs, "n_steps": n_steps, "duration": duration}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"got {' and '.join(names)}, expected one of them: each says how many steps to take")
    if duration is None:
        return n_steps
    time_per_step: float | None = getattr(system, "time_per_step", None)
    if time_per_step is None:
        raise ValueError(
            f"duration: got {duration} for a system that is not a flow, expected None; give n_steps instead"
        )
    if not np.isfinite(duration) or round(duration / time_per_step) < 1:
        raise ValueError(
            f"duration: got {duration}, expected a number of time units, at least {time_per_step} (one step)"
        )
    return round(duration / time_per_step)


def _check_resume(resume: object, shared: SharedArguments) -> None:
    if not isinstance(resume, xr.Dataset):
        raise TypeError(f"resume: got {type(resume).__name__}, expected the Dataset that an earlier call returned")
    missing = [name for name in DESCRIPTIONS if name not in resume]
    if missing:
        raise ValueError(
            f"resume: got a Dataset without {' and '.join(missing)}, expected the Dataset that an earlier call returned"
        )
    if shared["initial_tangents"] is not None:
        raise ValueError(
            "initial_tangents: got some together with resume, expected None: resume contains the tangent vectors"
        )
    found = resume.attrs.get("jacobian"), resume.sizes["direction"], resume.attrs.get("dtype")
    dtype = None if shared["dtype"] is None else str(shared["dtype"]).removeprefix("torch.")
    wanted = shared["jacobian"], shared["n_exponents"] or found[1], dtype or found[2]
    for name, of_resume, asked in zip(("jacobian", "n_exponents", "dtype"), found, wanted, strict=True):
        if of_resume != asked:
            raise ValueError(f"{name}: got {asked!r}, expected {of_resume!r}, that of resume")


def _inside(driven: DrivenSystem, values: Tensor) -> Tensor:
    """Return results in the form of the computation, on its device."""
    values = values.to(dtype=driven.initial_state.dtype, device=driven.initial_state.device)
    return values[None] if driven.drops_variant else values


def _check_shape(name: str, found: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(found.shape) != expected:
        raise ValueError(
            f"resume: {name} has shape {tuple(found.shape)}, expected {expected}; give the same system and as many "
            "input sequences as in the earlier run"
        )


def time_unit(driven: DrivenSystem) -> str:
    """Return the unit of time of the results: "time unit" for a flow, else "step"."""
    return "time unit" if hasattr(driven.system, "time_per_step") else "step"


def in_time(driven: DrivenSystem, steps: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64 | np.float64]:
    """Return numbers of steps as times: time units for a flow, otherwise steps."""
    counts = np.array(steps)
    return counts * driven.time_per_step if time_unit(driven) == "time unit" else counts


def ending_variables(state: Tensor, tangents: Tensor) -> Variables:
    """Return the variables of every result's end: the state (..., S) and the tangent vectors (..., rows, k)."""
    return {"final_state": (("state",), state), "final_tangents": (("unit", "direction"), tangents)}


def checkpoint_variables(
    driven: DrivenSystem, checkpoint: Checkpoint
) -> tuple[Variables, dict[str, tuple[str, NDArray[np.int64]]], dict[str, tuple[str, str]]]:
    """Return the variables, the coordinates and the descriptions that `read_checkpoint` needs."""
    batches = checkpoint.batches
    sums = torch.from_numpy(np.stack(batches.sums, axis=-2))
    variables = ending_variables(checkpoint.state, checkpoint.tangents)
    variables["batch_sum"] = (("batch", "direction"), sums)
    variables["n_lossy_intervals"] = ((), torch.as_tensor(checkpoint.lossy_intervals))
    descriptions = CHECKPOINT_DESCRIPTIONS
    if checkpoint.pending_inputs.shape[-2]:
        pending = checkpoint.pending_inputs
        variables["aligned_state"] = (("state",), checkpoint.aligned_state)
        variables["pending_input"] = (("pending_step", "feature"), pending[None] if driven.drops_variant else pending)
        descriptions = descriptions | PENDING_DESCRIPTIONS
    coordinates = {
        "batch_steps": ("batch", np.array(batches.steps)),
        "batch_intervals": ("batch", np.array(batches.intervals)),
    }
    return variables, coordinates, descriptions


PENDING_DESCRIPTIONS = {
    "aligned_state": ("1", "state before pending_input"),
    "pending_input": ("1", "last inputs, which a resumed run repeats to obtain the same bits"),
}

CHECKPOINT_DESCRIPTIONS = DESCRIPTIONS | {
    "batch_sum": ("nat", "log r summed over a batch of consecutive intervals, in the order of the QR decomposition"),
    "batch_steps": ("step", "steps of the batch"),
    "batch_intervals": ("1", "intervals of the batch between QR decompositions"),
    "n_lossy_intervals": ("1", "measured intervals in which a direction was lost"),
}


def read_checkpoint(resume: xr.Dataset, driven: DrivenSystem) -> Checkpoint:
    """Return the checkpoint that `resume` contains. `driven` is the result of `prepare`.

    Raises:
        ValueError: `resume` is not a result of `lyapunov_spectrum`.
    """
    if "batch_sum" not in resume:
        raise ValueError("resume: got a Dataset without batch_sum, expected the result of lyapunov_spectrum")
    sums = resume["batch_sum"].transpose("batch", ...).values
    if driven.drops_variant:
        sums = sums[:, None]
    lossy = resume["n_lossy_intervals"].values
    pending = driven.inputs[:, :0]
    aligned_state = driven.initial_state
    if "aligned_state" in resume:
        aligned_state = _inside(driven, torch.from_numpy(np.array(resume["aligned_state"].values)))
        pending = torch.from_numpy(np.array(resume["pending_input"].values)).to(pending)
    return Checkpoint(
        n_steps=int(resume.attrs["n_steps"]),
        warmup=int(resume.attrs["warmup"]),
        state=driven.initial_state,
        tangents=driven.initial_tangents,
        aligned_state=aligned_state,
        pending_inputs=pending,
        batches=Batches(
            [np.array(batch, dtype=np.float64) for batch in sums],
            resume["batch_steps"].values.tolist(),
            resume["batch_intervals"].values.tolist(),
        ),
        lossy_intervals=lossy[None] if driven.drops_variant else lossy,
        longest_interval=int(resume.attrs["longest_interval"]),
        n_orthonormalizations=int(resume.attrs["n_orthonormalizations"]),
    )
