"""Recognition of the kind of a user's system."""

from __future__ import annotations

import torch

from lyapunov_pkg.networks import Network
from lyapunov_pkg.systems.base import Reader
from lyapunov_pkg.systems.flows import Flow
from lyapunov_pkg.systems.modules import CELLS, EXPECTED, ModuleReader, unwrapped
from lyapunov_pkg.systems.numbers import shown
from lyapunov_pkg.systems.recurrent import CellReader, SequenceReader
from lyapunov_pkg.systems.steps import StepReader
from lyapunov_pkg.systems.tangent_maps import FlowReader, NetworkReader, TangentMapReader


def reader_of(system: object) -> Reader:
    """Return the reader for a system's inputs and state.

    Raises:
        TypeError: `system` is of a type that has no exponents.
        ValueError: `system` is a bidirectional module.
    """
    system = unwrapped(system)
    if isinstance(system, Network):
        return NetworkReader(system)
    if type(system) is Flow:
        return FlowReader(system)
    if hasattr(system, "push_forward"):
        return TangentMapReader(system)
    if isinstance(system, torch.nn.RNNBase):
        return SequenceReader(system)
    if isinstance(system, CELLS):
        return CellReader(system)
    if isinstance(system, torch.nn.Module):
        return ModuleReader(system)
    if callable(system):
        return StepReader(system)
    raise TypeError(f"system: got {shown(system)} ({type(system).__name__}), expected {EXPECTED}")
