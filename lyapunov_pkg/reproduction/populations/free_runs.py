"""Spectra of free-running networks after FORCE training, which their own output drives."""

from __future__ import annotations

import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.cells.rank_one import closed_loop
from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.populations.spectra import SpectraSettings, averaged_spectra
from lyapunov_pkg.reproduction.populations.stored import chosen_epochs, stored_hyperparameters


def autonomous_network(training: xr.Dataset, variant: int, epoch: int) -> Network:
    """Return a variant of a training store after an epoch, with a closed loop. Both are given by index."""
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
        training: a training store (`lyapunov_pkg.reproduction.training.force`).
        n_steps: number of steps from each initial state (dissertation: 200).
        settings: settings of the spectra. `n_sequences` is the number of initial states (dissertation: 10). The first
            `warmup_passes` times `n_steps` steps are not measured.
        device: where to compute.

    Returns:
        As in `lyapunov_pkg.reproduction.populations.spectra.averaged_spectra`, over initial states.

    Raises:
        ValueError: more initial states are requested than are stored, an epoch is not stored, or the full Jacobian is
            requested.
    """
    if settings.jacobian != "reduced":
        raise ValueError(
            f"spectra.jacobian is {settings.jacobian!r}; expected 'reduced', that of the states x of the units"
        )
    training = chosen_epochs(training, settings.epochs).load()
    stored = training.sizes["start"]
    if settings.n_sequences > stored:
        raise ValueError(f"spectra.n_sequences is {settings.n_sequences}, but {stored} states are stored to start from")

    def network_and_start(variant: int, epoch: int) -> tuple[Network, Tensor]:
        x = torch.from_numpy(training["start_state"].values[variant, epoch, : settings.n_sequences])
        return autonomous_network(training, variant, epoch), torch.cat([x, torch.tanh(x)], dim=-1)[None]

    inputs = torch.zeros(settings.n_sequences, n_steps * (settings.warmup_passes + 1), 1)
    return averaged_spectra(training, network_and_start, inputs, n_steps * settings.warmup_passes, settings, device)
