"""Spectra of stacked networks in float32 agree with float64 within a bound, including the trailing exponents."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lyapunov_pkg.networks import Network, from_torch
from lyapunov_pkg.spectra import average_exponents

KINDS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


def stacked(kind: str, n_layers: int, gain: float) -> Network:
    """Return a network with PyTorch's initial weights times `gain`; a gain above 1 imitates the effect of training."""
    torch.manual_seed(0)
    module = KINDS[kind](6, 24, num_layers=n_layers)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if name.startswith("weight"):
                weight *= gain
    return from_torch(module)


@pytest.mark.parametrize("jacobian", ["full", "reduced"])
@pytest.mark.parametrize("gain", [1.0, 1.4], ids=["untrained", "as trained"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_exponents_in_float32_are_within_the_bound(kind, n_layers, gain, jacobian):
    """Relative to float64, 99% of the errors are below 1e-3 nats per step and all are below 1e-2."""
    single = stacked(kind, n_layers, gain)
    x = torch.randn(2, 160, 6, generator=torch.Generator().manual_seed(0))
    found, expected = (
        average_exponents(
            network, x.to(dtype), network.initial_state(2), network.initial_tangents(jacobian), warmup=40
        ).exponents.double()
        for dtype in (torch.float32, torch.float64)
        for network in [single.to(dtype=dtype)]
    )
    error = (found - expected).abs().numpy()
    assert np.quantile(error, 0.99) < 1e-3
    assert error.max() < 1e-2


@pytest.mark.parametrize("jacobian", ["full", "reduced"])
def test_tangents_of_the_last_layer_come_first(jacobian):
    network = Network.initialise("lstm", 3, 2, 0, [0.5], [torch.Generator().manual_seed(0)], n_layers=3)
    sizes = 2 if jacobian == "reduced" else 4
    expected = torch.eye(3 * sizes)[:, [*range(2 * sizes, 3 * sizes), *range(sizes, 2 * sizes), *range(sizes)]]
    assert torch.equal(network.initial_tangents(jacobian), expected)
    single = Network.initialise("lstm", 3, 2, 0, [0.5], [torch.Generator().manual_seed(0)]).to(dtype=torch.float64)
    assert torch.equal(single.initial_tangents(jacobian), torch.eye(sizes, dtype=torch.float64))


def test_the_spectrum_of_a_stack_is_the_union_of_the_spectra_of_its_layers():
    """The Jacobian is block lower triangular, so each layer's exponents are those of its diagonal blocks."""
    network = stacked("gru", 2, 1.0).to(dtype=torch.float64)
    x = torch.randn(1, 120, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = average_exponents(network, x, network.initial_state(1), network.initial_tangents()).exponents[0, 0]
    state, of_layers = network.initial_state(1), [0.0, 0.0]
    q = [np.eye(24), np.eye(24)]
    for step in x.unbind(1):
        jacobian = network.jacobian(state, step)[0, 0].numpy()
        state = network.step(state, step)
        for layer, rows in enumerate((slice(24), slice(24, 48))):
            q[layer], r = np.linalg.qr(jacobian[rows, rows] @ q[layer])
            of_layers[layer] = of_layers[layer] + np.log(np.abs(np.diag(r))) / x.shape[1]
    expected = np.sort(np.concatenate(of_layers))[::-1]
    np.testing.assert_allclose(found, expected, atol=1e-9)
