"""Covariant Lyapunov vectors: directions that the Jacobian of each step maps to those of the next step."""

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
    exponent. The vectors are not orthogonal. Unlike Q and `adjoint_vectors`, they do not depend on the inner product.
    The first j vectors span the same subspace as the first j columns of Q.

    The forward pass stores Q and R with J_t Q_t = Q_{t+1} R_{t+1}. The backward pass starts from coefficients C that
    are the identity. It computes C_t = R_{t+1}^{-1} C_{t+1}, normalises the columns, and returns V_t = Q_t C_t. There
    is a transient at both ends: s steps from the end, the error of v^j is of order exp(-s times the gap between
    neighbouring exponents). The returned vectors are covariant in spite of these transients. If exponents are equal or
    nearly equal (a rotation, such as a complex pair), many sets of vectors are covariant, and one of them is returned.
    The angles between the vectors, from `vector_angles`, measure how close the system comes to a tangency.

    The function stores n_sequences * (rows * k * times returned + k^2 * times after the warm-up) numbers per variant,
    where rows is the state size and k the number of exponents. `orthonormalize_every` divides both numbers of times.

    Args:
        system: as in `lyapunov_spectrum`. Use float64 if you can: in float32 the error of a vector is the rounding
            error times the ratio of the fastest growth to the vector's own growth.
        inputs: as in `lyapunov_spectrum`.
        n_steps: as in `lyapunov_spectrum`.
        duration: as in `lyapunov_spectrum`.
        n_exponents: k, the number of leading vectors to compute. Default: all. The vectors do not depend on k.
        jacobian: as in `lyapunov_spectrum`.
        initial_state: as in `lyapunov_spectrum`.
        initial_tangents: as in `lyapunov_spectrum`.
        warmup: number of initial steps, in which Q turns towards its directions. Nothing is returned for them. Default:
            a quarter of the steps, or 0 with `resume`.
        backward_warmup: number of last steps, in which C turns towards its directions. Nothing is returned for them.
            Default: a quarter of the steps.
        orthonormalize_every: steps from one QR decomposition to the next. Vectors are returned at these times only.
            Longer intervals make the trailing vectors less accurate.
        dtype: as in `lyapunov_spectrum`.
        device: as in `lyapunov_spectrum`.
        resume: the result of any earlier call of this package. The forward pass starts from its final state and tangent
            vectors. Vectors are returned for the new steps only. They equal those of one long run if the backward pass
            starts at the same step.
        progress: as in `lyapunov_spectrum`.

    Returns:
        Dataset with these variables. A `Network` adds the dimension `variant` in front.

        * `covariant_vector(sequence, time, unit, exponent)`: unit vectors. Their signs carry no meaning.
        * `covariant_exponent(sequence, time, exponent)`: g of the interval that ends at this time, divided by its
          length: nats per time step, or per time unit for a flow.
        * `final_state(sequence, state)` and `final_tangents(sequence, unit, direction)`, after the last step.

        The coordinate `time` is the time since the start of the run, in steps or in a flow's time units.

        All values of a sequence are NaN if its trajectory diverged. If singular Jacobians lose a direction after the
        warm-up, that vector and all later ones are NaN, because a vector in the kernel of J has no image. The exponent
        of a lost direction is -inf. Exponents of the other NaN vectors are NaN.

    Raises:
        TypeError: `system` is of a type that has no exponents.
        ValueError: an argument (or a weight) is out of range, has the wrong shape, or is not finite.

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
    """Return the steps of the warm-up, and the last step for which vectors are returned.

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
    vectors, growths = carry_back(q, forward.r, forward.log_r, defined)
    lengths = torch.tensor(forward.lengths[:n_times], dtype=torch.float64, device=growths.device)
    growths = (growths / lengths[:, None] / driven.time_per_step).to(vectors.dtype)
    missing = torch.where(torch.isneginf(total), total, torch.nan)[..., None, :].to(vectors.dtype)
    if not defined.all():
        vectors.masked_fill_(~defined[..., None, None, :], torch.nan)
    return vectors, torch.where(defined[..., None, :], growths, missing)


def _keep_order(log_r: Tensor, r: Tensor) -> Tensor:
    """Return which columns (..., k) kept their place: QR moves lost columns to the end and the others forward.

    Args:
        log_r: (..., time, k).
        r: (..., time, k, k), the upper triangle of Q^T A.
    """
    some_lost = torch.isneginf(log_r).any(dim=-1, keepdim=True)
    stands = r.diagonal(dim1=-2, dim2=-1) > log_r.exp() / 2
    return (~some_lost | stands).all(dim=-2)
