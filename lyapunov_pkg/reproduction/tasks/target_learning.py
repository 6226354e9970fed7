"""Target learning: the periodic signals that a network is trained to generate by itself (chapter 3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

N_SINES = 4
LARGEST_FREQUENCY = 5
LARGEST_DIVISOR = 10


def four_sines(n_samples: int, generator: torch.Generator) -> Tensor:
    """Draw a target: one period, (n_samples,) in float64, of which an epoch of training is one pass.

        f_n = sum over 4 of sin(2 pi k n / n_samples) / a, scaled to [-1, 1]

    with integers k in 1..5 and a in 1..10, each drawn by itself (dissertation, appendix A of chapter 3, whose ranges
    [1, 6] and [1, 11] leave out their upper ends). With 1,200 samples 0.1 apart the frequencies are k / 120.

    Args:
        n_samples: samples in a period.
        generator: random stream on the CPU.

    Raises:
        ValueError: fewer samples than tell the highest frequency from a lower one (two a period, and one more).
    """
    fewest = 2 * LARGEST_FREQUENCY + 1
    if n_samples < fewest:
        raise ValueError(f"n_samples is {n_samples}; expected at least {fewest}, to tell apart the sines of a target")
    frequencies = torch.randint(1, LARGEST_FREQUENCY + 1, (N_SINES, 1), generator=generator)
    divisors = torch.randint(1, LARGEST_DIVISOR + 1, (N_SINES, 1), generator=generator)
    phase = frequencies * (2 * math.pi / n_samples * torch.arange(n_samples, dtype=torch.float64))
    signal = (torch.sin(phase) / divisors).sum(0)
    return signal / signal.abs().max()
