"""Systems as kernels propagate states and tangent vectors like their PyTorch steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg import covariant_vectors, finite_time_exponents, lyapunov_spectrum
from lyapunov_pkg.spectra.kernel_propagators import SystemPropagator
from lyapunov_pkg.spectra.propagator_choice import make_propagator
from lyapunov_pkg.spectra.torch_propagators import StepPropagator
from lyapunov_pkg.systems import (
    CatMap,
    DampedOscillator,
    Flow,
    Henon,
    HenonHeiles,
    Ikeda,
    LinearMap,
    LogisticMap,
    Lorenz,
    Lorenz96,
    Rossler,
    StandardMap,
    TowelMap,
    orthogonal_map,
)

ENDS = [step % 3 == 2 for step in range(12)]


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


SYSTEMS = [
    Henon(),
    Henon(a=numbers(1.4, 1.3, 1.2)),
    LogisticMap(3.9),
    Ikeda(),
    StandardMap(),
    CatMap(),
    TowelMap(),
    orthogonal_map(5, torch.Generator().manual_seed(0)),
    Lorenz(),
    Lorenz([28.0, 5.0]),
    Rossler(a=numbers(0.2, 0.1, 0.15)),
    Lorenz96(8),
    Lorenz96(40),
    DampedOscillator(),
    HenonHeiles(),
]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: type(system).__name__)
@pytest.mark.parametrize("k", [None, 1])
def test_a_kernel_agrees_with_its_system(system, k):
    state = system.initial_state(3)
    state = state + 0.01 * torch.arange(3, dtype=torch.float64)[:, None] * torch.ones(state.shape[-1])
    tangents = torch.eye(state.shape[-1], k or state.shape[-1], dtype=torch.float64)
    tangents = tangents.expand(*state.shape[:-1], *tangents.shape)
    inputs = torch.zeros(3, 12, 0)
    kernels, steps = make_propagator(system, state, tangents, inputs), StepPropagator(system, state, tangents)
    assert isinstance(kernels, SystemPropagator)
    for _ in range(2):
        found, expected = (
            p.record(p.path(inputs), slice(None), ENDS, keeps_q=True, keeps_r=True) for p in (kernels, steps)
        )
        for name in ("log_r", "q", "r"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-7, rtol=1e-7)
        assert torch.equal(found.finite, expected.finite)
        torch.testing.assert_close(kernels.state, steps.state, atol=1e-8, rtol=1e-8)


def test_other_systems_do_not_run_as_kernels():
    class Bent(Henon):
        def step(self, state, x=None):
            return 0.5 * super().step(state, x)

    state, tangents = torch.zeros(2, 2).double(), torch.eye(2).double().expand(2, -1, -1)
    own = Flow(lambda state: -state, 0.1, initial_state=[1.0, 1.0])
    inputs = torch.zeros(2, 1, 0).double()
    large = LinearMap(torch.eye(40, dtype=torch.float64))
    for system, start in ((Bent(), state), (own, state), (large, torch.zeros(2, 40).double())):
        vectors = torch.eye(start.shape[-1], dtype=torch.float64).expand(2, -1, -1)
        assert not isinstance(make_propagator(system, start, vectors, inputs), SystemPropagator)
    # Parameters for three trajectories do not fit two trajectories.
    assert not isinstance(make_propagator(Henon(a=numbers(1.4, 1.3, 1.2)), state, tangents, inputs), SystemPropagator)


def test_threads_and_other_trajectories_change_no_bit():
    starts = 0.1 * torch.rand(7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = lyapunov_spectrum(Henon(), n_steps=50, initial_state=starts)["lyapunov_exponent"]
    alone = [lyapunov_spectrum(Henon(), n_steps=50, initial_state=start)["lyapunov_exponent"] for start in starts]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    torch.set_num_threads(3)
    assert lyapunov_spectrum(Henon(), n_steps=50, initial_state=starts)["lyapunov_exponent"].equals(together)


def test_float32_is_computed_in_float32():
    exponents = lyapunov_spectrum(CatMap(), n_steps=100, warmup=20, dtype=torch.float32)["lyapunov_exponent"]
    assert exponents.dtype == np.float32
    golden = np.log((3 + 5**0.5) / 2)
    np.testing.assert_allclose(exponents, [[golden, -golden]], atol=1e-5)


def test_lost_directions_and_diverged_trajectories_affect_only_themselves():
    singular = lyapunov_spectrum(LinearMap([[1.0, 2.0], [2.0, 4.0]]), n_steps=5, warmup=1)
    np.testing.assert_allclose(singular["lyapunov_exponent"][0, 0], np.log(5))
    assert np.isneginf(singular["lyapunov_exponent"][0, 1]) and singular["n_lossy_intervals"].item() == 4
    starts = np.array([[0.0, 0.0], [50.0, 0.0]])
    exponents = lyapunov_spectrum(Henon(), n_steps=30, initial_state=starts)["lyapunov_exponent"]
    assert np.isfinite(exponents[0]).all() and np.isnan(exponents[1]).all()


def test_vectors_of_a_linear_map_are_its_eigenvectors():
    system = LinearMap([[2.0, 1.0], [0.0, 0.5]])
    vectors = covariant_vectors(system, n_steps=80)["covariant_vector"][0, 0]
    expected = np.array([[1.0, -1.0], [0.0, 1.5]]) / np.linalg.norm([[1.0, -1.0], [0.0, 1.5]], axis=0)
    np.testing.assert_allclose(abs((vectors.values * expected).sum(axis=0)), 1.0, atol=1e-12)
    q = finite_time_exponents(system, n_steps=9, return_q=True)["q"][0, -1]
    np.testing.assert_allclose(q.values.T @ q.values, np.eye(2), atol=1e-15)
