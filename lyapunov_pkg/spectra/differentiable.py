"""Lyapunov exponents through which a loss can be back-propagated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from lyapunov_pkg.linalg import orthonormalize_differentiably
from lyapunov_pkg.spectra.driven import DrivenSystem, orthonormalizations


def differentiable_exponents(
    driven: DrivenSystem,
    *,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    advanced: Callable[[int], object] = lambda n_steps: None,
) -> Tensor:
    """Return the exponents of `average_exponents`, in the autograd graph of all tensors of `driven`.

    Args:
        driven: the system with its inputs.
        warmup: steps that are not measured.
        orthonormalize_every: T_ON, in steps.
        advanced: called with the number of steps done since the last call.

    Returns:
        (sequence, exponent), or (variant, sequence, exponent) for a `Network`; nats per step, or per time unit for a
        flow.

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is not positive or "auto".
    """
    if isinstance(orthonormalize_every, str):
        raise ValueError(
            f"orthonormalize_every: got {orthonormalize_every!r} with differentiable, expected 1 step or more"
        )
    ends = orthonormalizations(
        driven, warmup=warmup, orthonormalize_every=orthonormalize_every, decompose=orthonormalize_differentiably
    )
    total, done = torch.zeros((), dtype=torch.float64, device=driven.inputs.device), 0
    for end in ends:
        total = total + end.log_r.double()
        advanced(end.time - done)
        done = end.time
    exponents = total / (driven.inputs.shape[-2] - warmup) / driven.time_per_step
    exponents = exponents.sort(dim=-1, descending=True).values.to(driven.inputs.dtype)
    return driven.results(exponents)
