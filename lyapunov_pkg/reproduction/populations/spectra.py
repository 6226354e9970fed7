"""Spectra of stored networks: every variant, every epoch, averaged over driving sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.cells import hyperparameters
from lyapunov_pkg.labels import describe
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.spectra import SpectraSettings
from lyapunov_pkg.spectra.averaging import average_exponents

CARRIED_ALONG = ("train_loss", "validation_loss", "validation_accuracy", "best_epoch", "diverged")  # where they are


def stored_network(training: xr.Dataset, variant: int, epoch: int) -> Network:
    """Return one variant of a training store as it was after an epoch, both by position."""
    params = {
        name: torch.from_numpy(variable.values[variant : variant + 1, epoch])
        for name, variable in training.data_vars.items()
        if name.startswith(("layer_", "readout."))
    }
    architecture = str(training["architecture"].values[variant])
    return Network.from_params(architecture, params, **stored_hyperparameters(training, variant))


def stored_hyperparameters(training: xr.Dataset, variant: int) -> dict[str, Any]:
    """Return the hyperparameters of the cell of one variant, by position, where they are not its defaults."""
    names = hyperparameters(str(training["architecture"].values[variant]))
    return {name: training[name].values[variant].item() for name in names if name in training.coords}


def best_position(training: xr.Dataset) -> tuple[int, int]:
    """Return the variant and the epoch, by position, of the lowest validation loss of those that did not diverge.

    Raises:
        ValueError: every variant diverged.
    """
    losses = training["validation_loss"].where(~training["diverged"]).transpose("variant", "epoch").values
    if np.isnan(losses).all():
        raise ValueError(f"all {len(losses)} networks diverged; expected one that did not")
    variant, epoch = np.unravel_index(np.nanargmin(losses), losses.shape)
    return int(variant), int(epoch)


def spectra_of_training(
    training: xr.Dataset, sequences: Tensor, settings: SpectraSettings, device: torch.device
) -> xr.Dataset:
    """Return the Lyapunov spectra of every variant of a training store after its epochs.

    Args:
        training: a training store (`lyapunov_pkg.reproduction.training.bptt`).
        sequences: what drives the networks, (sequence, time, feature); in time each is repeated for all passes.
        settings: how spectra are taken.
        device: where to compute.

    Returns:
        As `averaged_spectra`, over sequences.

    Raises:
        ValueError: an epoch is asked for that is not stored.
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
    """Return the spectra store of a training store: means and standard deviations over trajectories.

    Args:
        training: the part of a training store that is analysed.
        network_and_start: returns the network of a variant at an epoch, both by position, and the states that its
            trajectories start from, (1, trajectory, S).
        inputs: what drives each trajectory, (trajectory, time, feature).
        warmup: steps that are not measured.
        settings: how spectra are taken.
        device: where to compute.

    Returns:
        `lyapunov_exponent` and `lyapunov_exponent_std`, mean and standard deviation over trajectories, both
        (variant, epoch, exponent) in nats per time step; NaN for variants that diverged, -inf for a singular Jacobian.
    """
    dtype = {"float32": torch.float32, "float64": torch.float64}[settings.dtype]
    inputs = inputs.to(device, dtype)
    network, _ = network_and_start(0, 0)
    rows = network.state_size if settings.jacobian == "full" else network.reduced_size
    tangents = torch.eye(rows, dtype=dtype, device=device)
    n_epochs = training.sizes["epoch"]
    mean, deviation = (np.full((training.sizes["variant"], n_epochs, rows), np.nan) for _ in range(2))
    healthy = np.flatnonzero(~training["diverged"].values)
    for variant in progress(healthy, f"{training['architecture'].values[0]}, spectra of variant"):
        for epoch in range(n_epochs):
            network, start = network_and_start(variant, epoch)
            average = average_exponents(
                network.to(device, dtype),
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


def chosen_epochs(training: xr.Dataset, epochs: Sequence[int] | None) -> xr.Dataset:
    """Return the part of a training store that is of some epochs; None: of all."""
    if epochs is None:
        return training
    stored = training["epoch"].values
    for epoch in epochs:
        if epoch not in stored:
            raise ValueError(f"spectra are to be of epoch {epoch}, which is not stored; expected 0 to {stored[-1]}")
    return training.sel(epoch=list(epochs))


def _spectra_dataset(
    training: xr.Dataset, mean: np.ndarray, deviation: np.ndarray, settings: SpectraSettings
) -> xr.Dataset:
    """Assemble the spectra store: arrays (variant, epoch, exponent) beside what is carried along from training."""
    dataset = training[[name for name in CARRIED_ALONG if name in training]]
    dataset = dataset.assign_coords(exponent=np.arange(1, mean.shape[-1] + 1))
    dataset["lyapunov_exponent"] = (("variant", "epoch", "exponent"), mean)
    dataset["lyapunov_exponent_std"] = (("variant", "epoch", "exponent"), deviation)
    dataset.attrs = {"dtype": settings.dtype, "jacobian": settings.jacobian, "n_sequences": settings.n_sequences}
    return describe(
        dataset,
        {
            "exponent": ("1", "index of the exponent, the largest first"),
            "lyapunov_exponent": ("nat/step", "Lyapunov exponent, mean over driving sequences"),
            "lyapunov_exponent_std": ("nat/step", "standard deviation of the Lyapunov exponent over driving sequences"),
        },
    )
