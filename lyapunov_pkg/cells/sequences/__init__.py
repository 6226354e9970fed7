"""A layer over whole sequences, with an explicit gradient, and the slopes along its trajectory.

`run_sequence` runs a layer. Its gradient is back-propagation through time. `linearize_sequence` runs a layer and
returns the derivatives of all its updates. Neither function records an autograd graph of each step.

The modules depend on each other in this order:

1. `plan` defines the layout of a cell's pre-activations in memory.
2. `trajectory` holds this memory.
3. `updates` binds the cell's updates to the memory. They consist of tensor operations (`tensor_updates`) or are
compiled for the CPU (`compiled`).
4. `forward`, `backward` and `slopes` run along the trajectory.

Symbols as in `lyapunov_pkg.cells.base`; V variants, T steps, A pre-activations (without those that join another one).
"""

from __future__ import annotations

from lyapunov_pkg.cells.sequences.run import run_sequence
from lyapunov_pkg.cells.sequences.slopes import linearize_sequence

__all__ = ["linearize_sequence", "run_sequence"]
