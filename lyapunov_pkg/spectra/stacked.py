"""Spectra of stored networks: every variant, every epoch, averaged over driving sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.spectra.exponents import average_exponents
from lyapunov_pkg.store import describe

CARRIED_ALONG = ("validation_loss", "validation_accuracy", "diverged")


@dataclass(frozen=True)
class SpectraSettings:
    """How spectra are taken.

    Attributes:
        n_sequences: driving sequences, the first ones of the test samples.
        warmup_passes: passes over each sequence before exponents are measured.
        orthonormalize_every: T_ON of algorithm 2, steps.
        state: "hidden" (the dissertation's reduced Jacobian) or "full".
        dtype: "float32" or "float64".
        hyperparameters: the cell's own.
    """

    n_sequences: int
    warmup_passes: int = 1
    orthonormalize_every: int = 1
    state: str = "hidden"
    dtype: str = "float32"
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


def driving_sequences(dataset: xr.Dataset, settings: SpectraSettings) -> Tensor:
    """Return the first test sequences, each repeated `warmup_passes` + 1 times in time: (sequence, time, feature).

    Raises:
        ValueError: there are fewer test samples than `n_sequences`.
    """
    available = dataset.sizes["test_sample"]
    if settings.n_sequences > available:
        raise ValueError(f"spectra.n_sequences is {settings.n_sequences}, but there are {available} test samples")
    sequences = torch.from_numpy(dataset["test_input"].values[: settings.n_sequences])
    return sequences.repeat(1, settings.warmup_passes + 1, 1)


def stored_network(training: xr.Dataset, variant: int, epoch: int, settings: SpectraSettings) -> Network:
    """Return one variant of a training store as it was after `epoch`, by position."""
    params = {
        name: torch.from_numpy(variable.values[variant : variant + 1, epoch])
        for name, variable in training.data_vars.items()
        if name.startswith(("layer_", "readout."))
    }
    architecture = str(training["architecture"].values[variant])
    return Network.from_params(architecture, params, **settings.hyperparameters)


def spectra_of_training(
    training: xr.Dataset, dataset: xr.Dataset, settings: SpectraSettings, device: torch.device
) -> xr.Dataset:
    """Return the Lyapunov spectra of every variant of a training store after every epoch.

    Args:
        training: a training store (`lyapunov_pkg.training.bptt`).
        dataset: the task's data; its first test sequences drive the networks.
        settings: how spectra are taken.
        device: where to compute.

    Returns:
        `lyapunov_exponent` and `lyapunov_exponent_std`, mean and standard deviation over sequences, both
        (variant, epoch, exponent) in nats per time step; NaN for variants that diverged, -inf for a singular Jacobian.

    Raises:
        ValueError: more sequences are asked for than there are.
    """
    training = training.load()
    dtype = {"float32": torch.float32, "float64": torch.float64}[settings.dtype]
    inputs = driving_sequences(dataset, settings).to(device, dtype)
    warmup = inputs.shape[1] // (settings.warmup_passes + 1) * settings.warmup_passes
    n_variants, n_epochs = training.sizes["variant"], training.sizes["epoch"]
    means, deviations = [], []
    for variant in progress(range(n_variants), f"{training['architecture'].values[0]}, spectra of variant"):
        for epoch in range(n_epochs):
            network = stored_network(training, variant, epoch, settings).to(device, dtype)
            rows = network.state_size if settings.state == "full" else network.reduced_size
            average = average_exponents(
                network,
                inputs,
                network.initial_state(len(inputs)),
                torch.eye(rows, dtype=dtype, device=device),
                warmup=warmup,
                orthonormalize_every=settings.orthonormalize_every,
            )
            exponents = average.exponents[0].double()
            means.append(exponents.mean(0).cpu().numpy())
            deviations.append(exponents.std(0, correction=0).cpu().numpy())
    shape = (n_variants, n_epochs, -1)
    diverged = training["diverged"].values[:, None, None]
    mean = np.where(diverged, np.nan, np.stack(means).reshape(shape))
    deviation = np.where(diverged | ~np.isfinite(mean), np.nan, np.stack(deviations).reshape(shape))
    return spectra_dataset(training, mean, deviation, settings)


def spectra_dataset(
    training: xr.Dataset, mean: np.ndarray, deviation: np.ndarray, settings: SpectraSettings
) -> xr.Dataset:
    """Assemble the spectra store: arrays (variant, epoch, exponent) beside what is carried along from training."""
    dataset = training[list(CARRIED_ALONG)].assign_coords(exponent=np.arange(1, mean.shape[-1] + 1))
    dataset["lyapunov_exponent"] = (("variant", "epoch", "exponent"), mean)
    dataset["lyapunov_exponent_std"] = (("variant", "epoch", "exponent"), deviation)
    dataset.attrs = {"dtype": settings.dtype, "state": settings.state, "n_sequences": settings.n_sequences}
    return describe(
        dataset,
        {
            "exponent": ("1", "index of the exponent, the largest first"),
            "lyapunov_exponent": ("nat/step", "Lyapunov exponent, mean over driving sequences"),
            "lyapunov_exponent_std": ("nat/step", "standard deviation of the Lyapunov exponent over driving sequences"),
        },
    )
