from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg import finite_time_exponents, lyapunov_spectrum, running_exponents
from lyapunov_pkg.networks import Network, from_torch
from lyapunov_pkg.systems.maps import Henon, LinearMap, autonomous_inputs
from lyapunov_pkg.workflow.store import save_store


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def gru() -> torch.nn.GRU:
    torch.manual_seed(3)
    return torch.nn.GRU(3, 4, batch_first=True).double()


@pytest.mark.parametrize(("warmup", "interval"), [(0, 1), (5, 1), (5, 4), (0, 100)])
def test_the_mean_over_time_is_the_spectrum(warmup, interval):
    inputs = random(2, 31, 3)
    settings = {"warmup": warmup, "orthonormalize_every": interval, "n_exponents": 3}
    spectrum = lyapunov_spectrum(gru(), inputs, **settings)["lyapunov_exponent"]
    finite_time = finite_time_exponents(gru(), inputs, **settings)
    mean = finite_time["finite_time_exponent"].weighted(finite_time["interval"]).mean("time")
    np.testing.assert_allclose(np.sort(mean)[:, ::-1], spectrum, atol=1e-12)
    last = running_exponents(finite_time).isel(time=-1)
    np.testing.assert_allclose(last, mean, atol=1e-12)


def test_intervals_are_counted_from_the_end_of_the_warmup_and_the_last_may_be_shorter():
    finite_time = finite_time_exponents(gru(), random(2, 17, 3), warmup=5, orthonormalize_every=5)
    assert finite_time["time"].values.tolist() == [10, 15, 17]
    assert finite_time["interval"].values.tolist() == [5, 5, 2]


def test_exponents_of_each_step_of_a_diagonal_map():
    factors = torch.tensor([2.0, 0.5], dtype=torch.float64)

    class Alternating:
        """Multiply by `factors` where the input is 1, and by their squares where it is 2."""

        def push_forward(self, state, x, tangents):
            stretch = factors**x
            return stretch * state, stretch[..., None] * tangents

    inputs = np.array([[[1.0], [2.0], [2.0], [1.0]]])
    finite_time = finite_time_exponents(Alternating(), inputs, initial_state=np.ones((1, 2)))
    expected = math.log(2) * np.array([[1, -1], [2, -2], [2, -2], [1, -1]])
    np.testing.assert_allclose(finite_time["finite_time_exponent"][0], expected)
    np.testing.assert_allclose(
        running_exponents(finite_time)[0], np.cumsum(expected, axis=0) / np.arange(1, 5)[:, None]
    )


def test_q_is_the_orthonormal_basis_of_the_propagated_tangent_vectors():
    rnn, inputs = gru(), random(2, 9, 3)
    network = from_torch(rnn)
    finite_time = finite_time_exponents(
        rnn, inputs, initial_tangents=torch.eye(4, 2), orthonormalize_every=3, return_q=True
    )
    assert finite_time["q"].dims == ("sequence", "time", "unit", "exponent")
    q, state = torch.eye(4, 2, dtype=torch.float64).expand(1, 2, 4, 2), network.initial_state(2)
    for index in range(3):
        for x in inputs[:, 3 * index : 3 * index + 3].unbind(1):
            state, q = network.push_forward(state, x, q)
        q, r = torch.linalg.qr(q)
        signs = r.diagonal(dim1=-2, dim2=-1).sign()
        q = q * signs[..., None, :]
        np.testing.assert_allclose(finite_time["q"].isel(time=index), q[0], atol=1e-12)


def test_henon_contracts_areas_by_the_same_factor_in_every_step():
    finite_time = finite_time_exponents(Henon(), autonomous_inputs(3, 40), initial_state=0.1 * random(3, 2))
    np.testing.assert_allclose(finite_time["finite_time_exponent"].sum("exponent"), math.log(0.3), atol=1e-10)


def test_a_network_has_an_axis_of_variants():
    network = Network.initialise("rnn", 3, 4, 0, [0.5, 1.0], [generator(0), generator(1)]).to(dtype=torch.float64)
    finite_time = finite_time_exponents(network, random(3, 6, 3), return_q=True)
    assert {"variant": 2, "sequence": 3, "time": 6, "exponent": 4, "unit": 4}.items() <= finite_time.sizes.items()
    assert finite_time["finite_time_exponent"].dims == ("variant", "sequence", "time", "exponent")
    assert running_exponents(finite_time).dims == ("variant", "sequence", "time", "exponent")


def test_a_diverged_trajectory_becomes_nan_and_a_lost_direction_minus_infinity():
    start = np.array([[0.0, 0.0], [50.0, 0.0]])
    finite_time = finite_time_exponents(Henon(), autonomous_inputs(2, 30), initial_state=start)
    values = finite_time["finite_time_exponent"]
    assert np.isfinite(values[0]).all() and np.isfinite(values[1, 0]).all() and np.isnan(values[1, -1]).all()
    running = running_exponents(finite_time)
    assert np.isfinite(running[0]).all() and np.isnan(running[1, -1]).all()
    lost = running_exponents(finite_time_exponents(LinearMap([[1.0, 2.0], [2.0, 4.0]]), autonomous_inputs(1, 3)))
    np.testing.assert_allclose(lost[0, :, 0], math.log(5) + np.log(5**-0.5) / np.arange(1, 4))
    assert np.isneginf(lost[0, :, 1]).all()


def test_selecting_later_times_is_the_same_as_a_longer_warmup():
    inputs = random(2, 20, 3)
    all_times = finite_time_exponents(gru(), inputs, warmup=4)
    later = finite_time_exponents(gru(), inputs, warmup=10)
    xr.testing.assert_allclose(running_exponents(all_times.sel(time=slice(11, None))), running_exponents(later))


def test_the_dataset_can_be_stored(tmp_path):
    finite_time = finite_time_exponents(gru().float(), random(2, 6, 3), warmup=2, return_q=True)
    finite_time["running_exponent"] = running_exponents(finite_time)
    assert finite_time["finite_time_exponent"].attrs["units"] == "nat/step"
    assert {"dtype": "float32", "jacobian": "full", "warmup": 2, "orthonormalize_every": 1}.items() <= (
        finite_time.attrs.items()
    )
    save_store(finite_time, tmp_path / "finite_time.zarr", {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warmup": 6}, "warmup: got 6, expected a whole number, 0 or more and fewer than the 6"),
        ({"orthonormalize_every": 0}, "orthonormalize_every: got 0"),
        ({"n_exponents": 5}, "n_exponents: got 5, expected 1 to 4"),
    ],
)
def test_arguments_are_checked_as_in_lyapunov_spectrum(arguments, message):
    with pytest.raises(ValueError, match=message):
        finite_time_exponents(gru(), random(2, 6, 3), **arguments)
