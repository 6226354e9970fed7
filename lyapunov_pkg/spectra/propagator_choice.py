"""Choice of the propagator of a system.

Networks and systems of this package use compiled kernels on the CPU. Users' steps and flows run there as programs if
possible. All other systems use PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.driven import TangentMap
from lyapunov_pkg.spectra.kernel_propagators import KernelPropagator, SystemPropagator
from lyapunov_pkg.spectra.propagators import Propagator
from lyapunov_pkg.spectra.torch_propagators import FlowPropagator, StepPropagator
from lyapunov_pkg.systems.flows import MATRICES_UP_TO, Flow
from lyapunov_pkg.systems.maps import AutonomousMap
from lyapunov_pkg.systems.steps import DifferentiatedStep

if TYPE_CHECKING:
    from lyapunov_pkg.systems.kernels import SystemKernel

SYSTEM_MODULES = (AutonomousMap.__module__, Flow.__module__)
"""Modules whose systems may have kernels."""


def make_propagator(
    system: TangentMap, state: Tensor, tangents: Tensor, inputs: Tensor, records: bool = False
) -> Propagator:
    """Return the fastest propagator for this system and these tangent vectors (..., rows, k).

    Args:
        system: the system.
        state: (..., S).
        tangents: (..., rows, k).
        inputs: (..., step, feature); the first step may be tried.
        records: whether `Propagator.record` will be called, which needs the states after all intervals.
    """
    if (
        isinstance(system, Network)
        and tangents.device.type == "cpu"
        and len({c.hidden_size for c in system.cells}) == 1
    ):
        return KernelPropagator(system, state, tangents)
    kernel = _kernel_of(system, state, tangents)
    if kernel is not None:
        return SystemPropagator(kernel, state, tangents)
    forms_jacobians = isinstance(system, Flow) and state.shape[-1] <= max(MATRICES_UP_TO, 2 * tangents.shape[-1])
    plain = FlowPropagator if forms_jacobians and not records else StepPropagator
    if (isinstance(system, DifferentiatedStep) or type(system) is Flow) and _is_for_kernels(state, tangents):
        from lyapunov_pkg.spectra.recorded import RecordedPropagator

        return RecordedPropagator(system, plain, state, tangents, inputs[..., 0, :])
    return plain(system, state, tangents)  # type: ignore[arg-type] # Only a flow is a `FlowPropagator`'s.


def _kernel_of(system: TangentMap, state: Tensor, tangents: Tensor) -> SystemKernel | None:
    """Return the kernel of a system; None if it has none, or the tensors do not suit kernels."""
    if not _is_for_kernels(state, tangents) or type(system).__module__ not in SYSTEM_MODULES:
        return None
    # Imported here: loading the compiled kernels takes a while, and many programs never need them.
    from lyapunov_pkg.systems.kernels import kernel_of

    return kernel_of(system, state)


def _is_for_kernels(state: Tensor, tangents: Tensor) -> bool:
    return state.device.type == "cpu" and state.dtype == tangents.dtype
