"""Gradients through chaos explode: the derivative of the largest Lyapunov exponent by the gain of a random network.

The network is an autonomous tanh RNN of 100 units, h <- tanh(g J h), with Gaussian weights J of variance 1 / 100. At
g = 2 it is chaotic. `lyapunov_spectrum(..., differentiable=True)` gives the exact derivative of the finite-time
exponent by g. The exponent converges with the number of steps, but its derivative does not. The derivative contains
that of the state by g, which grows like every perturbation. The rate at which the exponent itself changes with g is
estimated here by the difference of long runs at g = 2 +- 0.1.

    python examples/gradients_through_chaos.py      # about a minute of one core

It prints, with PyTorch 2.13.0 (CPU):

    difference of long runs: 0.175
    exact derivative over 20 steps: 0.686
    exact derivative over 100 steps: -72.5
    exact derivative over 300 steps: -6.56e+14
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from lyapunov_pkg import lyapunov_spectrum

N_UNITS = 100
GAIN = 2.0
GAIN_DIFFERENCE = 0.1


def largest_exponent(gain: Tensor | float, couplings: Tensor, states: Tensor, n_steps: int, warmup: int = 0) -> Tensor:
    """Return the largest exponent, averaged over initial states, through which gradients flow to the gain."""

    def step(state: Tensor, _: Tensor) -> Tensor:
        return torch.tanh(gain * state @ couplings.T)

    exponents = lyapunov_spectrum(
        step, n_steps=n_steps, n_exponents=1, initial_state=states, warmup=warmup, differentiable=True
    )
    return exponents.mean()


def settled_states(couplings: Tensor, n_states: int, generator: torch.Generator) -> Tensor:
    """Return states on the attractor at the gain `GAIN`."""
    states = torch.randn(n_states, N_UNITS, generator=generator, dtype=torch.float64)
    for _ in range(500):
        states = torch.tanh(GAIN * states @ couplings.T)
    return states


def main(arguments: Sequence[str] | None = None) -> dict[int, float]:
    """Print the derivatives, and return those of single runs by their numbers of steps."""
    parser = argparse.ArgumentParser(description="Derivatives of the largest Lyapunov exponent of a chaotic network.")
    parser.add_argument(
        "--n-steps", type=int, nargs="+", default=[20, 100, 300], help="steps of the differentiated runs"
    )
    parser.add_argument("--n-states", type=int, default=64, help="initial states of the long runs")
    parser.add_argument("--long-run", type=int, default=2000, help="steps of the long runs")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args(arguments)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(settings.seed)
    couplings = torch.randn(N_UNITS, N_UNITS, generator=generator, dtype=torch.float64) / N_UNITS**0.5
    states = settled_states(couplings, settings.n_states, generator)
    with torch.no_grad():
        high, low = (
            largest_exponent(GAIN + sign * GAIN_DIFFERENCE, couplings, states, settings.long_run, 200)
            for sign in (1, -1)
        )
    print(f"difference of long runs: {(high - low) / (2 * GAIN_DIFFERENCE):.3f}")
    derivatives = {}
    for n_steps in settings.n_steps:
        gain = torch.tensor(GAIN, dtype=torch.float64, requires_grad=True)
        largest_exponent(gain, couplings, states[:1], n_steps).backward()
        assert gain.grad is not None
        derivatives[n_steps] = gain.grad.item()
        print(f"exact derivative over {n_steps} steps: {derivatives[n_steps]:.3g}")
    return derivatives


if __name__ == "__main__":
    main()
