"""Lyapunov exponents through which a loss can be back-propagated."""

from __future__ import annotations

from torch import Tensor

from lyapunov_pkg.linalg import orthonormalize_differentiably
from lyapunov_pkg.spectra.driven import DrivenSystem, orthonormalizations


def differentiable_exponents(driven: DrivenSystem, *, warmup: int = 0, orthonormalize_every: int = 1) -> Tensor:
    """The exponents of `average_exponents`, in the graph of all that is in `driven`.

    Returns:
        (sequence, exponent), or (variant, sequence, exponent) for a `Network`.

    Raises:
        ValueError: `warmup` leaves no step to measure, or `orthonormalize_every` is not positive.
    """
    ends = orthonormalizations(
        driven, warmup=warmup, orthonormalize_every=orthonormalize_every, decompose=orthonormalize_differentiably
    )
    total = sum(end.log_r.double() for end in ends)
    exponents = total / (driven.inputs.shape[-2] - warmup)
    return driven.results(exponents.sort(dim=-1, descending=True).values.to(driven.inputs.dtype))
