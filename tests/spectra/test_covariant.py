from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg import covariant_vectors, finite_time_exponents, lyapunov_spectrum
from lyapunov_pkg.networks import Network, from_torch
from lyapunov_pkg.spectra.driven import TangentMap
from lyapunov_pkg.systems.maps import Henon, LinearMap, autonomous_inputs, orthogonal_map
from lyapunov_pkg.workflow.store import save_store

VECTORS = ["covariant_vector", "covariant_exponent"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def trained_like_lstm() -> torch.nn.LSTM:
    """Return an LSTM with weights three times the initial ones and a larger forget bias, so that the gates saturate."""
    torch.manual_seed(2)
    lstm = torch.nn.LSTM(3, 5, batch_first=True).double()
    with torch.no_grad():
        for weights in lstm.parameters():
            weights *= 3
        lstm.bias_hh_l0[5:10] += 1.0
    return lstm


def defect(dataset: xr.Dataset, system: TangentMap, inputs: Tensor, state: Tensor) -> float:
    """Return the largest |J_t v_t / exp(g) - v_{t+1}| over all steps, sequences and vectors."""
    times, worst = dataset["time"].values, 0.0
    for taken, x in enumerate(inputs.unbind(-2)):
        vectors = torch.from_numpy(dataset["covariant_vector"].sel(time=max(taken, times[0]), method="nearest").values)
        state, images = system.push_forward(state, x, vectors.expand(*state.shape, -1))
        if taken in times and taken + 1 in times:
            growth = torch.from_numpy(dataset["covariant_exponent"].sel(time=taken + 1).values).exp()
            after = torch.from_numpy(dataset["covariant_vector"].sel(time=taken + 1).values)
            worst = max(worst, (images / growth[..., None, :] - after).abs().max().item())
    return worst


class TestCovariance:
    def test_lstm_full_state(self):
        lstm, inputs = trained_like_lstm(), random(2, 120, 3)
        network = from_torch(lstm)
        vectors = covariant_vectors(lstm, inputs)
        assert vectors["covariant_vector"].dims == ("sequence", "time", "unit", "exponent")
        assert vectors["time"].values.tolist() == list(range(31, 91))
        np.testing.assert_allclose((vectors["covariant_vector"] ** 2).sum("unit"), 1.0)
        assert defect(vectors, network, inputs, network.initial_state(2)) < 1e-8

    def test_henon(self):
        inputs, start = autonomous_inputs(4, 400), 0.1 * random(4, 2)
        vectors = covariant_vectors(Henon(), inputs, initial_state=start, warmup=100, backward_warmup=100)
        assert defect(vectors, Henon(), inputs, start) < 1e-8
        first, second = (vectors["covariant_vector"].sel(exponent=index) for index in (1, 2))
        angle = np.arccos(np.abs(xr.dot(first, second, dim="unit")))
        # Tangencies are rare: stable and unstable directions almost always differ, but their angle has no lower bound.
        assert angle.min() > 1e-4 and angle.median() > 0.3

    @pytest.mark.parametrize("architecture", ["rnn", "cornn", "lem"])
    def test_stacks_of_deep_networks(self, architecture):
        network = Network.initialise(architecture, 3, 3, 0, [0.8, 1.2], [generator(0), generator(1)], n_layers=2)
        network, inputs = network.to(dtype=torch.float64), random(2, 60, 3)
        vectors = covariant_vectors(network, inputs, n_exponents=4)
        assert vectors["covariant_vector"].dims == ("variant", "sequence", "time", "unit", "exponent")
        assert defect(vectors, network, inputs, network.initial_state(2)) < 1e-8

    def test_degenerate_exponents_still_have_covariant_vectors(self):
        system, inputs = orthogonal_map(5, generator()), autonomous_inputs(1, 40)
        vectors = covariant_vectors(system, inputs)
        assert defect(vectors, system, inputs, system.initial_state(1)) < 1e-12
        np.testing.assert_allclose(vectors["covariant_exponent"], 0.0, atol=1e-12)

    def test_nearly_degenerate_exponents(self):
        matrix = torch.diag(torch.tensor([2.0, 1.0 + 1e-9, 1.0, 0.5], dtype=torch.float64)) + random(4, 4).triu(1)
        vectors = covariant_vectors(LinearMap(matrix), autonomous_inputs(1, 200))
        assert defect(vectors, LinearMap(matrix), autonomous_inputs(1, 200), torch.zeros(1, 4).double()) < 1e-8
        np.testing.assert_allclose(np.exp(vectors["covariant_exponent"][0, 0, 0]), 2.0)


class TestVectors:
    def test_covariant_vectors_of_a_linear_map_are_its_eigenvectors(self):
        basis = random(4, 4, seed=4)
        moduli = torch.tensor([2.0, 1.2, -0.7, 0.3], dtype=torch.float64)
        system = LinearMap(basis @ torch.diag(moduli) @ torch.linalg.inv(basis))
        vectors = covariant_vectors(system, autonomous_inputs(1, 300))
        cosines = np.abs(vectors["covariant_vector"][0, 0].values.T @ (basis / basis.norm(dim=0)).numpy())
        np.testing.assert_allclose(cosines.diagonal(), 1.0, atol=1e-12)
        growth = vectors["covariant_exponent"][0]
        np.testing.assert_allclose(growth, np.broadcast_to(np.log(np.abs(moduli.numpy())), growth.shape), atol=1e-10)

    def test_the_first_vector_and_all_spans_agree_with_q(self):
        lstm, inputs = trained_like_lstm(), random(2, 40, 3)
        vectors = covariant_vectors(lstm, inputs, warmup=10, backward_warmup=10)
        q = finite_time_exponents(lstm, inputs, warmup=10, return_q=True)["q"].sel(time=vectors["time"])
        np.testing.assert_allclose(vectors["covariant_vector"][..., 0], q[..., 0], atol=1e-12)
        coefficients = q.values.swapaxes(-1, -2) @ vectors["covariant_vector"].values
        np.testing.assert_allclose(np.tril(coefficients, -1), 0.0, atol=1e-12)

    def test_leading_vectors_do_not_depend_on_the_number_of_vectors(self):
        basis, diagonal = random(3, 3), torch.diag(torch.tensor([0.3, 2.0, 0.8], dtype=torch.float64))
        system, inputs = LinearMap(basis @ diagonal @ torch.linalg.inv(basis)), autonomous_inputs(1, 200)
        every, two = (covariant_vectors(system, inputs, n_exponents=k, warmup=80) for k in (None, 2))
        leading = every.sel(exponent=[1, 2])
        np.testing.assert_allclose(two["covariant_exponent"], leading["covariant_exponent"], atol=1e-9)
        cosine = (two["covariant_vector"] * leading["covariant_vector"]).sum("unit")
        np.testing.assert_allclose(abs(cosine), 1.0, atol=1e-9)
        lstm, inputs = trained_like_lstm(), random(2, 60, 3)
        all_vectors = covariant_vectors(lstm, inputs)[VECTORS].sel(exponent=slice(1, 3))
        three = covariant_vectors(lstm, inputs, initial_tangents=torch.eye(10, 3))[VECTORS]
        xr.testing.assert_allclose(three, all_vectors, atol=1e-9)

    def test_vectors_after_transients_do_not_depend_on_the_initial_vectors(self):
        inputs = autonomous_inputs(1, 300)
        longer = covariant_vectors(Henon(), inputs, warmup=100, backward_warmup=150)[VECTORS]
        shorter = covariant_vectors(Henon(), inputs[:, :200], warmup=100, backward_warmup=50)[VECTORS]
        xr.testing.assert_allclose(longer, shorter, atol=1e-12)

    def test_reduced_vectors_have_only_hidden_units(self):
        vectors = covariant_vectors(trained_like_lstm(), random(1, 30, 3), jacobian="reduced")
        assert vectors.sizes["unit"] == vectors.sizes["exponent"] == 5


class TestExponents:
    def test_sums_of_exponents_differ_from_the_spectrum_by_the_angles_at_both_ends(self):
        lstm, inputs = trained_like_lstm(), random(2, 60, 3)
        vectors = covariant_vectors(lstm, inputs, warmup=9, backward_warmup=10)
        local = finite_time_exponents(lstm, inputs, warmup=9, return_q=True).sel(time=vectors["time"])
        own = (local["q"] * vectors["covariant_vector"]).sum("unit")
        sums = [data.isel(time=slice(1, None)).sum("time") for data in (
            vectors["covariant_exponent"], local["finite_time_exponent"]
        )]  # fmt: skip
        ends = np.log(own.isel(time=0, drop=True)) - np.log(own.isel(time=-1, drop=True))
        np.testing.assert_allclose(sums[0], sums[1] + ends, atol=1e-10)
        np.testing.assert_allclose(sums[0][:, 0], sums[1][:, 0], atol=1e-12)

    def test_exponents_average_to_the_spectrum(self):
        starts, inputs = 0.1 * random(20, 2), autonomous_inputs(20, 900)
        vectors = covariant_vectors(Henon(), inputs, initial_state=starts, warmup=100, backward_warmup=50)
        spectrum = lyapunov_spectrum(Henon(), inputs[:, :850], initial_state=starts, warmup=100)["lyapunov_exponent"]
        mean = vectors["covariant_exponent"].mean("time")
        np.testing.assert_allclose(mean[:, 0], spectrum[:, 0], atol=1e-12)
        np.testing.assert_allclose(mean.mean("sequence"), spectrum.mean("sequence"), atol=1e-3)


class TestSingularAndDiverged:
    def test_a_lost_direction_has_no_vector_and_does_not_affect_earlier_ones(self):
        matrix = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
        inputs = autonomous_inputs(1, 80)
        vectors = covariant_vectors(LinearMap(matrix), inputs)
        kept = vectors.sel(exponent=slice(1, 2))
        assert defect(kept, LinearMap(matrix), inputs, torch.zeros(1, 3).double()) < 1e-10
        np.testing.assert_allclose(kept["covariant_exponent"][0, 0], np.log([2.0, 1.0]), atol=1e-6)
        assert np.isnan(vectors["covariant_vector"].sel(exponent=3)).all()
        assert np.isneginf(vectors["covariant_exponent"].sel(exponent=3)).all()

    def test_vectors_are_undefined_if_a_lost_column_shifts_the_later_ones(self):
        class LosesTheSecond:
            """Stretch three coordinates, and set the second one to zero where the input is zero."""

            def push_forward(self, state, x, tangents):
                stretch = torch.tensor([2.0, 1.0, 0.5], dtype=state.dtype).expand_as(state).clone()
                stretch[..., 1] *= x[..., 0]
                return stretch * state, stretch[..., None] * tangents

        inputs = torch.ones(2, 20, 1, dtype=torch.float64)
        inputs[0, 10] = 0.0
        vectors = covariant_vectors(LosesTheSecond(), inputs, initial_state=torch.ones(3))
        undefined = np.isnan(vectors["covariant_vector"]).all(["time", "unit"])
        assert undefined.values.tolist() == [[False, True, True], [False, False, False]]
        growth = vectors["covariant_exponent"]
        assert np.isnan(growth[0, :, 1]).all() and np.isneginf(growth[0, :, 2]).all()
        np.testing.assert_allclose(growth[1, 0], np.log([2.0, 1.0, 0.5]), atol=1e-12)

    def test_a_diverged_trajectory_is_nan_and_does_not_affect_the_others(self):
        start = np.array([[0.0, 0.0], [50.0, 0.0]])
        vectors = covariant_vectors(Henon(), autonomous_inputs(2, 60), initial_state=start)
        for name in ("covariant_vector", "covariant_exponent"):
            assert np.isfinite(vectors[name][0]).all() and np.isnan(vectors[name][1]).all()


class TestInterface:
    def test_the_dataset_can_be_stored(self, tmp_path):
        vectors = covariant_vectors(trained_like_lstm().float(), random(2, 12, 3), warmup=2, backward_warmup=3)
        assert vectors["covariant_vector"].dtype == np.float32 and vectors["time"].values.tolist() == list(range(3, 10))
        assert vectors["covariant_exponent"].attrs["units"] == "nat/step"
        assert {"warmup": 2, "backward_warmup": 3, "dtype": "float32"}.items() <= vectors.attrs.items()
        save_store(vectors, tmp_path / "vectors.zarr", {})

    @pytest.mark.parametrize("transients", [(6, 6), (12, 0), (0, 12), (-1, 0), (0, -1)])
    def test_transients_must_leave_a_step(self, transients):
        with pytest.raises(ValueError, match=f"got {transients[0]} and {transients[1]}, expected 0 or more each and"):
            covariant_vectors(Henon(), autonomous_inputs(1, 12), warmup=transients[0], backward_warmup=transients[1])
