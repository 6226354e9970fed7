"""Adjoint and covariant vectors agree with NumPy's QR decomposition of Jacobians in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg import adjoint_vectors, covariant_vectors, finite_time_exponents, lyapunov_spectrum
from lyapunov_pkg.systems import Henon, LinearMap, TowelMap

N_STEPS = 900


def towel_jacobians() -> list[np.ndarray]:
    system, state, jacobians = TowelMap(), TowelMap().initial_state(1)[0], []
    for _ in range(N_STEPS):
        jacobians.append(torch.autograd.functional.jacobian(system.step, state).numpy())
        state = system.step(state)
    return jacobians


@pytest.fixture(scope="module")
def bases() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return Q at each time, computed forward in time, and A at each time, computed backward in time."""
    jacobians = towel_jacobians()
    past, future = [np.eye(3)], [np.eye(3)]
    for jacobian in jacobians:
        past.append(np.linalg.qr(jacobian @ past[-1])[0])
    for jacobian in reversed(jacobians):
        future.append(np.linalg.qr(jacobian.T @ future[-1])[0])
    return past, future[::-1]


def test_covariant_vectors_are_intersections_of_forward_and_backward_spans(bases):
    """The j-th vector is in the span of Q up to j and orthogonal to A up to j - 1 (Wolfe and Samelson 2007)."""
    vectors = covariant_vectors(TowelMap(), n_steps=N_STEPS, warmup=300, backward_warmup=450)
    past, future = bases
    for time in vectors["time"].values[::7]:
        q, a = past[time], future[time]
        second = q[:, 1] * (a[:, 0] @ q[:, 0]) - q[:, 0] * (a[:, 0] @ q[:, 1])
        expected = np.stack((q[:, 0], second, np.cross(a[:, 0], a[:, 1])), axis=1)
        expected /= np.linalg.norm(expected, axis=0)
        found = vectors["covariant_vector"].sel(time=time)[0].values
        np.testing.assert_allclose(np.abs((expected * found).sum(axis=0)), 1.0, atol=1e-10)


@pytest.mark.parametrize("interval", [2, 5])
def test_covariant_vectors_do_not_depend_on_the_interval(interval):
    settings = {"n_steps": 300, "warmup": 100, "backward_warmup": 100}
    every = covariant_vectors(TowelMap(), **settings)
    some = covariant_vectors(TowelMap(), orthonormalize_every=interval, **settings)
    assert some["time"].values.tolist() == list(range(100 + interval, 201, interval))
    cosine = (some["covariant_vector"] * every["covariant_vector"]).sum("unit")
    np.testing.assert_allclose(np.abs(cosine), 1.0, atol=1e-8)
    growth = every["covariant_exponent"].isel(time=slice(None, 100 // interval * interval))
    expected = growth.values.reshape(1, -1, interval, 3).mean(axis=2)
    np.testing.assert_allclose(some["covariant_exponent"], expected, atol=1e-7)


@pytest.mark.parametrize("interval", [1, 4])
def test_adjoint_vectors_agree_with_products_of_transposed_jacobians(bases, interval):
    settings = {"warmup": 620, "backward_warmup": 75, "orthonormalize_every": interval}
    vectors = adjoint_vectors(TowelMap(), n_steps=N_STEPS, **settings)
    assert vectors["time"].values.tolist() == list(range(620, 826, interval))
    for index, time in enumerate(vectors["time"].values):
        found = vectors["adjoint_vector"][0, index].values
        np.testing.assert_allclose(np.abs((found * bases[1][time]).sum(axis=0)), 1.0, atol=1e-8)
        np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-12)


def test_adjoint_exponents_average_to_the_spectrum():
    adjoint = adjoint_vectors(TowelMap(), n_steps=1000, warmup=50, backward_warmup=50)["adjoint_exponent"]
    spectrum = lyapunov_spectrum(TowelMap(), n_steps=950, warmup=50)["lyapunov_exponent"]
    np.testing.assert_allclose(adjoint.mean("time"), spectrum, atol=5e-3)


def test_adjoint_vectors_of_a_linear_map_are_left_singular_vectors_of_its_powers():
    matrix = np.array([[1.5, 0.7, 0.0], [0.0, 0.9, 0.4], [0.1, 0.0, 0.5]])
    found = adjoint_vectors(LinearMap(matrix), n_steps=200)["adjoint_vector"][0, 0].values
    powers = np.linalg.matrix_power(matrix, 40)
    expected = np.linalg.svd(powers.T)[0]
    np.testing.assert_allclose(np.abs(found.T @ expected)[0], [1, 0, 0], atol=1e-4)


def test_networks_and_fewer_vectors():
    torch.manual_seed(0)
    lstm, inputs = torch.nn.LSTM(3, 5, batch_first=True).double(), torch.randn(2, 300, 3, dtype=torch.float64)
    two, every = (adjoint_vectors(lstm, inputs, n_exponents=k)["adjoint_vector"] for k in (2, None))
    assert two.dims == ("sequence", "time", "unit", "exponent") and two.sizes["unit"] == 10
    first = np.abs((two.sel(exponent=1) * every.sel(exponent=1)).sum("unit"))
    assert float(first.isel(time=slice(None, 100)).min()) > 0.99
    reduced = adjoint_vectors(lstm, inputs[:, :20], jacobian="reduced")["adjoint_vector"]
    assert reduced.sizes["unit"] == reduced.sizes["exponent"] == 5


def test_a_diverged_trajectory_has_nan_vectors():
    start = np.array([[0.0, 0.0], [50.0, 0.0]])
    vectors = adjoint_vectors(Henon(), n_steps=60, initial_state=start)
    for name in ("adjoint_vector", "adjoint_exponent"):
        assert np.isfinite(vectors[name][0]).all() and np.isnan(vectors[name][1]).all()


@pytest.mark.parametrize("backward_warmup", [-1, 12])
def test_the_backward_warmup_must_leave_a_step(backward_warmup):
    with pytest.raises(ValueError, match=f"backward_warmup: got {backward_warmup}, expected 0 or more and fewer than"):
        adjoint_vectors(Henon(), n_steps=12, backward_warmup=backward_warmup)


def test_forward_and_adjoint_vectors_differ():
    q = finite_time_exponents(Henon(), n_steps=100, return_q=True)["q"].sel(time=50)[0].values
    a = adjoint_vectors(Henon(), n_steps=100)["adjoint_vector"].sel(time=50)[0].values
    assert abs(q[:, 0] @ a[:, 0]) < 0.99
