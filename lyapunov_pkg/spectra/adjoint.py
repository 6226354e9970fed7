"""Orthonormal vectors of the adjoint tangent dynamics, from transposed Jacobians taken backward in time."""

from __future__ import annotations

from typing import Literal

import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.devices import without_autocast
from lyapunov_pkg.linalg import orthonormalize
from lyapunov_pkg.progress import steps_bar
from lyapunov_pkg.spectra.driven import Analysable, DrivenSystem, check_schedule
from lyapunov_pkg.spectra.resuming import in_time, prepare, time_unit
from lyapunov_pkg.spectra.tangents import of_each_trajectory


@torch.no_grad()
def adjoint_vectors(
    system: Analysable,
    inputs: Tensor | ArrayLike | None = None,
    *,
    n_steps: int | None = None,
    duration: float | None = None,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    initial_tangents: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    backward_warmup: int | None = None,
    orthonormalize_every: int = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    resume: xr.Dataset | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Return orthonormal vectors that transposed Jacobians propagate backward in time.

    Backward from the last step, J_t^T A_{t+1} = A_t L_t with orthonormal A and upper triangular L. The mean logarithm
    of the diagonal of L is the Lyapunov spectrum. The vectors at a time depend on the steps that follow it. The first
    vector is the gradient that grows fastest under back-propagation. A perturbation along it grows fastest from that
    time on.

    Three kinds of vectors must not be confused:

    * The orthonormal Q of `finite_time_exponents` (`return_q`) depends on the past. Its columns are called backward
      Lyapunov vectors, because they are the limit for initial vectors in the far past.
    * The A of this function depends on the future. Its columns are called forward Lyapunov vectors, although they are
      computed backward in time.
    * The vectors of `covariant_vectors` depend on both past and future. The j-th one lies in the span of the first j
      columns of Q, and is orthogonal to the first j - 1 columns of A.

    The function stores n_sequences * rows^2 * (steps after the warm-up) numbers per variant, where rows is the state
    size.

    Args:
        system: as in `lyapunov_spectrum`.
        inputs: as in `lyapunov_spectrum`.
        n_steps: as in `lyapunov_spectrum`.
        duration: as in `lyapunov_spectrum`.
        n_exponents: as in `lyapunov_spectrum`.
        jacobian: as in `lyapunov_spectrum`.
        initial_state: as in `lyapunov_spectrum`.
        initial_tangents: as in `lyapunov_spectrum`, but they are the vectors after the last step.
        warmup: number of initial steps, which only update the state.
        backward_warmup: number of last steps, in which A turns towards its directions. Nothing is returned for them.
            Default: a quarter of the steps.
        orthonormalize_every: steps from one QR decomposition to the next, counted from the end of the warm-up. Vectors
            are returned at these times only.
        dtype: as in `lyapunov_spectrum`.
        device: as in `lyapunov_spectrum`.
        resume: the result of an earlier call of this package. The run starts from its final state.
        progress: as in `lyapunov_spectrum`.

    Returns:
        Dataset with these variables. A `Network` adds the dimension `variant` in front.

        * `adjoint_vector(sequence, time, unit, exponent)`: orthonormal vectors.
        * `adjoint_exponent(sequence, time, exponent)`: log L of the interval that begins at this time, divided by its
          length: nats per time step, or per time unit for a flow. -inf for a lost direction.

        The coordinate `time` is the time since the start of the run, in steps or in a flow's time units. NaN: the
        trajectory diverged.

    Raises:
        TypeError: `system` is of a type that has no exponents.
        ValueError: an argument (or a weight) is out of range, has the wrong shape, or is not finite.

    Example:
        The second covariant vector of the Hénon map is orthogonal to the first adjoint vector:

        >>> import xarray as xr
        >>> from lyapunov_pkg import adjoint_vectors, covariant_vectors
        >>> from lyapunov_pkg.systems import Henon
        >>> adjoint = adjoint_vectors(Henon(), n_steps=400)["adjoint_vector"].sel(exponent=1)
        >>> covariant = covariant_vectors(Henon(), n_steps=400)["covariant_vector"].sel(exponent=2)
        >>> bool(abs(xr.dot(adjoint, covariant, dim="unit")).max() < 1e-12)
        True

    References:
        Legras, B., Vautard, R.: A guide to Liapunov vectors. Proceedings of the ECMWF Seminar on Predictability 1,
        143-156 (1996).
        Kuptsov, P. V., Parlitz, U.: Theory and computation of covariant Lyapunov vectors. Journal of Nonlinear Science
        22, 727-762 (2012).
    """
    driven = prepare(
        system,
        inputs,
        duration,
        resume,
        n_steps=n_steps,
        n_exponents=n_exponents,
        jacobian=jacobian,
        initial_state=initial_state,
        initial_tangents=initial_tangents,
        dtype=dtype,
        device=device,
    )
    n_taken = driven.inputs.shape[-2]
    backward_warmup = n_taken // 4 if backward_warmup is None else backward_warmup
    check_schedule(n_taken, warmup, orthonormalize_every)
    if not 0 <= backward_warmup < n_taken - warmup:
        raise ValueError(
            f"backward_warmup: got {backward_warmup}, expected 0 or more and fewer than the {n_taken - warmup} steps "
            "after the warm-up"
        )
    with without_autocast(), steps_bar(2 * n_taken - warmup, "adjoint vectors", progress) as advanced:
        state, jacobians = driven.initial_state, []
        for step, x in enumerate(driven.inputs.unbind(-2)):
            state, moved = _jacobian(driven, state, x)
            if step >= warmup:
                jacobians.append(moved)
            advanced(1)
        begins = range(warmup, n_taken, orthonormalize_every)
        vectors, exponents, times = [], [], []
        current = of_each_trajectory(driven.initial_tangents, state)
        for begin in reversed(begins):
            end = min(begin + orthonormalize_every, n_taken)
            for step in reversed(range(begin, end)):
                current = jacobians[step - warmup].mT @ current
                advanced(1)
            current, log_diagonal = orthonormalize(current)
            if begin <= n_taken - backward_warmup:
                times.append(begin)
                vectors.append(current)
                exponents.append(log_diagonal / (end - begin) / driven.time_per_step)
    unit, finite = time_unit(driven), torch.isfinite(state).all(dim=-1)
    stacked, rates = torch.stack(vectors[::-1], dim=-3), torch.stack(exponents[::-1], dim=-2)
    return driven.dataset(
        {
            "adjoint_vector": (
                ("time", "unit", "exponent"),
                torch.where(finite[..., None, None, None], stacked, torch.nan),
            ),
            "adjoint_exponent": (("time", "exponent"), torch.where(finite[..., None, None], rates, torch.nan)),
        },
        {"time": in_time(driven, times[::-1])},
        {
            "adjoint_vector": ("1", "orthonormal vector of the adjoint tangent dynamics"),
            "adjoint_exponent": (f"nat/{unit}", "growth of the adjoint vector in the interval that begins here"),
            "time": (unit, f"{unit}s of the inputs taken"),
        },
        n_steps=n_taken,
        warmup=warmup,
        backward_warmup=backward_warmup,
        orthonormalize_every=orthonormalize_every,
    )


def _jacobian(driven: DrivenSystem, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next state and the Jacobian of the step (..., rows, rows)."""
    n_rows = driven.initial_tangents.shape[-2]
    identity = torch.eye(n_rows, dtype=state.dtype, device=state.device).expand(*state.shape[:-1], n_rows, n_rows)
    return driven.system.push_forward(state, x, identity)
