"""Accuracy of `orthonormalize` on typical Jacobians, compared with LAPACK in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.linalg import orthonormalize
from lyapunov_pkg.linalg.cholesky import orthonormalize_by_cholesky
from lyapunov_pkg.linalg.householder import orthonormalize_by_householder
from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.training.bptt import TrainingSettings, train_variants
from lyapunov_pkg.reproduction.training.variants import design_variants

EPS = {dtype: torch.finfo(dtype).eps for dtype in (torch.float32, torch.float64)}


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of_condition(condition: float, *shape: int, seed: int = 0) -> Tensor:
    """Return matrices (..., n, k) whose singular values decrease geometrically from 1 to 1 / condition."""
    left, right = torch.linalg.qr(random(seed, *shape)).Q, torch.linalg.qr(random(seed + 1, *shape).mT).Q
    k = shape[-1]
    return left * torch.logspace(0, -math.log10(condition), k, dtype=torch.float64) @ right[..., :k, :k].mT


def lapack_log_r(matrices: Tensor) -> Tensor:
    return torch.linalg.qr(matrices).R.diagonal(dim1=-2, dim2=-1).abs().log().double()


def orthogonality_error(q: Tensor) -> float:
    q = q.double()
    return (q.mT @ q - torch.eye(q.shape[-1], dtype=torch.float64)).abs().max().item()


def moved_frames(network: Network, inputs: Tensor) -> list[Tensor]:
    """Return J_t Q_{t-1} along driven trajectories in float32, the matrices to orthonormalize at each step."""
    state, q = network.initial_state(len(inputs)), torch.eye(network.state_size)
    q = q.expand(network.n_variants, len(inputs), -1, -1)
    moved = []
    for x in inputs.unbind(1):
        state, tangents = network.push_forward(state, x, q)
        moved.append(tangents)
        q = orthonormalize(tangents)[0]
    return moved


TRAINED = [name for name in CELLS if name != "rank_one"]  # FORCE trains rank_one.


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    """Return two networks of each architecture, with small and large weights, before and after training."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 64)
    samples = (rng.uniform(0, 0.5, (64, 6, 3)) + 0.5 * np.eye(3)[labels][:, None]).astype(np.float32)
    dataset = xr.Dataset(
        {
            "train_input": (("train_sample", "time", "feature"), samples),
            "train_label": ("train_sample", labels),
            "test_input": (("test_sample", "time", "feature"), samples),
            "test_label": ("test_sample", labels),
        }
    )
    settings = {"hidden_size": 24, "init_param": {"uniform": [0.1, 1.0]}, "learning_rate": 0.01}
    found = {}
    for architecture in TRAINED:
        variants = design_variants("test", architecture, settings | {"architecture": architecture}, range(2), seed=0)
        store = train_variants(
            variants,
            dataset,
            TrainingSettings(epochs=3, batch_size=16, loss_on="last", optimizer="adam"),
            torch.device("cpu"),
        )
        for name, epoch in (("untrained", 0), ("trained", 3)):
            params = {
                key: torch.from_numpy(value.values[:, epoch])
                for key, value in store.data_vars.items()
                if key.startswith(("layer_", "readout."))
            }
            found[f"{architecture} {name}"] = Network.from_params(architecture, params)
    return found


@pytest.mark.parametrize("which", [f"{cell} {when}" for cell in TRAINED for when in ("untrained", "trained")])
def test_log_r_of_float32_jacobians_is_as_accurate_as_lapack(networks, which):
    network = networks[which]
    for matrices in moved_frames(network, random(0, 16, 8, 3).float()):
        q, log_r = orthonormalize(matrices)
        expected = lapack_log_r(matrices.double())
        error, lapacks = (log_r - expected).abs(), (lapack_log_r(matrices) - expected).abs()
        found = torch.isfinite(log_r)
        half = log_r.shape[-1] // 2
        assert error[..., :half][found[..., :half]].max() < 1e-5
        # For each matrix, the largest error is at most twice LAPACK's. Storing a number adds half a unit of eps.
        rounding = EPS[torch.float32] * (1 + expected.abs().amax(-1))
        complete = found.all(dim=-1)
        assert (error.amax(-1) <= 2 * lapacks.amax(-1) + rounding)[complete].all()
        assert orthogonality_error(q) < 4 * EPS[torch.float32]
        # Lost directions are below the resolution of float32.
        assert (expected[~found] - expected.amax(-1, keepdim=True).expand_as(expected)[~found] < math.log(1e-11)).all()


