from __future__ import annotations

import pytest
import torch

from lyapunov_pkg.linalg import orthonormalize, orthonormalize_differentiably, triangular_factor


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (2, 3, 6, 1), (3, 1, 1)])
def test_gradients_agree_with_finite_differences(shape):
    assert torch.autograd.gradcheck(orthonormalize_differentiably, (random(*shape).requires_grad_(),))


def test_gradients_agree_with_torch_for_nearly_dependent_columns():
    matrix = random(6, 4) @ torch.diag(torch.logspace(0, -6, 4, dtype=torch.float64)) @ random(4, 4)
    weights = random(6, 4), random(4)

    def torchs(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        q, r = torch.linalg.qr(matrix)
        return q * r.diagonal().sign(), r.diagonal().abs().log()

    gradients = []
    for decompose in (torchs, orthonormalize_differentiably):
        leaf = matrix.clone().requires_grad_()
        q, log_r = decompose(leaf)
        ((q * weights[0]).sum() + (log_r * weights[1]).sum()).backward()
        gradients.append(leaf.grad)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-6)


def test_only_a_singular_or_non_finite_matrix_has_a_nan_gradient():
    matrices = random(4, 3, 3)
    matrices[1, :, 2] = 2 * matrices[1, :, 0]
    matrices[2, 0, 0] = torch.nan
    matrices.requires_grad_()
    _, log_r = orthonormalize_differentiably(matrices)
    log_r.sum().backward()
    assert torch.isnan(matrices.grad).all(dim=(-2, -1)).tolist() == [False, True, True, False]
    assert torch.isfinite(matrices.grad[[0, 3]]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_q_and_the_triangular_factor_reproduce_the_matrices(dtype):
    matrices = random(5, 6, 4).to(dtype)
    q, log_r = orthonormalize(matrices)
    factor = triangular_factor(matrices, q, log_r)
    assert torch.equal(factor, factor.triu()) and (factor.diagonal(dim1=-2, dim2=-1) > 0).all()
    assert torch.allclose(q @ factor, matrices, atol=10 * torch.finfo(dtype).eps)
