from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.populations.spectra import SpectraSettings, spectra_of_training
from lyapunov_pkg.reproduction.populations.stored import stored_network
from lyapunov_pkg.reproduction.training.bptt import TrainingSettings, train_variants
from lyapunov_pkg.reproduction.training.variants import design_variants
from lyapunov_pkg.spectra.exponents import lyapunov_spectrum

CPU = torch.device("cpu")
SETTINGS = SpectraSettings(
    n_sequences=1, warmup_passes=1, orthonormalize_every=1, jacobian="reduced", dtype="float32", epochs=None
)


@pytest.fixture(scope="module")
def training() -> xr.Dataset:
    """Return a training store of two ASRNNs with two layers and a step size other than the default."""
    rng = np.random.default_rng(0)
    frames = {part: rng.normal(size=(n, 8, 3)).astype(np.float32) for part, n in {"train": 20, "validation": 5}.items()}
    dataset = xr.Dataset(
        {
            f"{part}_{kind}": ((f"{part}_sample", "time", "feature"), values[:, columns])
            for part, values in frames.items()
            for kind, columns in {"input": slice(0, -1), "target": slice(1, None)}.items()
        }
    )
    settings = {"architecture": "asrnn", "hidden_size": 4, "n_layers": 2, "eps": 0.3, "learning_rate": 0.01}
    variants = design_variants("test", "asrnn", settings | {"init_param": {"grid": [0.5, 1.0]}}, range(2), seed=1)
    training = TrainingSettings(epochs=3, batch_size=10, loss_on="all", optimizer="adam")
    return train_variants(variants, dataset, training, CPU)


def test_spectra_are_those_of_the_stored_networks(training: xr.Dataset) -> None:
    sequences = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))
    settings = SETTINGS.replaced(n_sequences=4, measured_passes=2, dtype="float64", epochs=[0, 3])
    spectra = spectra_of_training(training, sequences, settings, CPU)
    assert spectra.sizes == {"variant": 2, "epoch": 2, "exponent": 8}
    assert spectra["epoch"].values.tolist() == [0, 3]
    np.testing.assert_array_equal(spectra["validation_loss"], training["validation_loss"][:, [0, 3]])
    np.testing.assert_array_equal(spectra["best_epoch"], training["best_epoch"])
    assert spectra["eps"].values.tolist() == [0.3, 0.3]
    for variant in range(2):
        params = {
            name: torch.from_numpy(values.values[variant : variant + 1, 3]).double()
            for name, values in training.items()
            if name.startswith(("layer_", "readout"))
        }
        network = Network.from_params("asrnn", params, eps=0.3)
        expected = lyapunov_spectrum(network, sequences.repeat(1, 3, 1).double(), jacobian="reduced", warmup=7)
        exponents = expected["lyapunov_exponent"].values.reshape(4, 8)
        np.testing.assert_allclose(spectra["lyapunov_exponent"][variant, 1], exponents.mean(0), atol=1e-10)
        np.testing.assert_allclose(spectra["lyapunov_exponent_std"][variant, 1], exponents.std(0), atol=1e-10)


def test_epochs_that_are_not_stored_are_refused(training: xr.Dataset) -> None:
    settings = SETTINGS.replaced(epochs=[0, 9])
    with pytest.raises(ValueError, match="spectra are to be of epoch 9, which is not stored; expected 0 to 3"):
        spectra_of_training(training, torch.zeros(1, 7, 3), settings, CPU)


def test_the_transposed_convention_uses_transposed_jacobians(training: xr.Dataset) -> None:
    sequences = torch.randn(1, 7, 3, generator=torch.Generator().manual_seed(0))
    settings = SETTINGS.replaced(dtype="float64", convention="transposed", warmup_passes=0, epochs=[3])
    spectra = spectra_of_training(training, sequences, settings, CPU)
    assert spectra.attrs["convention"] == "transposed"
    network = stored_network(training, 0, 3).to(dtype=torch.float64)
    state, sums = network.initial_state(1), np.zeros(8)
    q = network.initial_tangents("reduced").numpy()
    for x in sequences[0].double():
        q, r = np.linalg.qr(network.jacobian(state, x[None])[0, 0].numpy().T @ q)
        sums += np.log(np.abs(np.diag(r)))
        state = network.step(state, x[None])
    np.testing.assert_allclose(spectra["lyapunov_exponent"][0, 0], np.sort(sums / 7)[::-1], atol=1e-9)
