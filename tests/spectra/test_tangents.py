"""Initial tangent vectors give the k largest exponents, even if Jacobians have invariant subspaces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg.spectra.driven import driven_system
from lyapunov_pkg.spectra.tangents import drawn_tangents
from lyapunov_pkg.systems.maps import LinearMap
from tests.systems.reference import exponents, random


def two_blocks(gains: tuple[float, float]) -> torch.nn.RNN:
    """Return an RNN whose two halves of units are not connected."""
    rnn = torch.nn.RNN(1, 16, bias=False, batch_first=True).double()
    with torch.no_grad():
        rnn.weight_hh_l0.zero_()
        rnn.weight_hh_l0[:8, :8] = gains[0] * random(8, 8) / 8**0.5
        rnn.weight_hh_l0[8:, 8:] = gains[1] * random(8, 8, seed=1) / 8**0.5
    return rnn


class TestTheLargest:
    @pytest.mark.parametrize("diagonal", [(0.8, 1.1), (0.5, 0.7, 1.2, 0.9), (1e-3, 0.9, 1.0)])
    def test_of_diagonal_maps(self, diagonal):
        for k in range(1, len(diagonal)):
            found = exponents(LinearMap(np.diag(diagonal)), n_steps=600, warmup=400, n_exponents=k)
            np.testing.assert_allclose(found[0], np.sort(np.log(diagonal))[::-1][:k], atol=1e-8)

    @pytest.mark.parametrize("k", [1, 3])
    def test_of_unconnected_blocks(self, k):
        rnn, inputs = two_blocks((0.3, 2.5)), 0.1 * random(1, 500, 1)
        found = exponents(rnn, inputs, warmup=300, n_exponents=k)
        np.testing.assert_allclose(found, exponents(rnn, inputs, warmup=300)[:, :k], atol=2e-3)

    def test_of_a_stable_unit_driven_by_a_chaotic_one(self):
        def driven(state, x):
            response, drive = state.unbind(-1)
            return torch.stack((0.5 * torch.tanh(response) + drive, 4 * drive * (1 - drive)), -1)

        found = exponents(driven, np.zeros((1, 3000, 1)), initial_state=[0.1, 0.3], warmup=100, n_exponents=1)
        np.testing.assert_allclose(found, np.log(2), atol=5e-3)


class TestStarts:
    @pytest.mark.parametrize(("rows", "k"), [(2, 1), (7, 3), (64, 63)])
    def test_drawn_vectors_are_orthonormal_and_always_the_same(self, rows, k):
        drawn = drawn_tangents(rows, k)
        torch.testing.assert_close(drawn.mT @ drawn, torch.eye(k, dtype=torch.float64), rtol=0, atol=1e-13)
        state = torch.get_rng_state()
        driven = driven_system(LinearMap(np.eye(rows)), n_steps=3, n_exponents=k, dtype=torch.float32)
        assert torch.equal(driven.initial_tangents, drawn.float()) and torch.equal(torch.get_rng_state(), state)

    def test_every_unit_has_a_similar_component_in_the_first_vector(self):
        sizes = drawn_tangents(2000, 1).abs()
        assert 1.99 < sizes.max() / sizes.min() <= 2.0

    def test_complete_spectra_start_from_the_identity(self):
        for count in (None, 3):
            driven = driven_system(LinearMap(np.eye(3)), n_steps=3, n_exponents=count)
            assert torch.equal(driven.initial_tangents, torch.eye(3, dtype=torch.float64))

    def test_given_vectors_are_orthonormalised_and_orthonormal_ones_are_unchanged(self):
        for given in (np.array([[2.0, 1.0], [0.0, -3.0], [0.0, 0.0]]), torch.tensor([[2, 1], [0, -3], [0, 0]])):
            driven = driven_system(LinearMap(np.eye(3)), n_steps=3, initial_tangents=given)
            expected = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
            torch.testing.assert_close(driven.initial_tangents, expected)
        kept = torch.linalg.qr(random(3, 2)).Q
        driven = driven_system(LinearMap(np.eye(3)), n_steps=3, initial_tangents=kept, n_exponents=2)
        assert torch.equal(driven.initial_tangents, kept)

    def test_each_sequence_may_have_its_own_vectors(self):
        start = torch.stack((torch.eye(3)[:, :1], torch.eye(3)[:, 2:]))
        found = exponents(
            LinearMap(np.diag([0.5, 1.0, 3.0])), n_steps=5, initial_state=np.zeros((2, 3)), initial_tangents=start
        )
        np.testing.assert_allclose(found, np.log([[0.5], [3.0]]), atol=1e-12)

    def test_linearly_dependent_vectors_are_refused(self):
        with pytest.raises(ValueError, match=r"initial_tangents: got linearly dependent columns"):
            driven_system(LinearMap(np.eye(3)), n_steps=3, initial_tangents=np.ones((3, 2)))
        with pytest.raises(ValueError, match=r"initial_tangents: got shape \(3, 2\), expected .*with k 1"):
            driven_system(LinearMap(np.eye(3)), n_steps=3, initial_tangents=np.eye(3)[:, :2], n_exponents=1)
