"""Lyapunov exponents of recurrent neural networks, and what they tell about learning."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lyapunov_pkg.networks import Network
    from lyapunov_pkg.spectra.covariant import covariant_vectors
    from lyapunov_pkg.spectra.exponents import lyapunov_spectrum
    from lyapunov_pkg.spectra.finite_time import finite_time_exponents, running_exponents
    from lyapunov_pkg.spectra.statistics import kaplan_yorke_dimension

_EXPORTS = {
    "Network": "lyapunov_pkg.networks",
    "covariant_vectors": "lyapunov_pkg.spectra.covariant",
    "finite_time_exponents": "lyapunov_pkg.spectra.finite_time",
    "kaplan_yorke_dimension": "lyapunov_pkg.spectra.statistics",
    "lyapunov_spectrum": "lyapunov_pkg.spectra.exponents",
    "running_exponents": "lyapunov_pkg.spectra.finite_time",
}

__all__ = [
    "Network",
    "covariant_vectors",
    "finite_time_exponents",
    "kaplan_yorke_dimension",
    "lyapunov_spectrum",
    "running_exponents",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used, so that what needs no PyTorch does not wait for it."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
