"""Covariant Lyapunov vectors: the directions that the tangent dynamics maps onto themselves."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.linalg import triangular_factor
from lyapunov_pkg.spectra.driven import Analysable, Orthonormalization, driven_system, orthonormalizations


@torch.no_grad()
def covariant_vectors(
    network: Analysable,
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int | None = None,
    backward_warmup: int | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> xr.Dataset:
    """Covariant Lyapunov vectors along driven trajectories (Ginelli et al. 2007).

    Vector v_t^j is a unit vector with J_t v_t^j = exp(g) v_{t+1}^j, where the time average of g is the j-th Lyapunov
    exponent. The vectors are neither orthogonal nor, unlike Q, dependent on the inner product; the first one is the
    first column of Q. Their span up to j is that of Q up to j.

    Q and R are stored on the way forward, J_t Q_t = Q_{t+1} R_{t+1}. On the way back coefficients C, which start from
    the identity, are mapped by C_t = R_{t+1}^{-1} C_{t+1} and normalised by columns; then V_t = Q_t C_t. At both ends
    there is a transient: v^j is right up to an error that falls as exp(-s times the gap between neighbouring exponents)
    with s the steps from the end. What is returned is covariant throughout, whatever the transients: along exactly or
    nearly degenerate exponents (a rotation, such as a complex pair) the vectors are some of many that are covariant.
    The cosine between vectors measures how close the system comes to a tangency.

    It stores n_sequences * (rows * k * times returned + k^2 * times after the warm-up) numbers for each variant, with
    rows the size of the state and k the exponents.

    Args:
        network: as `lyapunov_spectrum` takes it, and so are `inputs`, `n_exponents`, `state`, `initial_state`, `dtype`
            and `device`. float64 is advisable: in float32 a vector is covariant up to rounding errors times the ratio
            of the fastest growth to its own.
        inputs: (sequence, time, feature).
        n_exponents: how many leading vectors to compute, k; default all. The vectors do not depend on it.
        jacobian: "full" or "reduced", the Jacobian that is taken.
        initial_state: (S,), (sequence, S), or (variant, sequence, S); default zeros, or what a system starts from.
        warmup: first time steps in which Q turns towards its directions; nothing is returned of them. Default: a
            quarter of the steps.
        backward_warmup: last time steps in which C does; nothing is returned of them. Default: a quarter of the steps.
        dtype: torch.float32 or torch.float64.
        device: where to compute.

    Returns:
        Dataset with `covariant_vector(sequence, time, unit, exponent)`, unit vectors, and `covariant_exponent(sequence,
        time, exponent)`, g of the step that ends at this time, natural log per time step; a `Network` adds the axis
        `variant` in front. The coordinate `time` is the number of steps of `inputs` taken.

        NaN throughout: the trajectory diverged. From the first direction on that singular Jacobians lose at some time
        after the warm-up, the vectors of that sequence are NaN: a vector in the kernel of J has no image. Their
        exponents are -inf, or NaN for those that are themselves not lost.

    Raises:
        TypeError: `network` is nothing of which exponents can be taken.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included.

    Example:
        >>> vectors = covariant_vectors(Henon(), autonomous_inputs(1, 1000))  # of lyapunov_pkg.systems.maps
        >>> first, second = (vectors["covariant_vector"].sel(exponent=j) for j in (1, 2))
        >>> angle = np.arccos(np.abs(xr.dot(first, second, dim="unit")))

    References:
        Ginelli, F., Poggi, P., Turchi, A., Chaté, H., Livi, R., Politi, A.: Characterizing dynamics with covariant
        Lyapunov vectors. Physical Review Letters 99, 130601 (2007).
        Ginelli, F., Chaté, H., Livi, R., Politi, A.: Covariant Lyapunov vectors. Journal of Physics A 46, 254005
        (2013).
    """
    driven = driven_system(
        network,
        inputs,
        n_exponents=n_exponents,
        jacobian=jacobian,
        initial_state=initial_state,
        dtype=dtype,
        device=device,
    )
    n_steps = driven.inputs.shape[-2]
    warmup = n_steps // 4 if warmup is None else warmup
    backward_warmup = n_steps // 4 if backward_warmup is None else backward_warmup
    if min(warmup, backward_warmup) < 0 or warmup + backward_warmup >= n_steps:
        raise ValueError(
            f"warmup and backward_warmup: got {warmup} and {backward_warmup}, "
            f"expected 0 or more each and together fewer than the {n_steps} time steps of inputs"
        )
    last = n_steps - backward_warmup
    frames, factors, log_diagonals, follow = [], [], [], True
    for end in orthonormalizations(driven, warmup=warmup):
        if end.time <= last:
            frames.append(end.q)
        factors.append(triangular_factor(end.tangents, end.q, end.log_r))
        log_diagonals.append(end.log_r)
        follow = follow & _keeps_order(end, factors[-1])
    total = torch.stack(log_diagonals).sum(dim=0)
    defined = (follow & torch.isfinite(total)).cummin(dim=-1).values
    coefficients, exponents = _backward(factors, defined, len(frames))
    vectors = torch.stack([q @ c.to(q.dtype) for q, c in zip(frames, coefficients, strict=True)], dim=-3)
    missing = torch.where(torch.isneginf(total), total, torch.nan)
    return driven.dataset(
        {
            "covariant_vector": (
                ("time", "unit", "exponent"),
                torch.where(defined[..., None, None, :], vectors, torch.nan),
            ),
            "covariant_exponent": (
                ("time", "exponent"),
                torch.where(defined[..., None, :], exponents.to(vectors.dtype), missing[..., None, :]),
            ),
        },
        {"time": np.arange(warmup + 1, last + 1)},
        {
            "covariant_vector": ("1", "covariant Lyapunov vector, of unit length"),
            "covariant_exponent": ("nat/step", "growth of the covariant vector in the step that ends here"),
            "time": ("step", "steps of the inputs taken"),
        },
        warmup=warmup,
        backward_warmup=backward_warmup,
    )


def _keeps_order(end: Orthonormalization, factor: Tensor) -> Tensor:
    """Return which columns (..., k) stand where they stood: QR moves lost ones to the end and the others forward."""
    projected = (end.q * end.tangents).sum(dim=-2)
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    some_lost = torch.isneginf(end.log_r).any(dim=-1, keepdim=True)
    return ~some_lost | (projected > diagonal / 2)


def _backward(factors: list[Tensor], defined: Tensor, n_times: int) -> tuple[list[Tensor], Tensor]:
    """Return C at each of the first `n_times` times, and the log growth (..., time, k) of the step that ends there.

    Computed in float64. What is not `defined` (..., k) stands still and apart from the rest.
    """
    both = defined[..., :, None] & defined[..., None, :]
    identity = torch.eye(defined.shape[-1], dtype=torch.float64, device=defined.device)
    current = identity.expand(*defined.shape, -1)
    coefficients, growths = [], []
    for time in reversed(range(len(factors))):
        if time < n_times:
            coefficients.append(current)
        factor = torch.where(both, factors[time].double(), identity)
        current = torch.linalg.solve_triangular(factor, current, upper=True)
        length = torch.linalg.vector_norm(current, dim=-2, keepdim=True)
        current = current / length
        if time < n_times:
            growths.append(-length.squeeze(-2).log())
    return coefficients[::-1], torch.stack(growths[::-1], dim=-2)
