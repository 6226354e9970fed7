"""Errors of spectra in float32: the 99% quantile and the maximum of the differences from float64.

Run it in the root of the repository: `python benchmarks/single_precision.py`. It takes about two minutes on one core.

"Untrained" networks have PyTorch's initial weights. "Trained" networks learned a task in 150 batches: after 28 steps,
name the one of ten features with the largest sum. Exponents are averaged over 150 steps after 50 steps of warm-up, for
four sequences of noise.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from lyapunov_pkg.networks import from_torch
from lyapunov_pkg.spectra import average_exponents

KINDS = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}
N_FEATURES = 10


def trained(module: torch.nn.RNNBase, n_batches: int) -> torch.nn.RNNBase:
    """Train a module with a readout by Adam, and return the module."""
    generator = torch.Generator().manual_seed(1)
    readout = torch.nn.Linear(module.hidden_size, N_FEATURES)
    optimizer = torch.optim.Adam([*module.parameters(), *readout.parameters()], lr=0.005)
    for _ in range(n_batches):
        x = torch.randn(28, 64, N_FEATURES, generator=generator)
        loss = torch.nn.functional.cross_entropy(readout(module(x)[0][-1]), x.sum(0).argmax(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.requires_grad_(False)


def errors(module: torch.nn.RNNBase, jacobian: str, n_steps: int = 200) -> np.ndarray:
    """Return the differences of all exponents in float32 from those in float64, in nats per step."""
    x = torch.randn(4, n_steps, N_FEATURES, generator=torch.Generator().manual_seed(2))
    single, double = (
        average_exponents(
            network,
            x.to(dtype),
            network.initial_state(len(x)),
            network.initial_tangents(jacobian),
            warmup=n_steps // 4,
        ).exponents.double()
        for dtype in (torch.float32, torch.float64)
        for network in [from_torch(module).to(dtype=dtype)]
    )
    return (single - double).abs().numpy()


def main() -> None:
    """Print a table."""
    print("| network | layers | weights | Jacobian | 99% | largest |\n| --- | --- | --- | --- | --- | --- |")
    for kind, n_layers, n_batches in product(KINDS, (1, 2, 3), (0, 150)):
        torch.manual_seed(0)
        module = trained(KINDS[kind](N_FEATURES, 32, num_layers=n_layers), n_batches)
        weights = "trained" if n_batches else "untrained"
        for jacobian in ("full", "reduced"):
            error = errors(module, jacobian)
            quantile = np.quantile(error, 0.99)
            print(f"| {kind} | {n_layers} | {weights} | {jacobian} | {quantile:.0e} | {error.max():.0e} |", flush=True)


if __name__ == "__main__":
    main()
