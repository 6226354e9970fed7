"""Spectra of networks that run freely, driven by their own output: what FORCE has trained."""

from __future__ import annotations

import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.cells.rank_one import closed_loop
from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.populations.spectra import SpectraSettings, averaged_spectra
from lyapunov_pkg.reproduction.populations.stored import chosen_epochs, stored_hyperparameters


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
        training: a training store (`lyapunov_pkg.reproduction.training.force`).
        n_steps: steps from each starting state [dissertation: 200].
        settings: how spectra are taken; `n_sequences` is how many of the starting states are followed [10], and
            `warmup_passes` times `n_steps` steps are not measured.
        device: where to compute.

    Returns:
        As `lyapunov_pkg.reproduction.populations.spectra.averaged_spectra`, over starting states.

    Raises:
        ValueError: more starting states are asked for than are stored, an epoch that is not, or the full state.
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
