"""Dependence of estimated exponents on length, warm-up and T_ON (chapter 2, figs 2.2, 2.4, 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.labels import (
    EXPONENT,
    LYAPUNOV_EXPONENT,
    LYAPUNOV_EXPONENT_STD,
    RUNNING_EXPONENT,
    TIME,
    Label,
    describe,
)
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.spectra import EstimatorSettings
from lyapunov_pkg.reproduction.populations.selection import best_position
from lyapunov_pkg.reproduction.populations.stored import stored_network
from lyapunov_pkg.spectra.averaging import average_of
from lyapunov_pkg.spectra.driven import driven_system
from lyapunov_pkg.spectra.finite_time import finite_time_exponents, running_exponents

EARLY_STEPS = 10
"""Number of first steps in which estimates count as early, if so many are measured."""


def estimates_of_best_network(
    training: xr.Dataset, inputs: Tensor, settings: EstimatorSettings, device: torch.device
) -> xr.Dataset:
    """Return `estimator_study` for the network of lowest validation loss of a study, at any epoch.

    Args:
        training: a training store, or several joined.
        inputs: (sequence, time, feature), float32, with `total_steps` of the settings.
        settings: settings of the compared estimates.
        device: where to compute.

    Returns:
        As in `estimator_study`, with the attributes `init_param`, `hidden_size`, `epoch` and `validation_loss` of the
        network.

    Raises:
        ValueError: all networks diverged, or the inputs are not longer than the longest warm-up.
    """
    variant, epoch = best_position(training)
    network = stored_network(training, variant, epoch).to(device)
    study = estimator_study(network, inputs.to(device), settings.warmups, settings.intervals, settings.jacobian)
    chosen = training.isel(variant=variant, epoch=epoch)
    named = ("init_param", "hidden_size", "epoch", "validation_loss")
    return study.assign_attrs({name: chosen[name].item() for name in named})


def estimator_study(
    network: Network,
    inputs: Tensor,
    warmups: Sequence[int],
    intervals: Sequence[int],
    jacobian: Literal["full", "reduced"] = "reduced",
) -> xr.Dataset:
    """Return several estimates of one network's exponents, all measured over the same last steps of the inputs.

    Earlier steps are for the warm-up. With a warm-up of w steps, state and tangent vectors start w steps earlier, so
    that estimates differ only in their warm-up.

    Args:
        network: a network of one variant.
        inputs: (sequence, time, feature), float32: the longest warm-up, followed by the measured steps.
        warmups: numbers of warm-up steps to compare. Running exponents are in float64.
        intervals: values of T_ON to compare, in steps. Exponents are in float32, because a long T_ON amplifies rounding
            errors. They are measured after the longest warm-up.
        jacobian: "reduced" (the dissertation's reduced Jacobian) or "full".

    Returns:
        Dataset of means over sequences, in nats per step: `running_exponent(warmup, time, exponent)` after `time`
        measured steps; `lyapunov_exponent` and `lyapunov_exponent_std` (warmup, exponent) after all steps, with the
        standard deviation over sequences; `interval_exponent(interval, exponent)`. `early_change(warmup)` is the mean
        absolute difference between running exponents in the first steps (attribute `early_steps`) and their last
        values. `early_bias(warmup)` is the mean absolute difference from the longest warm-up at the same steps.
        `largest_change(interval, half)` is the largest absolute difference from the exponents of the shortest T_ON, for
        each half of the spectrum.

    Raises:
        ValueError: the inputs are not longer than the longest warm-up, or the network has several variants.
    """
    longest, n_steps = max(warmups), inputs.shape[1] - max(warmups)
    if n_steps < 1:
        raise ValueError(f"inputs has {inputs.shape[1]} steps; expected more than the longest warm-up of {longest}")
    if network.n_variants != 1:
        raise ValueError(f"network holds {network.n_variants} variants; expected one")
    running = []
    for warmup in progress(warmups, "running exponents of warm-up"):
        local = finite_time_exponents(
            network, inputs[:, longest - warmup :], warmup=warmup, jacobian=jacobian, dtype=torch.float64
        )
        running.append(running_exponents(local).isel(variant=0).values)
    driven, spectra = driven_system(network, inputs, jacobian=jacobian), []
    for interval in progress(intervals, "exponents of T_ON"):
        average = average_of(driven, warmup=longest, orthonormalize_every=interval)
        exponents = xr.DataArray(average.exponents[0].numpy(), dims=("sequence", "exponent"))
        spectra.append(exponents.mean("sequence").values.astype(np.float64))
    return _dataset(np.stack(running), np.stack(spectra), warmups, intervals)


def _dataset(running: np.ndarray, spectra: np.ndarray, warmups: Sequence[int], intervals: Sequence[int]) -> xr.Dataset:
    """Return a Dataset of running exponents (warmup, sequence, time, exponent) and of spectra (interval, exponent)."""
    means = running.mean(axis=1)
    early = means[:, :EARLY_STEPS]
    final = -np.sort(-running[:, :, -1], axis=-1)
    moved = np.abs(spectra - spectra[np.argmin(intervals)])
    halves = np.split(moved, [moved.shape[1] // 2], axis=1)
    dataset = xr.Dataset(
        {
            "running_exponent": (("warmup", "time", "exponent"), means),
            "early_change": ("warmup", np.abs(early - means[:, -1:]).mean(axis=(1, 2))),
            "early_bias": ("warmup", np.abs(early - early[np.argmax(warmups)]).mean(axis=(1, 2))),
            "lyapunov_exponent": (("warmup", "exponent"), final.mean(axis=1)),
            "lyapunov_exponent_std": (("warmup", "exponent"), final.std(axis=1)),
            "interval_exponent": (("interval", "exponent"), spectra),
            "largest_change": (("interval", "half"), np.stack([half.max(axis=1) for half in halves], axis=1)),
        },
        coords={
            "warmup": list(warmups),
            "interval": list(intervals),
            "time": np.arange(1, running.shape[2] + 1),
            "exponent": np.arange(1, running.shape[3] + 1),
            "half": ["first", "second"],
        },
        attrs={"n_sequences": running.shape[1], "early_steps": early.shape[1]},
    )
    return describe(dataset, DESCRIPTIONS)


DESCRIPTIONS = {
    "running_exponent": RUNNING_EXPONENT.of("mean over sequences"),
    "lyapunov_exponent": LYAPUNOV_EXPONENT.of("mean over sequences"),
    "lyapunov_exponent_std": LYAPUNOV_EXPONENT_STD.of("over sequences"),
    "early_change": Label(
        "nat/step", "mean absolute difference of the estimates in the first steps from the last ones"
    ),
    "early_bias": Label(
        "nat/step",
        "mean absolute difference of the estimates in the first steps from the longest warm-up's",
    ),
    "interval_exponent": Label("nat/step", "Lyapunov exponent in float32 with this T_ON, mean over sequences"),
    "largest_change": Label(
        "nat/step",
        "largest absolute difference of the exponents of this half from the shortest T_ON's",
    ),
    "warmup": Label("step", "steps of state and tangent vectors before exponents are measured"),
    "interval": Label("step", "steps from one QR decomposition to the next (T_ON)"),
    "time": TIME.of("those of the warm-up not counted"),
    "exponent": EXPONENT,
    "half": Label("1", "half of the spectrum"),
}
