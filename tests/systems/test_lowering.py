"""Constants in the compiled form of programs."""

from __future__ import annotations

import warnings

import pytest
import torch

from lyapunov_pkg.systems.lowering import Lowering, Refused


def lowering() -> Lowering:
    return Lowering(4, 2, torch.float64)


def test_equal_constants_share_their_memory() -> None:
    written = lowering()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slots = written.constant(torch.tensor([1.5, -2.0], dtype=torch.float32))
        again = written.constant(torch.tensor([1.5, -2.0], dtype=torch.float64, requires_grad=True))
        column = written.constant(torch.tensor([[1.5], [-2.0]]))
        number = written.constant(1.5)
    assert torch.equal(slots, again) and len(set(slots.tolist())) == 2
    assert column.shape == (2, 1) and number.shape == ()
    assert not set(slots.tolist()) & {*column.flatten().tolist(), number.item()}


def test_constants_have_no_tangents() -> None:
    written = lowering()
    assert written.rows_of(written.constant(torch.ones(3))) == [-1, -1, -1]


def test_complex_constants_are_refused() -> None:
    with pytest.raises(Refused, match="complex numbers"):
        lowering().constant(torch.tensor([1.0 + 0j, 2.0]))
