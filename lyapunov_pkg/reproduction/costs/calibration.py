"""The speed of this machine, from short measurements."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from lyapunov_pkg.reproduction.costs.constants import (
    CALIBRATED,
    SPECTRUM,
    START,
    TANGENT_FLOP,
    TANGENT_STEP,
    TRAINED_ELEMENT,
    TRAINED_FLOP,
    UPDATE,
)
from lyapunov_pkg.reproduction.costs.networks import tangent_flops


@dataclass(frozen=True)
class Speed:
    """Times on this machine, relative to `constants`.

    Attributes:
        training: relative time of training.
        tangents: relative time of tangent vectors.
        start: relative time of the start of a job.
    """

    training: float = 1.0
    tangents: float = 1.0
    start: float = 1.0


def calibrate() -> Speed:
    """Return the speed of this machine, from a few seconds of training, of a spectrum, and of starts of Python."""
    import torch

    from lyapunov_pkg.networks import Network

    torch.set_num_threads(1)
    size, n_steps, n_sequences = 128, 50, 32
    generators = [torch.Generator().manual_seed(0)]
    network = Network.initialise("lstm", 28, size, 28, [0.1], generators)
    inputs = torch.rand(n_sequences, n_steps, 28, generator=generators[0])

    def train() -> None:
        params = {name: value.detach().requires_grad_() for name, value in network.params.items()}
        network.with_params(params).forward(inputs[None]).square().sum().backward()

    def spectrum() -> None:
        from lyapunov_pkg.spectra.averaging import average_exponents

        tangents = network.initial_tangents("reduced")
        average_exponents(network, inputs[:10], network.initial_state(10), tangents, warmup=0, orthonormalize_every=1)

    n_weights = 4 * size * (28 + size) + 28 * size
    step = 6 * n_weights * TRAINED_FLOP + (4 * size + 28) * TRAINED_ELEMENT
    trained = CALIBRATED * (n_sequences * n_steps * step + UPDATE)
    taken = 10 * n_steps * (tangent_flops(size) * TANGENT_FLOP + TANGENT_STEP) + SPECTRUM
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, xarray, zarr"], check=True)
    started = time.perf_counter() - began
    return Speed(_shortest(train) / trained, _shortest(spectrum) / taken, (0.7 + started) / START)


def _shortest(action: Callable[[], None]) -> float:
    """Return the shortest of several times of an action in s, without the first, which includes compilation."""
    action()
    times = []
    for _ in range(7):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)
