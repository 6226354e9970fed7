"""Lyapunov exponents of recurrent neural networks and of other dynamical systems.

* Exponents: `lyapunov_spectrum`, `finite_time_exponents`, `running_exponents`.
* Vectors: `covariant_vectors`, `adjoint_vectors`, and the angles `vector_angles` and `subspace_angles`.
* Statistics of spectra: `kaplan_yorke_dimension`, `maximum_exponent`, `mean_exponent`, `exponent_variance`,
  `number_above_zero`, `number_near_zero`, `initial_slope`, `final_slope`.
* Networks: `Network` and `from_torch`. `submodule_inputs` returns the inputs of a recurrent layer inside a larger
  model.
* Training: `SpectrumMonitor` computes spectra while a module is trained.
* Populations of networks: `AeLLE` embeds the spectra of many networks and predicts their losses. It needs scikit-learn,
  which the extra `aelle` installs.

Maps and flows are in `lyapunov_pkg.systems`. Plots of results are in `lyapunov_pkg.plots`, which needs the extra
`plot`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lyapunov_pkg.aelle.estimator import AeLLE as AeLLE
    from lyapunov_pkg.networks import Network, from_torch
    from lyapunov_pkg.spectra.adjoint import adjoint_vectors
    from lyapunov_pkg.spectra.angles import subspace_angles, vector_angles
    from lyapunov_pkg.spectra.covariant import covariant_vectors
    from lyapunov_pkg.spectra.exponents import lyapunov_spectrum
    from lyapunov_pkg.spectra.finite_time import finite_time_exponents, running_exponents
    from lyapunov_pkg.spectra.monitor import SpectrumMonitor
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
    from lyapunov_pkg.systems.modules import submodule_inputs

    __version__: str

_EXPORTS = {
    "AeLLE": "lyapunov_pkg.aelle.estimator",
    "Network": "lyapunov_pkg.networks",
    "SpectrumMonitor": "lyapunov_pkg.spectra.monitor",
    "adjoint_vectors": "lyapunov_pkg.spectra.adjoint",
    "covariant_vectors": "lyapunov_pkg.spectra.covariant",
    "exponent_variance": "lyapunov_pkg.spectra.statistics",
    "final_slope": "lyapunov_pkg.spectra.statistics",
    "finite_time_exponents": "lyapunov_pkg.spectra.finite_time",
    "from_torch": "lyapunov_pkg.networks",
    "initial_slope": "lyapunov_pkg.spectra.statistics",
    "kaplan_yorke_dimension": "lyapunov_pkg.spectra.statistics",
    "lyapunov_spectrum": "lyapunov_pkg.spectra.exponents",
    "maximum_exponent": "lyapunov_pkg.spectra.statistics",
    "mean_exponent": "lyapunov_pkg.spectra.statistics",
    "number_above_zero": "lyapunov_pkg.spectra.statistics",
    "number_near_zero": "lyapunov_pkg.spectra.statistics",
    "running_exponents": "lyapunov_pkg.spectra.finite_time",
    "submodule_inputs": "lyapunov_pkg.systems.modules",
    "subspace_angles": "lyapunov_pkg.spectra.angles",
    "vector_angles": "lyapunov_pkg.spectra.angles",
}

__all__ = [
    "Network",
    "SpectrumMonitor",
    "adjoint_vectors",
    "covariant_vectors",
    "exponent_variance",
    "final_slope",
    "finite_time_exponents",
    "from_torch",
    "initial_slope",
    "kaplan_yorke_dimension",
    "lyapunov_spectrum",
    "maximum_exponent",
    "mean_exponent",
    "number_above_zero",
    "number_near_zero",
    "running_exponents",
    "submodule_inputs",
    "subspace_angles",
    "vector_angles",
    *(["AeLLE"] if find_spec("sklearn") else []),  # so that `import *` and help() also work without scikit-learn
]


def __getattr__(name: str) -> object:
    """Import a public name on first use. Code that does not need PyTorch then does not wait for it to load."""
    if name == "__version__":
        from lyapunov_pkg.version import package_version

        return package_version()
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    """Return the public names, including those not yet imported, and the imported modules."""
    modules = {name for name, value in globals().items() if isinstance(value, ModuleType)}
    return sorted({*modules, *__all__, "__doc__", "__version__"})
