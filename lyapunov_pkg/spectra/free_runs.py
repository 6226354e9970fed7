"""Spectra of networks that run freely, driven by their own output: what FORCE has trained."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from lyapunov_pkg.cells.rank_one import closed_loop
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.spectra.exponents import average_exponents
from lyapunov_pkg.spectra.stacked import SpectraSettings, chosen_epochs, spectra_dataset, stored_hyperparameters


def autonomous_network(training: xr.Dataset, variant: int, epoch: int) -> Network:
    """Return one variant of a training store with its loop closed, as it was after an epoch, both by position."""
    of_variant = training.isel(variant=slice(variant, variant + 1), epoch=epoch)
    names = ("input_weight", "recurrent_weight")
    params = {name: torch.from_numpy(of_variant[f"layer_0.{name}"].values) for name in names}
    closed = closed_loop(
        {name: value.double() for name, value in params.items()}, torch.from_numpy(of_variant["readout.weight"].values)
    )
    params = {f"layer_0.{name}": value for name, value in closed.items()}
    return Network.from_params("rank_one", params, **stored_hyperparameters(training, variant))


def spectra_of_free_runs(
    training: xr.Dataset, n_steps: int, settings: SpectraSettings, device: torch.device
) -> xr.Dataset:
    """Return the Lyapunov spectra of every variant of a training store along its free run.

    The map is the autonomous one, with Jacobian (1 - dt) I + dt (M + w_f w_o) diag(sech² x), N exponents.

    Args:
        training: a training store (`lyapunov_pkg.training.force`).
        n_steps: steps from each starting state [dissertation: 200].
        settings: how spectra are taken; `n_sequences` is how many of the starting states are followed [10], and
            `warmup_passes` times `n_steps` steps are not measured.
        device: where to compute.

    Returns:
        `lyapunov_exponent` and `lyapunov_exponent_std`, mean and standard deviation over starting states, both
        (variant, epoch, exponent) in nats per time step; NaN for variants that diverged.

    Raises:
        ValueError: more starting states are asked for than are stored, an epoch that is not, or the full state.
    """
    if settings.state != "hidden":
        raise ValueError(f"spectra.state is {settings.state!r}; expected 'hidden', the states x of the units")
    training = chosen_epochs(training, settings.epochs).load()
    stored = training.sizes["start"]
    if settings.n_sequences > stored:
        raise ValueError(f"spectra.n_sequences is {settings.n_sequences}, but {stored} states are stored to start from")
    dtype = {"float32": torch.float32, "float64": torch.float64}[settings.dtype]
    inputs = torch.zeros(settings.n_sequences, n_steps * (settings.warmup_passes + 1), 1, dtype=dtype, device=device)
    shape = training.sizes["variant"], training.sizes["epoch"]
    mean, deviation = (np.full((*shape, training.sizes["unit"]), np.nan) for _ in range(2))
    healthy = np.flatnonzero(~training["diverged"].values)
    for variant in progress(healthy, "rank_one, spectra of variant"):
        for epoch in range(shape[1]):
            x = torch.from_numpy(training["start_state"].values[variant, epoch, : settings.n_sequences])
            network = autonomous_network(training, variant, epoch).to(device, dtype)
            average = average_exponents(
                network,
                inputs,
                torch.cat([x, torch.tanh(x)], dim=-1)[None].to(device, dtype),
                torch.eye(network.reduced_size, dtype=dtype, device=device),
                warmup=n_steps * settings.warmup_passes,
                orthonormalize_every=settings.orthonormalize_every,
            )
            exponents = average.exponents[0].double()
            mean[variant, epoch] = exponents.mean(0).cpu().numpy()
            deviation[variant, epoch] = exponents.std(0, correction=0).cpu().numpy()
    return spectra_dataset(training, mean, deviation, settings)
