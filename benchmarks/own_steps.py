"""Time of exponents of user-defined step functions: as programs, and through PyTorch.

    python benchmarks/own_steps.py [--rounds 5]

Prints a Markdown table: medians of wall time and of processor time. The results of both are compared before they are
timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg import lyapunov_spectrum
from lyapunov_pkg.spectra import recorded

Case = tuple[Callable[..., Any], dict[str, Any]]


def lstm(n_units: int, n_sequences: int, n_steps: int) -> Case:
    """Return a step of an LSTM with random weights, and its arguments."""
    generator = torch.Generator().manual_seed(0)
    input_weights = torch.randn(4, 4 * n_units, generator=generator) / 2
    weights = torch.randn(n_units, 4 * n_units, generator=generator) / n_units**0.5

    def step(state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        h, c = state
        i, f, g, o = (x @ input_weights + h @ weights).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    inputs = torch.randn(n_sequences, n_steps, 4, generator=generator)
    start = torch.zeros(n_sequences, n_units)
    return step, {"inputs": inputs, "initial_state": (start, start)}


def rossler(n_trajectories: int, n_steps: int) -> Case:
    """Return a Runge-Kutta step of Rössler's flow in float64, and its arguments."""

    def field(state: Tensor) -> Tensor:
        x, y, z = state.unbind(-1)
        return torch.stack((-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)), dim=-1)

    def step(state: Tensor) -> Tensor:
        k1 = field(state)
        k2 = field(state + 0.025 * k1)
        k3 = field(state + 0.025 * k2)
        k4 = field(state + 0.05 * k3)
        return state + 0.05 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    start = torch.rand(n_trajectories, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return step, {"n_steps": n_steps, "initial_state": start}


CASES: dict[str, Callable[[], Case]] = {
    "LSTM 16 × 1 × 2000": lambda: lstm(16, 1, 2000),
    "LSTM 64 × 1 × 500": lambda: lstm(64, 1, 500),
    "LSTM 64 × 128 × 28": lambda: lstm(64, 128, 28),
    "Rössler 1 × 1000": lambda: rossler(1, 1000),
    "Rössler 1000 × 100": lambda: rossler(1000, 100),
}


def timed(case: Case, n_rounds: int) -> tuple[np.ndarray, float, float]:
    """Return the exponents, and the medians of wall time and processor time in milliseconds."""
    step, arguments = case
    times = []
    for _ in range(n_rounds + 1):
        wall, processor = time.perf_counter(), time.process_time()
        exponents = lyapunov_spectrum(step, **arguments)["lyapunov_exponent"].values
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    # The first round loads or compiles the kernels.
    median_wall, median_processor = np.median(times[1:], axis=0) * 1e3
    return exponents, float(median_wall), float(median_processor)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    n_rounds = parser.parse_args().rounds
    print("| units × trajectories × steps | program | of a processor | PyTorch | of a processor | 99% differ by less |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, make in CASES.items():
        found, *as_program = timed(make(), n_rounds)
        with mock.patch.object(recorded, "program_of", lambda *arguments: None):
            expected, *through_torch = timed(make(), 1)
        # In float32 the trailing exponents of a few trajectories differ by more, because rounding determines them.
        apart = np.quantile(abs(found - expected), 0.99)
        if not apart < 1e-3:
            raise ValueError(f"{name}: 1% of the exponents differ by {apart} or more, expected less than 1e-3")
        cells = [f"{value:.0f} ms" for value in (*as_program, *through_torch)]
        print(f"| {' | '.join([name, *cells, f'{apart:.0e}'])} |", flush=True)


if __name__ == "__main__":
    main()
