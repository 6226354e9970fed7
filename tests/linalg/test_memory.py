"""Kernels write only to their own memory. `make test-plain` runs these tests with the narrowest vector registers."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.linalg import (
    cpu,
    fallback,
    graded,
    interleaved,
    one_by_one,
    program,
    stepping,
    tangent_flow,
    workspace,
)
from lyapunov_pkg.linalg.cpu import orthonormalize_on_cpu
from lyapunov_pkg.linalg.stepping import SteppedFlow
from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.propagator_choice import make_propagator
from lyapunov_pkg.systems import LinearMap
from lyapunov_pkg.systems.tracing import program_of

MODULES = [cpu, fallback, graded, interleaved, one_by_one, program, stepping, tangent_flow, workspace]
GUARD = 64
DTYPES = [torch.float32, torch.float64]


class Guards:
    """Allocate arrays like `aligned_zeros`, between guard values that must not change."""

    def __init__(self, allocate) -> None:
        self.allocate, self.allocated = allocate, []

    def __call__(self, size: int, dtype: np.dtype) -> NDArray:
        numbers = self.allocate(size + 2 * GUARD, dtype)
        numbers[:GUARD] = numbers[GUARD + size :] = 7
        self.allocated.append(numbers)
        return numbers[GUARD : GUARD + size]

    def check(self) -> None:
        assert self.allocated
        for numbers in self.allocated:
            assert (numbers[:GUARD] == 7).all()
            assert (numbers[-GUARD:] == 7).all()


@pytest.fixture
def guards(monkeypatch: pytest.MonkeyPatch) -> Guards:
    found = Guards(tangent_flow.aligned_zeros)
    for module in MODULES:
        assert isinstance(module, ModuleType)
        monkeypatch.setattr(module, "aligned_zeros", found)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_matrices", [1, 9])
@pytest.mark.parametrize("to_rounding", [True, False])
def test_orthonormalisation_of_matrices_of_all_small_sizes(guards, dtype, n_matrices, to_rounding):
    """Rows differ by many decades, so the fallback recomputes one matrix at a time in float64."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(n, k) for n in (1, 2, 3, 5, 8, 13, 19) for k in range(1, n + 1)]
    for n, k in sizes:
        rows = 10.0 ** (-30 * torch.rand(n_matrices, n, 1, generator=generator))
        for scale in (torch.ones(1), rows):
            matrices = scale * torch.randn(n_matrices, n, k, generator=generator)
            orthonormalize_on_cpu(matrices.to(dtype), to_rounding)
    guards.check()


@pytest.mark.parametrize("dtype", DTYPES)
def test_orthonormalisation_of_matrices_one_by_one(guards, dtype):
    generator = torch.Generator().manual_seed(0)
    for k in range(1, 18):
        q, _ = orthonormalize_on_cpu(torch.randn(3, 200, k, generator=generator, dtype=dtype), to_rounding=True)
        assert (q.mT @ q - torch.eye(k)).abs().max() < 1e-12
    guards.check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ["rnn", "lstm"])
@pytest.mark.parametrize(("hidden_size", "k"), [(7, 8 - 1), (10, 6), (33, 33), (200, 9)])
def test_propagation_of_networks(guards, dtype, architecture, hidden_size, k):
    assert architecture in CELLS
    network = Network.initialise(architecture, 2, hidden_size, 0, [0.2], [torch.Generator().manual_seed(0)])
    network = network.to(dtype=dtype)
    for n_sequences in (1, 3, 17):
        state = network.initial_state(n_sequences)
        tangents = torch.eye(hidden_size, k, dtype=dtype).expand(*state.shape[:-1], -1, -1)
        inputs = torch.randn(n_sequences, 4, 2, dtype=dtype)
        propagator = make_propagator(network, state, tangents, inputs)
        path = propagator.path(inputs)
        propagator.record(path, slice(0, 4), [True, False, True, True], keeps_q=True, keeps_r=True)
    guards.check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "k"), [(2, 2), (7, 7), (8, 8), (8, 3)])
def test_propagation_of_compiled_systems(guards, dtype, size, k):
    system = LinearMap(torch.randn(size, size, generator=torch.Generator().manual_seed(0)).double().numpy())
    state = torch.ones(3, size, dtype=dtype)
    inputs = torch.empty(3, 4, 0, dtype=dtype)
    propagator = make_propagator(system, state, torch.eye(size, k, dtype=dtype).expand(3, -1, -1), inputs)
    path = propagator.path(inputs)
    propagator.record(path, slice(0, 4), [True] * 4, keeps_q=True, keeps_r=True)
    propagator.follow(propagator.path(torch.empty(3, 2, 0, dtype=dtype)), slice(0, 2), [True, True])
    guards.check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "k"), [(3, 3), (3, 1), (5, 4), (17, 17), (30, 9)])
def test_propagation_of_programs(guards, dtype, size, k):
    weights = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).to(dtype)

    def step(state, x):
        return torch.tanh(state @ weights + x.sum(dim=-1, keepdim=True))

    state, inputs = torch.ones(3, size, dtype=dtype), torch.ones(3, 4, 2, dtype=dtype)
    of_step = program_of(step, step, state, inputs[:, 0])
    flow = SteppedFlow(of_step, torch.zeros(1, 0), state, torch.eye(size, k, dtype=dtype).expand(3, -1, -1))
    assert (flow.machine_code is None) == (size > 5)
    flow.states_along(inputs)
    flow.drive(inputs)
    flow.advance([True] * 4, to_rounding=True, keeps_q=True, keeps_r=True)
    guards.check()
