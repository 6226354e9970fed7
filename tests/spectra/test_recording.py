"""Orthonormalisations recorded by the kernels agree with PyTorch and are orthonormal to rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lyapunov_pkg import covariant_vectors, finite_time_exponents
from lyapunov_pkg.linalg import carry_back
from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.kernel_propagators import KernelPropagator
from lyapunov_pkg.spectra.propagators import Propagator, Record
from lyapunov_pkg.spectra.torch_propagators import StepPropagator

ENDS = [False, True, True, False, False, True]


def network(architecture: str = "lstm", size: int = 5, dtype: torch.dtype = torch.float64) -> Network:
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    return Network.initialise(architecture, 3, size, 0, [0.4, 0.2], generators).to(dtype=dtype)


def inputs(n_sequences: int, dtype: torch.dtype = torch.float64, n_steps: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_sequences, n_steps, 3, generator=generator, dtype=torch.float64).to(dtype)


def recorded(kind: type[Propagator], stacked: Network, x: Tensor, k: int, **keeps: bool) -> tuple[Record, Propagator]:
    tangents = torch.eye(stacked.state_size, k).to(x).expand(stacked.n_variants, len(x), -1, -1)
    propagator = kind(stacked, stacked.initial_state(len(x)), tangents)
    return propagator.record(propagator.path(x), slice(None), ENDS, **keeps), propagator


@pytest.mark.parametrize("n_sequences", [3, 19], ids=["one by one", "in groups"])
@pytest.mark.parametrize(("size", "k"), [(3, 1), (5, 10), (5, 7), (21, 20), (100, 5)])
def test_kernels_and_pytorch_record_the_same_factors(n_sequences, size, k):
    stacked, x = network(size=size), inputs(n_sequences)
    found, kernels = recorded(KernelPropagator, stacked, x, k, keeps_q=True, keeps_r=True)
    expected, steps = recorded(StepPropagator, stacked, x, k, keeps_q=True, keeps_r=True)
    for name in ("log_r", "q", "r"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-7, rtol=1e-7)
    assert torch.equal(found.finite, expected.finite) and found.finite.all()
    torch.testing.assert_close(kernels.current_tangents(), found.q[..., -1, :, :], atol=0, rtol=0)
    torch.testing.assert_close(kernels.state, steps.state)


@pytest.mark.parametrize("n_sequences", [3, 19], ids=["one by one", "in groups"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_q_is_orthonormal_to_rounding(n_sequences, dtype):
    found, _ = recorded(KernelPropagator, network(size=32, dtype=dtype), inputs(n_sequences, dtype), 64, keeps_q=True)
    products = found.q.double().mT @ found.q.double()
    assert (products - torch.eye(64)).abs().max() < 20 * torch.finfo(dtype).eps
    assert found.r is None


@pytest.mark.parametrize("ends", [ENDS, [False] * len(ENDS)], ids=["some intervals", "none"])
@pytest.mark.parametrize("kind", [KernelPropagator, StepPropagator])
def test_recorded_values_are_in_float64_for_every_dtype(kind, ends):
    stacked, x = network(dtype=torch.float32), inputs(3, torch.float32)
    tangents = torch.eye(10, 4).expand(2, 3, -1, -1)
    propagator = kind(stacked, stacked.initial_state(3), tangents)
    record = propagator.record(propagator.path(x), slice(None), ends)
    assert record.log_r.dtype == torch.float64 and record.log_r.shape == (2, 3, sum(ends), 4)
    assert record.finite.dtype == torch.bool and record.finite.shape == (2, 3, sum(ends))
    log_r, sines = propagator.follow(propagator.path(x), slice(None), ends)
    assert log_r.dtype == sines.dtype == torch.float64
    assert log_r.shape == (sum(ends), 2, 3, 4) and sines.shape == (sum(ends), 2, 3)


def test_lost_directions_and_non_finite_states_affect_only_their_trajectory():
    stacked = network("rnn")
    start = stacked.initial_state(4)
    start[:, 1, 0] = torch.inf
    stacked.params["layer_0.recurrent_weight"][0, :, 2] = 0.0
    tangents = torch.eye(5, dtype=torch.float64).expand(2, 4, -1, -1)
    propagator = KernelPropagator(stacked, start, tangents)
    found = propagator.record(propagator.path(inputs(4)), slice(None), ENDS, keeps_q=True, keeps_r=True)
    assert torch.isneginf(found.log_r[0, [0, 2, 3], :, -1]).all() and torch.isfinite(found.log_r[1, [0, 2, 3]]).all()
    assert torch.isfinite(found.log_r[0, [0, 2, 3], :, :-1]).all() and torch.isfinite(found.q[:, [0, 2, 3]]).all()


@pytest.mark.parametrize("settings", [{}, {"jacobian": "reduced", "n_exponents": 4}])
def test_threads_change_no_bit(settings):
    torch.manual_seed(0)
    lstm, x = torch.nn.LSTM(3, 12, batch_first=True), inputs(19, torch.float32, 40)
    found = []
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        found.append(
            (finite_time_exponents(lstm, x, return_q=True, **settings), covariant_vectors(lstm, x, **settings))
        )
    for first, second in zip(*found, strict=True):
        assert first.equals(second)


def test_return_q_changes_no_exponent():
    torch.manual_seed(0)
    gru, x = torch.nn.GRU(3, 12, batch_first=True), inputs(19, torch.float32, 40)
    plain, with_q = (finite_time_exponents(gru, x, return_q=q)["finite_time_exponent"] for q in (False, True))
    assert plain.equals(with_q)


@pytest.mark.parametrize(("n_rows", "k", "n_defined"), [(7, 4, 2), (4, 4, 1), (30, 19, 13), (5, 1, 1)])
def test_coefficients_are_propagated_backward_by_the_inverses_of_r(n_rows, k, n_defined):
    generator = torch.Generator().manual_seed(3)
    r = torch.randn(2, 6, k, k, generator=generator, dtype=torch.float64).triu()
    diagonal = 1 + torch.rand(2, 6, k, generator=generator, dtype=torch.float64)
    defined = torch.arange(k) < torch.tensor([[k], [n_defined]])
    q = torch.linalg.qr(torch.randn(2, 5, n_rows, k, generator=generator, dtype=torch.float64)).Q
    found, growths = carry_back(q.clone(), r, diagonal.log(), defined)
    for i, own in enumerate((k, n_defined)):
        current = np.eye(own)
        for time in range(5, -1, -1):
            if time < 5:
                bases = q[i, time].numpy()
                np.testing.assert_allclose(found[i, time, :, :own], bases[:, :own] @ current, atol=1e-12)
                np.testing.assert_allclose(found[i, time, :, own:], bases[:, own:], atol=1e-15)
            factor = (r[i, time].triu(1) + torch.diag(diagonal[i, time])).numpy()[:own, :own]
            current = np.linalg.solve(factor, current)
            lengths = np.linalg.norm(current, axis=0)
            current = current / lengths
            if time < 5:
                np.testing.assert_allclose(growths[i, time, :own], -np.log(lengths), atol=1e-12)
