"""Covariant Lyapunov vectors: the directions that the tangent dynamics maps onto themselves."""

from __future__ import annotations

from typing import Literal

import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.linalg import carry_back
from lyapunov_pkg.spectra.driven import Analysable, DrivenSystem
from lyapunov_pkg.spectra.recording import Recording, record
from lyapunov_pkg.spectra.resuming import DESCRIPTIONS as ENDING_DESCRIPTIONS
from lyapunov_pkg.spectra.resuming import (
    ending_variables,
    in_time,
    prepare,
    time_unit,
)


@torch.no_grad()
def covariant_vectors(
    system: Analysable,
    inputs: Tensor | ArrayLike | None = None,
    *,
    n_steps: int | None = None,
    duration: float | None = None,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    initial_tangents: Tensor | ArrayLike | None = None,
    warmup: int | None = None,
    backward_warmup: int | None = None,
    orthonormalize_every: int = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    resume: xr.Dataset | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Return covariant Lyapunov vectors along trajectories (Ginelli et al. 2007).

    Vector v_t^j is a unit vector with J_t v_t^j = exp(g) v_{t+1}^j, where the time average of g is the j-th Lyapunov
    exponent. The vectors are not orthogonal. Unlike Q and `adjoint_vectors` they do not depend on the inner product.
    The first one is the first column of Q, and their span up to j is that of Q up to j.

    On the way forward Q and R are stored, J_t Q_t = Q_{t+1} R_{t+1}. On the way back coefficients C, which start from
    the identity, are mapped by C_t = R_{t+1}^{-1} C_{t+1} and normalised by columns; then V_t = Q_t C_t. At both ends
    there is a transient: the error of v^j falls as exp(-s times the gap between neighbouring exponents) with s the
    steps from the end. What is returned is covariant throughout, whatever the transients. Along exactly or nearly
    degenerate exponents (a rotation, such as a complex pair) the vectors are some of many that are covariant. The
    angles between the vectors, from `vector_angles`, measure how close the system comes to a tangency.

    Stored are n_sequences * (rows * k * times returned + k^2 * times after the warm-up) numbers for each variant, with
    rows the size of the state and k the exponents. `orthonormalize_every` divides both by its value.

    Args:
        system: as all arguments but the two warm-ups, see `lyapunov_spectrum`. float64 is advisable: in float32 a
            vector is covariant up to rounding errors times the ratio of the fastest growth to its own.
        inputs: see there.
        n_steps: see there.
        duration: see there.
        n_exponents: how many leading vectors to compute, k; default all. The vectors do not depend on it.
        jacobian: see there.
        initial_state: see there.
        initial_tangents: see there.
        warmup: first steps in which Q turns towards its directions; nothing is returned of them. Default: a quarter of
            the steps, or none with `resume`.
        backward_warmup: last steps in which C does; nothing is returned of them. Default: a quarter of the steps.
        orthonormalize_every: steps from one QR decomposition to the next. Vectors are returned at these times alone.
            The longer the interval, the less accurate are the trailing vectors.
        dtype: see there.
        device: see there.
        resume: the result of any earlier call of the library, from whose final state and tangent vectors the way
            forward starts. Vectors are returned of the new steps alone. They are those of one long run if both go back
            from the same end.
        progress: see there.

    Returns:
        Dataset with these variables. A `Network` adds the dimension `variant` in front.

        * `covariant_vector(sequence, time, unit, exponent)`: unit vectors. Their signs carry no meaning.
        * `covariant_exponent(sequence, time, exponent)`: g of the interval that ends at this time, divided by its
          length: natural log per time step, of a flow per time unit.
        * `final_state(sequence, state)` and `final_tangents(sequence, unit, direction)`, after the last step.

        The coordinate `time` is the time taken since the start of the run, in steps or in a flow's time units.

        NaN throughout: the trajectory diverged. From the first direction on that singular Jacobians lose at some time
        after the warm-up, the vectors of that sequence are NaN: a vector in the kernel of J has no image. Their
        exponents are -inf, or NaN for those that are themselves not lost.

    Raises:
        TypeError: `system` is nothing of which exponents can be taken.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included.

    Example:
        The angle between the stable and the unstable direction along an orbit of the Hénon map, in radians:

        >>> from lyapunov_pkg import covariant_vectors, vector_angles
        >>> from lyapunov_pkg.systems import Henon
        >>> vectors = covariant_vectors(Henon(), n_steps=2000)["covariant_vector"]
        >>> angle = vector_angles(vectors).sel(exponent=1, other=2)
        >>> [round(float(angle.quantile(q)), 2) for q in (0.05, 0.5, 0.95)]
        [0.22, 0.96, 1.48]

    References:
        Ginelli, F., Poggi, P., Turchi, A., Chaté, H., Livi, R., Politi, A.: Characterizing dynamics with covariant
        Lyapunov vectors. Physical Review Letters 99, 130601 (2007).
        Ginelli, F., Chaté, H., Livi, R., Politi, A.: Covariant Lyapunov vectors. Journal of Physics A 46, 254005
        (2013).
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
    warmup, last = _schedule(driven.inputs.shape[-2], warmup, backward_warmup, resume is not None)
    forward = record(
        driven,
        "covariant vectors",
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
        q_until=last,
        keeps_r=True,
        progress=progress,
    )
    if forward.q is None or not forward.q.shape[-3]:
        raise ValueError(
            f"orthonormalize_every: got {orthonormalize_every}, expected an interval that ends after the warm-up of "
            f"{warmup} steps and by step {last}, where the backward warm-up begins"
        )
    vectors, exponents = _vectors(forward, forward.q, driven)
    unit = time_unit(driven)
    return driven.dataset(
        {
            "covariant_vector": (("time", "unit", "exponent"), vectors),
            "covariant_exponent": (("time", "exponent"), exponents),
            **ending_variables(forward.state, forward.tangents),
        },
        {"time": in_time(driven, forward.times[: vectors.shape[-3]])},
        ENDING_DESCRIPTIONS
        | {
            "covariant_vector": ("1", "covariant Lyapunov vector, of unit length"),
            "covariant_exponent": (f"nat/{unit}", "growth of the covariant vector in the interval that ends here"),
            "time": (unit, f"{unit}s of the inputs taken"),
        },
        n_steps=driven.inputs.shape[-2],
        warmup=warmup,
        backward_warmup=driven.inputs.shape[-2] - last,
        orthonormalize_every=orthonormalize_every,
    )


def _schedule(n_steps: int, warmup: int | None, backward_warmup: int | None, resumes: bool) -> tuple[int, int]:
    """Return the steps of the warm-up, and the last step of which something is returned.

    Raises:
        ValueError: the warm-ups leave no step, or one of them is negative.
    """
    if warmup is None:
        warmup = 0 if resumes else n_steps // 4
    backward_warmup = n_steps // 4 if backward_warmup is None else backward_warmup
    if min(warmup, backward_warmup) < 0 or warmup + backward_warmup >= n_steps:
        raise ValueError(
            f"warmup and backward_warmup: got {warmup} and {backward_warmup}, "
            f"expected 0 or more each and together fewer than the {n_steps} time steps of inputs"
        )
    return warmup, n_steps - backward_warmup


def _vectors(forward: Recording, q: Tensor, driven: DrivenSystem) -> tuple[Tensor, Tensor]:
    """Return the vectors (..., time, rows, k), and their growth per time step or time unit (..., time, k)."""
    assert forward.r is not None
    total = forward.log_r.sum(dim=-2)
    defined = (_keep_order(forward.log_r, forward.r) & torch.isfinite(total)).cummin(dim=-1).values
    n_times = q.shape[-3]
    coefficients, growths = carry_back(forward.r, forward.log_r, defined, n_times)
    vectors = q @ coefficients
    lengths = torch.tensor(forward.lengths[:n_times], dtype=torch.float64, device=growths.device)
    growths = (growths / lengths[:, None] / driven.time_per_step).to(vectors.dtype)
    missing = torch.where(torch.isneginf(total), total, torch.nan)[..., None, :].to(vectors.dtype)
    return (
        torch.where(defined[..., None, None, :], vectors, torch.nan),
        torch.where(defined[..., None, :], growths, missing),
    )


def _keep_order(log_r: Tensor, r: Tensor) -> Tensor:
    """Return which columns (..., k) always stood where they had stood: QR moves lost ones to the end, others forward.

    Args:
        log_r: (..., time, k).
        r: (..., time, k, k), the upper triangle of Q^T A.
    """
    some_lost = torch.isneginf(log_r).any(dim=-1, keepdim=True)
    stands = r.diagonal(dim1=-2, dim2=-1) > log_r.exp() / 2
    return (~some_lost | stands).all(dim=-2)
