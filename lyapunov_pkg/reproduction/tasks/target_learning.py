"""Target learning: the periodic signals that a network learns to generate autonomously (chapter 3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

N_SINES = 4
LARGEST_FREQUENCY = 5
LARGEST_DIVISOR = 10


def four_sines(n_samples: int, generator: torch.Generator) -> Tensor:
    """Return a random target: one period, (n_samples,) in float64. An epoch of training is one pass over it.

        f_n = sum over 4 of sin(2 pi k n / n_samples) / a, scaled to [-1, 1]

    with independent random integers k in 1..5 and a in 1..10 (dissertation, appendix A of chapter 3, whose ranges [1,
    6] and [1, 11] exclude their upper ends). With 1,200 samples at a distance of 0.1, the frequencies are k / 120.

    Args:
        n_samples: number of samples in a period.
        generator: random generator on the CPU.

    Raises:
        ValueError: there are too few samples for the highest frequency (two per period, plus one).
    """
    fewest = 2 * LARGEST_FREQUENCY + 1
    if n_samples < fewest:
        raise ValueError(f"n_samples is {n_samples}; expected at least {fewest}, to tell apart the sines of a target")
    frequencies = torch.randint(1, LARGEST_FREQUENCY + 1, (N_SINES, 1), generator=generator)
    divisors = torch.randint(1, LARGEST_DIVISOR + 1, (N_SINES, 1), generator=generator)
    phase = frequencies * (2 * math.pi / n_samples * torch.arange(n_samples, dtype=torch.float64))
    signal = (torch.sin(phase) / divisors).sum(0)
    return signal / signal.abs().max()
