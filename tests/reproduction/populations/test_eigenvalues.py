from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.populations.eigenvalues import eigenvalues_of_training

EPOCHS = 2


def training_store(
    architecture: str = "asrnn", p: float = 1.0, n_variants: int = 3, **hyperparameters: float
) -> xr.Dataset:
    """Return a training store of untrained networks, a different one after every epoch; the second has diverged."""
    of_epochs = []
    for epoch in range(EPOCHS):
        generators = [torch.Generator().manual_seed(10 * epoch + number) for number in range(n_variants)]
        networks = Network.initialise(architecture, 2, 5, 3, [p] * n_variants, generators, **hyperparameters)
        of_epochs.append(networks.params)
    dataset = xr.Dataset(
        {
            "validation_loss": (("variant", "epoch"), np.ones((n_variants, EPOCHS))),
            "diverged": ("variant", np.arange(n_variants) == 1),
            "kept_epoch": (("variant", "kept"), np.tile(np.arange(EPOCHS), (n_variants, 1))),
        },
        coords={
            "architecture": ("variant", [architecture] * n_variants),
            "epoch": np.arange(EPOCHS),
            **{name: ("variant", [value] * n_variants) for name, value in hyperparameters.items()},
        },
    )
    for name in of_epochs[0]:
        values = np.stack([params[name].numpy() for params in of_epochs], axis=1)
        dataset[name] = (("variant", "kept", *(f"{name}.{axis}" for axis in range(values.ndim - 2))), values)
    for variable in dataset.variables.values():
        variable.attrs.update(units="1", long_name="of the test")
    return dataset


def complex_eigenvalues(result: xr.Dataset) -> np.ndarray:
    return result["eigenvalue_real"].values + 1j * result["eigenvalue_imaginary"].values


@pytest.mark.parametrize("architecture", ["asrnn", "lstm"])
def test_eigenvalues_are_those_of_the_last_networks_jacobian(architecture: str) -> None:
    training = training_store(architecture)
    values = complex_eigenvalues(eigenvalues_of_training(training, seed=4))
    params = {
        name: torch.from_numpy(variable.values[:1, -1]).double()
        for name, variable in training.data_vars.items()
        if name.startswith(("layer_", "readout"))
    }
    network = Network.from_params(architecture, params)
    generator = torch.Generator().manual_seed(4)
    state = torch.randn(1, 1, network.state_size, dtype=torch.float64, generator=generator)
    x = torch.randn(1, 1, 2, dtype=torch.float64, generator=generator)
    jacobian = torch.autograd.functional.jacobian(lambda h: network.step(h, x), state).squeeze()
    expected = torch.linalg.eigvals(jacobian).numpy()
    np.testing.assert_allclose(np.sort_complex(values[0]), np.sort_complex(expected), atol=1e-12)
    assert (np.diff(values[0].imag) <= 0).all()


def test_an_asrnn_with_a_negligible_step_has_eigenvalues_one_and_a_diverged_one_has_none() -> None:
    values = complex_eigenvalues(eigenvalues_of_training(training_store(eps=1e-15, gamma=0.1), seed=0))
    np.testing.assert_allclose(values[[0, 2]], 1, atol=1e-12)
    assert np.isnan(values[1]).all()


def test_non_finite_parameters_give_nan_and_every_variable_is_labelled() -> None:
    training = training_store()
    training["layer_0.recurrent_weight"][0] = np.inf
    result = eigenvalues_of_training(training, seed=0)
    assert np.isnan(result["eigenvalue_real"][0]).all() and result["eigenvalue_real"][2].notnull().all()
    assert result.sizes["epoch"] == 1
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in result.variables.values())
