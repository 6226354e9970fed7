"""Systems whose tangent vectors are multiplied by transposed Jacobians, forward in time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lyapunov_pkg.systems.base import TangentMap


class TransposedJacobian:
    """A system whose tangent vectors are multiplied by Jᵀ instead of J, forward in time (dissertation, eq. 4.11).

    The dissertation's released programs decompose the products J_tᵀ ... J_1ᵀ. These differ from the products of the
    tangent dynamics, J_t ... J_1. They also differ from the products of a gradient that goes backward in time, J_1ᵀ ...
    J_tᵀ (`lyapunov_pkg.adjoint_vectors`). If Jacobians change from step to step, the exponents are not the Lyapunov
    exponents. Only their sum is the same. Use this class to compare with numbers of such programs. It is slower than
    the spectrum of the system itself, because each step forms the whole Jacobian.

    Args:
        system: a `Network`, a map or flow of `lyapunov_pkg.systems`, or anything with
            `push_forward(state, x, tangents)`; a torch.nn module by `from_torch`.

    Example:
        The sum of the exponents of the Hénon map is ln 0.3 with and without transposition:

        >>> from lyapunov_pkg import lyapunov_spectrum
        >>> from lyapunov_pkg.systems import Henon, TransposedJacobian
        >>> found = lyapunov_spectrum(TransposedJacobian(Henon()), n_steps=500)["lyapunov_exponent"]
        >>> float(found.sum().round(3))
        -1.204
    """

    def __init__(self, system: TangentMap) -> None:
        self.system = system

    def __getattr__(self, name: str) -> Any:
        """Return the system's attribute. Only `push_forward` is different."""
        if name == "system":  # before __init__ has run, as in a copy
            raise AttributeError(name)
        return getattr(self.system, name)

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """See `lyapunov_pkg.systems.base.TangentMap`."""
        identity = torch.eye(tangents.shape[-2]).to(tangents).expand(*tangents.shape[:-1], tangents.shape[-2])
        state, jacobian = self.system.push_forward(state, x, identity)
        return state, jacobian.mT @ tangents
