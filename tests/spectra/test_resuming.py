"""A run in parts gives the same bits as an uninterrupted run."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg import covariant_vectors, finite_time_exponents, lyapunov_spectrum, running_exponents
from lyapunov_pkg.networks import Network
from lyapunov_pkg.systems import Henon, Lorenz, Rossler


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def module(kind: type[torch.nn.RNNBase], **settings: object) -> torch.nn.RNNBase:
    torch.manual_seed(7)
    return kind(3, 33, batch_first=True, **settings)


def step(state: Tensor, x: Tensor) -> Tensor:
    return torch.tanh(2 * state.roll(1, -1) + x)


SYSTEMS = {
    "lstm": (module(torch.nn.LSTM), random(2, 90, 3)),
    "two layers of gru in float64": (module(torch.nn.GRU, num_layers=2).double(), random(2, 90, 3)),
    "one sequence of rnn": (module(torch.nn.RNN), random(1, 90, 3)),
    "step function": (step, random(2, 90, 1)),
}


def assert_same(parts: xr.Dataset, whole: xr.Dataset) -> None:
    xr.testing.assert_identical(parts, whole)


class TestSpectrum:
    @pytest.mark.parametrize("stops", [(64,), (37,), (13, 14, 50)])
    @pytest.mark.parametrize("name", SYSTEMS)
    def test_a_run_in_parts_agrees_with_the_whole_run(self, name, stops):
        system, inputs = SYSTEMS[name]
        settings = {"n_exponents": 4}
        if name == "step function":
            settings["initial_state"] = np.full((2, 5), 0.1)
        whole = lyapunov_spectrum(system, inputs, warmup=10, **settings)
        found = lyapunov_spectrum(system, inputs[:, : stops[0]], warmup=10, **settings)
        for begin, end in zip(stops, (*stops[1:], 90), strict=True):
            found = lyapunov_spectrum(system, inputs[:, begin:end], resume=found)
        assert_same(found, whole)

    def test_variants_and_full_intervals(self):
        generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
        network, inputs = Network.initialise("lem", 3, 5, 0, [0.8, 1.2], generators), random(3, 60, 3)
        settings = {"orthonormalize_every": 4}
        first = lyapunov_spectrum(network, inputs[:, :23], warmup=3, **settings)
        assert_same(
            lyapunov_spectrum(network, inputs[:, 23:], resume=first, **settings),
            lyapunov_spectrum(network, inputs, warmup=3, **settings),
        )

    @pytest.mark.parametrize("name", ["lstm", "two layers of gru in float64"])
    def test_automatic_intervals_continue_where_the_trajectory_ended(self, name):
        """The kernels compute several steps at once, and the parts do not end at multiples of their number."""
        system, inputs = SYSTEMS[name]
        settings = {"n_exponents": 4, "orthonormalize_every": "auto"}
        first = lyapunov_spectrum(system, inputs[:, :37], orthonormalize_every=1, n_exponents=4)
        second = lyapunov_spectrum(system, inputs[:, 37:58], resume=first, orthonormalize_every="auto")
        found = lyapunov_spectrum(system, inputs[:, 58:], resume=second, orthonormalize_every="auto")
        whole = lyapunov_spectrum(system, inputs, **settings)
        np.testing.assert_allclose(found["final_state"], whole["final_state"], atol=1e-5)
        np.testing.assert_allclose(found["lyapunov_exponent"], whole["lyapunov_exponent"], atol=1e-4)

    @pytest.mark.parametrize("system", [Henon(), Lorenz(), Rossler()])
    def test_autonomous_systems(self, system):
        first = lyapunov_spectrum(system, n_steps=300, warmup=20)
        assert_same(
            lyapunov_spectrum(system, n_steps=299, resume=first), lyapunov_spectrum(system, n_steps=599, warmup=20)
        )

    def test_the_final_state_is_the_end_of_the_trajectory(self):
        states = torch.tensor([[0.1, 0.2], [0.3, 0.1]], dtype=torch.float64)
        result = lyapunov_spectrum(Henon(), n_steps=25, initial_state=states)
        for _ in range(25):
            states = Henon().step(states)
        np.testing.assert_array_equal(result["final_state"], states)
        lstm, inputs = SYSTEMS["lstm"]
        _, (h, c) = lstm(inputs.float())
        result = lyapunov_spectrum(lstm, inputs, n_exponents=1)
        np.testing.assert_allclose(result["final_state"], torch.cat((h[0], c[0]), -1).detach(), atol=1e-5)

    @pytest.mark.parametrize("file_format", ["zarr", "netcdf"])
    def test_a_saved_and_loaded_result_can_be_continued(self, file_format, tmp_path):
        system, inputs = SYSTEMS["lstm"]
        first = lyapunov_spectrum(system, inputs[:, :50], n_exponents=3)
        if file_format == "zarr":
            pytest.importorskip("zarr")
            first.to_zarr(tmp_path / "first.zarr")
            loaded = xr.open_zarr(tmp_path / "first.zarr").load()
        else:
            pytest.importorskip("scipy")
            first.to_netcdf(tmp_path / "first.nc", engine="scipy")
            with xr.open_dataset(tmp_path / "first.nc", engine="scipy") as opened:
                loaded = opened.load()
        found = lyapunov_spectrum(system, inputs[:, 50:], resume=loaded)
        whole = lyapunov_spectrum(system, inputs, n_exponents=3)
        np.testing.assert_array_equal(found["lyapunov_exponent"], whole["lyapunov_exponent"])
        np.testing.assert_array_equal(found["final_tangents"], whole["final_tangents"])

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"warmup": 3}, ValueError, "warmup: got 3 together with resume, expected 0"),
            ({"n_exponents": 2}, ValueError, "n_exponents: got 2, expected 3, that of resume"),
            ({"jacobian": "reduced"}, ValueError, "jacobian: got 'reduced', expected 'full', that of resume"),
            ({"dtype": torch.float64}, ValueError, "dtype: got 'float64', expected 'float32', that of resume"),
            ({"initial_tangents": np.eye(66, 3)}, ValueError, "initial_tangents: got some together with resume"),
            (
                {"inputs": random(5, 9, 3)},
                ValueError,
                r"resume: final_state has shape \(1, 2, 66\), expected \(1, 5, 66\)",
            ),
            ({"resume": 3}, TypeError, "resume: got int, expected the Dataset"),
            ({"resume": xr.Dataset()}, ValueError, "resume: got a Dataset without final_state and final_tangents"),
            ({"differentiable": True}, ValueError, "differentiable: got True together with resume"),
        ],
    )
    def test_settings_that_contradict_the_earlier_result_are_refused(self, arguments, error, message):
        system, inputs = SYSTEMS["lstm"]
        first = lyapunov_spectrum(system, inputs[:, :50], n_exponents=3)
        with pytest.raises(error, match=message):
            lyapunov_spectrum(**{"system": system, "inputs": inputs[:, 50:], "resume": first} | arguments)

    def test_a_result_of_finite_time_exponents_cannot_be_continued(self):
        first = finite_time_exponents(Henon(), n_steps=10)
        with pytest.raises(ValueError, match="resume: got a Dataset without batch_sum"):
            lyapunov_spectrum(Henon(), n_steps=10, resume=first)


class TestOtherFunctions:
    @pytest.mark.parametrize("system", [Henon(), Lorenz()])
    @pytest.mark.parametrize("return_q", [False, True])
    def test_finite_time_exponents_of_both_runs(self, system, return_q):
        settings = {"orthonormalize_every": 5, "return_q": return_q}
        first = finite_time_exponents(system, n_steps=52, warmup=2, **settings)
        found = finite_time_exponents(system, n_steps=31, resume=first, **settings)
        whole = finite_time_exponents(system, n_steps=83, warmup=2, **settings)
        assert found.attrs == whole.attrs
        xr.testing.assert_equal(found, whole)
        xr.testing.assert_equal(running_exponents(found), running_exponents(whole))

    @pytest.mark.parametrize(
        ("earlier", "settings", "message"),
        [
            (lyapunov_spectrum, {}, r"resume: got a result with \[.*'final_state'.* one of finite_time_exponents"),
            (finite_time_exponents, {"return_q": True}, r"resume: got a result with .* the same return_q"),
            (partial(finite_time_exponents, return_q=True), {}, r"resume: got a result with \[.*'q'.* same return_q"),
            (finite_time_exponents, {"warmup": 1}, "warmup: got 1 together with resume, expected 0"),
        ],
    )
    def test_other_results_and_settings_are_refused(self, earlier, settings, message):
        with pytest.raises(ValueError, match=message):
            finite_time_exponents(Henon(), n_steps=5, resume=earlier(Henon(), n_steps=8), **settings)

    def test_covariant_vectors_of_the_new_steps(self):
        first = lyapunov_spectrum(Henon(), n_steps=100)
        found = covariant_vectors(Henon(), n_steps=100, resume=first, backward_warmup=40)
        whole = covariant_vectors(Henon(), n_steps=200, warmup=100, backward_warmup=40)
        for name in ("covariant_vector", "covariant_exponent"):
            np.testing.assert_allclose(found[name], whole[name], atol=1e-10)


class TestStandardError:
    def test_the_standard_error_is_that_of_batch_means(self):
        result = lyapunov_spectrum(Henon(), n_steps=4000)
        batches = result["batch_sum"].isel(sequence=0).values / result["batch_steps"].values[:, None]
        full = batches[result["batch_intervals"].values == result["batch_intervals"].values[0]]
        assert 8 <= len(full) <= 16
        expected = full.std(axis=0, ddof=1) / len(full) ** 0.5
        np.testing.assert_allclose(result["standard_error"][0], expected, rtol=1e-9)
        total = result["batch_sum"].sum("batch")[0] / result["batch_steps"].sum()
        np.testing.assert_allclose(np.sort(total)[::-1], result["lyapunov_exponent"][0], rtol=1e-12)

    def test_the_standard_error_agrees_with_the_spread_of_many_trajectories(self):
        states = 0.1 * random(60, 2)
        result = lyapunov_spectrum(Henon(), n_steps=1100, initial_state=states, warmup=100)
        spread = result["lyapunov_exponent"].std("sequence", ddof=1)
        ratio = (result["standard_error"] ** 2).mean("sequence") ** 0.5 / spread
        assert ((ratio > 0.6) & (ratio < 1.6)).all()

    def test_too_few_intervals_give_no_standard_error(self):
        assert np.isnan(lyapunov_spectrum(Henon(), n_steps=7)["standard_error"]).all()
        assert np.isfinite(lyapunov_spectrum(Henon(), n_steps=8)["standard_error"]).all()


@pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("interval", [1, 7])
def test_the_last_running_exponent_is_the_spectrum(kind, interval):
    rnn, inputs = module(kind).double(), random(2, 60, 3)
    settings = {"warmup": 9, "orthonormalize_every": interval, "n_exponents": 5}
    running = running_exponents(finite_time_exponents(rnn, inputs, **settings)).isel(time=-1)
    spectrum = lyapunov_spectrum(rnn, inputs, **settings)["lyapunov_exponent"]
    np.testing.assert_allclose(np.sort(running)[:, ::-1], spectrum, atol=1e-12)


def test_lost_directions_are_counted():
    def forgets(state: Tensor, x: Tensor) -> Tensor:
        return state * torch.cat((torch.ones_like(x), x), -1)

    inputs = torch.ones(2, 6, 1, dtype=torch.float64)
    inputs[0, [1, 4]] = 0.0
    result = lyapunov_spectrum(forgets, inputs, initial_state=np.ones((2, 2)))
    assert result["n_lost"].values.tolist() == [1, 0]
    assert result["n_lossy_intervals"].values.tolist() == [2, 0]
