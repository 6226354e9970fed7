"""Eigenvalues of the Jacobian of trained networks at one state and input (dissertation, chapter 3, figure 3.2)."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from lyapunov_pkg.devices import one_thread
from lyapunov_pkg.labels import Label, describe
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.populations.stored import carried_along, stored_network

DESCRIPTIONS = {
    "eigenvalue": Label("1", "index of the eigenvalue, from 1"),
    "eigenvalue_real": Label("1", "real part of an eigenvalue of the Jacobian at a random state and input"),
    "eigenvalue_imaginary": Label("1", "imaginary part of an eigenvalue of the Jacobian at a random state and input"),
}


@one_thread()
def eigenvalues_of_training(training: xr.Dataset, seed: int) -> xr.Dataset:
    """Return the eigenvalues of the Jacobian of every variant of a training store after its last epoch.

    The Jacobian (eq. 3.4 for the ASRNN) is that of the full state at a random state and a random input: "when given a
    random input and hidden state". Both are standard normal, and the same for all networks of a size. The computation
    is in float64 on the CPU.

    Args:
        training: a training store (`lyapunov_pkg.reproduction.training.bptt`).
        seed: seed of state and input.

    Returns:
        `eigenvalue_real` and `eigenvalue_imaginary` (variant, eigenvalue), in descending order of the imaginary part
        and then of the real part. NaN for diverged variants. Also the variables that spectra repeat from training.
    """
    last = training.isel(epoch=slice(-1, None)).load()
    variants = progress(range(last.sizes["variant"]), "eigenvalues of variant")
    values = np.stack([_eigenvalues(last, variant, seed) for variant in variants])
    values = np.where(networks_that_count(last)[:, None], values, np.nan)
    dataset = carried_along(last).assign_coords(eigenvalue=np.arange(1, values.shape[-1] + 1))
    dataset["eigenvalue_real"] = (("variant", "eigenvalue"), values.real)
    dataset["eigenvalue_imaginary"] = (("variant", "eigenvalue"), values.imag)
    return describe(dataset, DESCRIPTIONS)


def _eigenvalues(training: xr.Dataset, variant: int, seed: int) -> np.ndarray:
    """Return one network's eigenvalues in order, (state,) complex; NaN if its parameters are not finite."""
    network = stored_network(training, variant, 0).to(dtype=torch.float64)
    if not all(value.isfinite().all() for value in network.params.values()):
        return np.full(network.state_size, np.nan, dtype=complex)
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(1, 1, network.state_size, dtype=torch.float64, generator=generator)
    x = torch.randn(1, 1, network.input_size, dtype=torch.float64, generator=generator)
    values = np.linalg.eigvals(network.jacobian(state, x)[0, 0].numpy())
    return values[np.lexsort((-values.real, -values.imag))]
