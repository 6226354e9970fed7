"""Spectra of stored networks, for every variant and epoch, averaged over driving sequences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.labels import EXPONENT, LYAPUNOV_EXPONENT, LYAPUNOV_EXPONENT_STD, describe
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.spectra import SpectraSettings
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.populations.stored import carried_along, chosen_epochs, stored_network
from lyapunov_pkg.spectra.averaging import average_exponents
from lyapunov_pkg.systems import TransposedJacobian

DESCRIPTIONS = {
    "exponent": EXPONENT,
    "lyapunov_exponent": LYAPUNOV_EXPONENT.of("mean over driving sequences"),
    "lyapunov_exponent_std": LYAPUNOV_EXPONENT_STD.of("over driving sequences"),
}


def spectra_of_training(
    training: xr.Dataset, sequences: Tensor, settings: SpectraSettings, device: torch.device
) -> xr.Dataset:
    """Return the Lyapunov spectra of every variant of a training store, for its epochs.

    Args:
        training: a training store (`lyapunov_pkg.reproduction.training.bptt`).
        sequences: the driving sequences, (sequence, time, feature). Each is repeated in time for all passes.
        settings: settings of the spectra.
        device: where to compute.

    Returns:
        As in `averaged_spectra`, over sequences.

    Raises:
        ValueError: a requested epoch is not stored.
    """
    training = chosen_epochs(training.load(), settings.epochs)

    def network_and_start(variant: int, epoch: int) -> tuple[Network, Tensor]:
        network = stored_network(training, variant, epoch)
        return network, network.initial_state(len(sequences))

    inputs = sequences.repeat(1, settings.warmup_passes + settings.measured_passes, 1)
    warmup = sequences.shape[1] * settings.warmup_passes
    return averaged_spectra(training, network_and_start, inputs, warmup, settings, device)


def averaged_spectra(
    training: xr.Dataset,
    network_and_start: Callable[[int, int], tuple[Network, Tensor]],
    inputs: Tensor,
    warmup: int,
    settings: SpectraSettings,
    device: torch.device,
) -> xr.Dataset:
    """Return the spectra of a training store: means and standard deviations over trajectories.

    Args:
        training: the analysed part of a training store.
        network_and_start: function from the indices of a variant and an epoch to the network and the initial states of
            its trajectories, (1, trajectory, S).
        inputs: inputs of each trajectory, (trajectory, time, feature).
        warmup: number of steps that are not measured.
        settings: settings of the spectra.
        device: where to compute.

    Returns:
        `lyapunov_exponent` and `lyapunov_exponent_std`, mean and standard deviation over trajectories, both (variant,
        epoch, exponent) in nats per time step; NaN for diverged variants, -inf for a singular Jacobian.
    """
    dtype = {"float32": torch.float32, "float64": torch.float64}[settings.dtype]
    inputs = inputs.to(device, dtype)
    network, _ = network_and_start(0, 0)
    tangents = network.to(device, dtype).initial_tangents(settings.jacobian)
    rows = len(tangents)
    n_epochs = training.sizes["epoch"]
    mean, deviation = (np.full((training.sizes["variant"], n_epochs, rows), np.nan) for _ in range(2))
    for variant in progress(
        np.flatnonzero(networks_that_count(training)).tolist(),
        f"{training['architecture'].values[0]}, spectra of variant",
    ):
        for epoch in range(n_epochs):
            network, start = network_and_start(variant, epoch)
            network = network.to(device, dtype)
            average = average_exponents(
                TransposedJacobian(network) if settings.convention == "transposed" else network,
                inputs,
                start.to(device, dtype),
                tangents,
                warmup=warmup,
                orthonormalize_every=settings.orthonormalize_every,
            )
            exponents = average.exponents[0].double()
            mean[variant, epoch] = exponents.mean(0).cpu().numpy()
            deviation[variant, epoch] = exponents.std(0, correction=0).cpu().numpy()
    deviation[~np.isfinite(mean)] = np.nan
    return _spectra_dataset(training, mean, deviation, settings)


def _spectra_dataset(
    training: xr.Dataset, mean: np.ndarray, deviation: np.ndarray, settings: SpectraSettings
) -> xr.Dataset:
    """Return the Dataset of spectra (variant, epoch, exponent), with the variables repeated from training."""
    dataset = carried_along(training).assign_coords(exponent=np.arange(1, mean.shape[-1] + 1))
    dataset["lyapunov_exponent"] = (("variant", "epoch", "exponent"), mean)
    dataset["lyapunov_exponent_std"] = (("variant", "epoch", "exponent"), deviation)
    names = ("dtype", "jacobian", "convention", "n_sequences")
    dataset.attrs = {name: getattr(settings, name) for name in names}
    return describe(dataset, DESCRIPTIONS)
