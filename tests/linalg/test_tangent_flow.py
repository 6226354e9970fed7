"""Moving tangent vectors through blocks of Jacobians, against products of matrices in float64."""

from __future__ import annotations

import pytest
import torch

from lyapunov_pkg.linalg.plan import Block
from lyapunov_pkg.linalg.tangent_flow import TangentFlow

SIZE, N_SLOTS = 5, 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_sequences", [1, 19], ids=["one by one", "in groups"])
def test_a_block_is_the_sum_of_its_terms(n_sequences: int, dtype: torch.dtype) -> None:
    """Blocks of one, two and three terms, with weights and without, with slopes of one slot and products of two."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 1, SIZE, SIZE, generator=generator, dtype=dtype)
    blocks = [
        Block(0, 0, False, (((0,), None), ((1,), None), ((2, 3), None))),
        Block(0, 1, False, (((1,), weights[0]),)),
        Block(1, 0, True, (((3,), None), ((0,), None))),
        Block(1, 1, False, (((2,), weights[0]), ((0, 1), weights[1]), ((3,), None))),
    ]
    tangents = torch.randn(1, n_sequences, 2 * SIZE, 3, generator=generator, dtype=dtype)
    slopes = torch.randn(1, 2, n_sequences, N_SLOTS, SIZE, generator=generator, dtype=dtype)
    flow = TangentFlow(blocks, 2, tangents)
    flow.advance(slopes, [False, False])

    expected = tangents.double()
    for step in range(2):
        before, after = expected.split(SIZE, dim=-2), list(torch.zeros_like(expected).split(SIZE, dim=-2))
        for block in blocks:
            for slots, weight in block.terms:
                slope = slopes[:, step][:, :, list(slots)].double().prod(dim=-2)
                source = (after if block.after else before)[block.source]
                product = source if weight is None else weight.double()[:, None] @ source
                after[block.target] = after[block.target] + slope[..., None] * product
        expected = torch.cat(after, dim=-2)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(flow.tangents().double(), expected, rtol=tolerance, atol=tolerance)
