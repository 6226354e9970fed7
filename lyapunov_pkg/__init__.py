"""Lyapunov exponents of recurrent neural networks, and what they tell about learning."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lyapunov_pkg.networks import Network
    from lyapunov_pkg.spectra.exponents import lyapunov_spectrum
    from lyapunov_pkg.spectra.statistics import kaplan_yorke_dimension

_EXPORTS = {
    "Network": "lyapunov_pkg.networks",
    "kaplan_yorke_dimension": "lyapunov_pkg.spectra.statistics",
    "lyapunov_spectrum": "lyapunov_pkg.spectra.exponents",
}

__all__ = ["Network", "kaplan_yorke_dimension", "lyapunov_spectrum"]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used, so that what needs no PyTorch does not wait for it."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
