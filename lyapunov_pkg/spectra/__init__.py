"""Lyapunov spectra of recurrent networks and systems, and the statistics that sum them up.

What needs PyTorch is imported on first use, so that statistics alone stay light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lyapunov_pkg.spectra.statistics import (
    exponent_variance,
    final_slope,
    initial_slope,
    kaplan_yorke_dimension,
    maximum_exponent,
    mean_exponent,
    number_above_zero,
    number_near_zero,
)

if TYPE_CHECKING:
    from lyapunov_pkg.spectra.exponents import average_exponents, lyapunov_spectrum

__all__ = [
    "average_exponents",
    "exponent_variance",
    "final_slope",
    "initial_slope",
    "kaplan_yorke_dimension",
    "lyapunov_spectrum",
    "maximum_exponent",
    "mean_exponent",
    "number_above_zero",
    "number_near_zero",
]


def __getattr__(name: str) -> Any:
    if name in {"average_exponents", "lyapunov_spectrum"}:
        from lyapunov_pkg.spectra import exponents

        return getattr(exponents, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
