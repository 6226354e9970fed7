"""Tangent vectors that show which sequence influences which other sequence."""

from __future__ import annotations

import pytest
import torch

from lyapunov_pkg.systems.checks import _separate_directions


@pytest.mark.parametrize("n_sequences", [1, 2, 3, 8, 13, 33])
def test_for_any_two_sequences_some_vector_is_nonzero_only_in_the_first(n_sequences: int) -> None:
    tangents, moved = _separate_directions(torch.zeros(2, n_sequences, 5))
    assert tangents.shape == (2, n_sequences, 5, moved.shape[-1])
    assert torch.equal((tangents != 0).all(dim=-2), moved.expand(2, -1, -1))
    separated = (moved[:, None] & ~moved[None]).any(dim=-1)
    assert torch.equal(separated, ~torch.eye(n_sequences, dtype=torch.bool))
    assert moved.any(dim=-1).all()
