"""Targets agree with the formula, and depend only on their generator."""

from __future__ import annotations

import math

import pytest
import torch

from lyapunov_pkg.reproduction.tasks.target_learning import four_sines


def draw(seed: int, n_samples: int = 240) -> torch.Tensor:
    return four_sines(n_samples, torch.Generator().manual_seed(seed))


def test_a_target_is_a_normalised_sum_of_four_sines_with_integer_frequencies_and_divisors():
    for seed in range(20):
        target = draw(seed)
        assert target.abs().max().item() == pytest.approx(1)
        # The spectrum has only sines with frequencies 1 to 5 and nonnegative amplitudes.
        spectrum = torch.fft.rfft(target) / 240
        assert spectrum.real.abs().max() < 1e-12
        coefficients = -2 * spectrum.imag
        assert coefficients[[0, *range(6, 121)]].abs().max() < 1e-12
        assert (coefficients[1:6] > 1e-3).any()
        assert (coefficients > -1e-12).all()


def test_the_formula_with_its_numbers():
    generator = torch.Generator().manual_seed(3)
    k = torch.randint(1, 6, (4, 1), generator=generator).flatten().tolist()
    a = torch.randint(1, 11, (4, 1), generator=generator).flatten().tolist()
    signal = [
        sum(math.sin(2 * math.pi * frequency * n / 240) / divisor for frequency, divisor in zip(k, a, strict=True))
        for n in range(240)
    ]
    largest = max(map(abs, signal))
    assert draw(3).tolist() == pytest.approx([value / largest for value in signal])


def test_targets_differ_and_depend_only_on_the_generator():
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="n_samples is 10; expected at least 11"):
        draw(0, 10)
