"""Lyapunov spectra of recurrent networks and other systems, and statistics of spectra.

Modules that need PyTorch are imported on first use, so that the statistics alone load quickly.
"""

from __future__ import annotations

from importlib import import_module
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
    from lyapunov_pkg.spectra.adjoint import adjoint_vectors
    from lyapunov_pkg.spectra.angles import subspace_angles, vector_angles
    from lyapunov_pkg.spectra.averaging import average_exponents
    from lyapunov_pkg.spectra.covariant import covariant_vectors
    from lyapunov_pkg.spectra.exponents import lyapunov_spectrum
    from lyapunov_pkg.spectra.finite_time import finite_time_exponents, running_exponents

_MODULES = {
    "adjoint_vectors": "adjoint",
    "average_exponents": "averaging",
    "covariant_vectors": "covariant",
    "finite_time_exponents": "finite_time",
    "lyapunov_spectrum": "exponents",
    "running_exponents": "finite_time",
    "subspace_angles": "angles",
    "vector_angles": "angles",
}

__all__ = [
    "adjoint_vectors",
    "average_exponents",
    "covariant_vectors",
    "exponent_variance",
    "final_slope",
    "finite_time_exponents",
    "initial_slope",
    "kaplan_yorke_dimension",
    "lyapunov_spectrum",
    "maximum_exponent",
    "mean_exponent",
    "number_above_zero",
    "number_near_zero",
    "running_exponents",
    "subspace_angles",
    "vector_angles",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
