"""Products of transposed Jacobians forward in time agree with explicit matrices in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg import lyapunov_spectrum
from lyapunov_pkg.networks import Network
from lyapunov_pkg.systems import TransposedJacobian


def reference(network: Network, inputs: torch.Tensor) -> np.ndarray:
    """Return exponents (sequence, exponent) from NumPy's QR of the product with each transposed Jacobian."""
    found = []
    for sequence in inputs:
        state, q, sums = network.initial_state(1), np.eye(network.state_size), 0.0
        for x in sequence:
            jacobian = network.jacobian(state, x[None])[0, 0].numpy()
            state = network.step(state, x[None])
            q, r = np.linalg.qr(jacobian.T @ q)
            sums = sums + np.log(np.abs(np.diag(r)))
        found.append(np.sort(sums / len(sequence))[::-1])
    return np.array(found)


@pytest.mark.parametrize("architecture", ["rnn", "lstm", "gru"])
def test_exponents_agree_with_products_of_transposed_jacobians(architecture: str) -> None:
    generators = [torch.Generator().manual_seed(0)]
    network = Network.initialise(architecture, 3, 5, 2, [0.9], generators).to(dtype=torch.float64)
    inputs = torch.randn(2, 30, 3, dtype=torch.float64, generator=generators[0])
    found = lyapunov_spectrum(TransposedJacobian(network), inputs)["lyapunov_exponent"].values[0]
    np.testing.assert_allclose(found, reference(network, inputs), atol=1e-9)
    tangent = lyapunov_spectrum(network, inputs)["lyapunov_exponent"].values[0]
    assert np.abs(found - tangent).max() > 1e-3
    np.testing.assert_allclose(found.sum(-1), tangent.sum(-1), atol=1e-9)
