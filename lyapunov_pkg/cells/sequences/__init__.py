"""A layer over whole sequences, with its gradient written out, and the slopes along its path.

`run_sequence` runs a layer, with back-propagation through time as its gradient. `linearize_sequence` runs it and
returns the derivatives of all its updates. Neither records a graph by step.

The modules build on one another in this order. `plan` lays the pre-activations of a cell out in memory. `trajectory`
holds that memory. `updates` binds the cell's updates to it, made of tensor operations (`tensor_updates`) or compiled
for the CPU (`compiled`). `forward`, `backward` and `slopes` go along the trajectory.

Symbols as in `lyapunov_pkg.cells.base`; V variants, T steps, A pre-activations (those that join another not counted).
"""

from __future__ import annotations

from lyapunov_pkg.cells.sequences.run import run_sequence
from lyapunov_pkg.cells.sequences.slopes import linearize_sequence

__all__ = ["linearize_sequence", "run_sequence"]