@pytest.mark.parametrize("shape", [(20, 16, 16), (3, 40, 12), (2, 200, 200), (1, 300, 10)])
@pytest.mark.parametrize("condition", [1e1, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_error_bound_holds_up_to_condition_1e12(shape, condition, dtype):
    matrices = of_condition(condition, *shape).to(dtype)
    q, log_r = orthonormalize(matrices)
    expected = lapack_log_r(matrices.double())
    assert orthogonality_error(q) < 3 * shape[-2] * EPS[dtype]
    bound = 10 * EPS[torch.float64] * torch.linalg.cond(matrices.double()).max() + 4 * EPS[dtype] * expected.abs().max()
    kept = torch.isfinite(log_r)  # Rounding the entries to float32 changes a condition number of 1e12.
    assert kept.all() or (dtype == torch.float32 and condition > 1e7)
    assert (log_r.double() - expected)[kept].abs().max() < bound


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(20, 16, 16), (5, 12, 7), (2, 210, 130)])
def test_one_pass_has_an_error_of_eps_over_the_sine(shape, dtype):
    matrices = of_condition(1e3, *shape).to(dtype)
    q, log_r = orthonormalize(matrices, to_rounding=False)
    expected = lapack_log_r(matrices.double())
    sine = (expected.exp() / torch.linalg.vector_norm(matrices.double(), dim=-2)).amin()
    assert (log_r.double() - expected).abs().max() < 30 * EPS[dtype] / sine
    assert orthogonality_error(q) < 100 * EPS[dtype] / sine


def test_one_pass_detects_matrices_that_it_cannot_resolve():
    """Well-conditioned matrices alternate with matrices for which a single pass in float32 would be wrong."""
    matrices = torch.stack([of_condition(c, 16, 16).float() for c in (10.0, 1e7) * 8])
    _, log_r = orthonormalize(matrices, to_rounding=False)
    assert (log_r.double() - lapack_log_r(matrices.double())).abs().max() < 1e-3


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    k=st.integers(1, 40),
    batch=st.sampled_from([(), (1,), (3,), (16,), (2, 9), (37,)]),
    rank=st.integers(0, 40),
    scale=st.floats(-100, 100),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    to_rounding=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_any_size_batch_scale_and_rank(n, k, batch, rank, scale, dtype, to_rounding, seed):
    n, k = max(n, k), min(n, k)
    rank = min(rank, k)
    matrices = random(seed, *batch, n, k)
    matrices[..., rank:] = 0.0  # These columns are exactly lost in every precision.
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    matrices = (matrices[..., order] * 10.0 ** (scale if dtype == torch.float64 else scale / 5)).to(dtype)
    q, log_r = orthonormalize(matrices, to_rounding=to_rounding)
    assert q.shape == matrices.shape and log_r.shape == (*batch, k) and q.dtype == log_r.dtype == dtype
    assert torch.isfinite(log_r[..., :rank]).all() and torch.isneginf(log_r[..., rank:]).all()
    kept = matrices[..., torch.sort(order[order < rank].argsort() * 0 + torch.where(order < rank)[0]).values].double()
    if rank:
        expected = lapack_log_r(kept)
        length = torch.linalg.vector_norm(kept, dim=-2)
        sine = (expected.exp() / length).amin().clamp(min=1e-12)
        error = (log_r[..., :rank].double() - expected).abs().max()
        assert error < 100 * EPS[dtype] * (1 / sine + expected.abs().max())
    assert orthogonality_error(q) < (20 * EPS[dtype] if to_rounding else 0.05)


@pytest.mark.parametrize("method", [orthonormalize_by_cholesky, orthonormalize_by_householder])
@pytest.mark.parametrize("condition", [1e1, 1e6, 1e12])
def test_the_methods_of_other_devices_agree(method, condition):
    matrices = of_condition(condition, 6, 20, 13)
    matrices[2, :, 4] = matrices[2, :, 1] - 3 * matrices[2, :, 0]
    matrices[3] = 0.0
    q, log_r = method(matrices)
    expected_q, expected_log_r = orthonormalize(matrices)
    assert torch.equal(torch.isneginf(log_r), torch.isneginf(expected_log_r))
    finite = torch.isfinite(log_r)
    bound = 100 * EPS[torch.float64] * condition
    assert (log_r - expected_log_r)[finite].abs().max() < bound
    assert orthogonality_error(q) < 1e-13
    columns = finite[..., None, :].expand_as(q)
    assert (q - expected_q)[columns].abs().max() < bound
