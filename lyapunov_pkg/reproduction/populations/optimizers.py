"""Influence of the optimiser on the correlation of spectra with performance, for the same networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.labels import Label, describe
from lyapunov_pkg.reproduction.configuration.spectra import SpectraSettings
from lyapunov_pkg.reproduction.configuration.training import TrainingSettings
from lyapunov_pkg.reproduction.populations.coefficients import Correlation, correlation, difference_of_spearman
from lyapunov_pkg.reproduction.populations.correlations import statistics_of_networks
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.populations.spectra import spectra_of_training
from lyapunov_pkg.reproduction.tasks.supervised import driving_sequences
from lyapunov_pkg.reproduction.training.bptt import train_variants
from lyapunov_pkg.reproduction.training.store import Kept
from lyapunov_pkg.reproduction.training.variants import Variant

REFERENCE = "adam"
"""The optimiser that is the reference for the others."""

STATISTICS = ("maximum_exponent", "mean_exponent")

DESCRIPTIONS = {
    "optimizer": Label("1", "optimiser"),
    "architecture": Label("1", "group of networks, by the name of its architecture"),
    "statistic": Label("1", "name of the statistic"),
    "spectrum_statistic": Label("1", "statistic of the last spectrum, in nats, steps and counts; NaN: diverged"),
    "final_loss": Label("nat", "validation loss after the last epoch; NaN: diverged"),
    "init_param": Label("1", "initialisation parameter p"),
    "learning_rate": Label("1", "learning rate"),
    "pearson": Label("1", "Pearson's correlation coefficient of the statistic and the loss"),
    "pearson_low": Label("1", "lower end of its 95% confidence interval"),
    "pearson_high": Label("1", "upper end of its 95% confidence interval"),
    "spearman": Label("1", "Spearman's rank correlation coefficient of the statistic and the loss"),
    "spearman_low": Label("1", "lower end of its 95% confidence interval"),
    "spearman_high": Label("1", "upper end of its 95% confidence interval"),
    "n_used": Label("1", "networks that did not diverge"),
    "difference": Label("1", "Spearman's coefficient less that of the reference, over networks that neither diverged"),
    "difference_low": Label("1", "lower end of its 95% confidence interval, by the bootstrap over networks"),
    "difference_high": Label("1", "upper end of its 95% confidence interval, by the bootstrap over networks"),
}


def optimizer_comparison(
    groups: Mapping[str, Sequence[Variant]],
    dataset: xr.Dataset,
    trainings: Mapping[str, tuple[float, TrainingSettings]],
    spectra: SpectraSettings,
    exponent_floor: float,
    n_resamples: int,
    seed: int,
    device: torch.device,
) -> xr.Dataset:
    """Return correlations of spectra with losses for the same networks, trained by several optimisers.

    All optimisers use the variant's initial weights, samples and their order.

    Args:
        groups: {group: variants}.
        dataset: sequences with targets.
        trainings: {optimiser: (factor of the variants' learning rates, settings)}, which includes `REFERENCE`.
        spectra: settings of the spectra, which include the last epoch.
        exponent_floor: lower exponents are replaced by this value, nats per step.
        n_resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
        device: device of the training.

    Returns:
        Dataset over (optimizer, architecture), where `architecture` is the group. `final_loss` (..., network) and
        `spectrum_statistic` (..., network, statistic) are after the last epoch. The fields of `Correlation`, (...,
        statistic), are those of each statistic with the loss. `difference` is the difference of Spearman's coefficient
        from that of `REFERENCE`.
    """
    n_networks = max(map(len, groups.values()))
    shape = (len(trainings), len(groups), n_networks)
    loss, rate, found = (np.full(size, np.nan) for size in (shape, shape, (*shape, len(STATISTICS))))
    sequences = driving_sequences(dataset, spectra.n_sequences)
    for i, (factor, training) in enumerate(trainings.values()):
        for j, variants in enumerate(groups.values()):
            own = [replace(variant, learning_rate=factor * variant.learning_rate) for variant in variants]
            trained = train_variants(own, dataset, training, device, kept=Kept(sorted({training.epochs})))
            last = spectra_of_training(trained, sequences, spectra.replaced(epochs=[training.epochs]), device)
            counts = np.flatnonzero(networks_that_count(last))
            rate[i, j, : len(own)] = [variant.learning_rate for variant in own]
            loss[i, j, counts] = last["validation_loss"].values[counts, -1]
            if len(counts):
                networks = last.isel(variant=counts).rename_dims(variant="network").reset_index("variant")
                values = statistics_of_networks(networks, 0.0, exponent_floor)
                found[i, j, counts] = np.stack([values[name][:, -1] for name in STATISTICS], axis=-1)
    result = _correlations(loss, found, list(trainings).index(REFERENCE), n_resamples, seed)
    axes = ("optimizer", "architecture", "network")
    result = result.assign(
        {
            "final_loss": (axes, loss),
            "learning_rate": (axes, rate),
            "spectrum_statistic": ((*axes, "statistic"), found),
            "init_param": (axes[1:], _padded([[variant.init_param for variant in own] for own in groups.values()])),
        }
    )
    result = result.assign_coords(optimizer=list(trainings), architecture=list(groups), statistic=list(STATISTICS))
    result.attrs |= {"reference": REFERENCE, "epochs": next(iter(trainings.values()))[1].epochs}
    return describe(result, DESCRIPTIONS)


def _padded(rows: Sequence[Sequence[float]]) -> NDArray:
    """Return rows of numbers as one array, with NaN at the end of shorter rows."""
    padded = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded


def _correlations(loss: NDArray, found: NDArray, reference: int, n_resamples: int, seed: int) -> xr.Dataset:
    """Return `Correlation` and differences from the reference of statistics (..., network, statistic) with losses."""
    axes = ("optimizer", "architecture", "statistic")
    shape = (*loss.shape[:2], found.shape[-1])
    fields = {name: np.full(shape, np.nan) for name in (*Correlation._fields, *DIFFERENCE)}
    for place in np.ndindex(shape):
        i, j, k = place
        own = found[i, j, :, k], loss[i, j]
        values = [
            *correlation(*own, n_resamples, seed),
            *difference_of_spearman(own, (found[reference, j, :, k], loss[reference, j]), n_resamples, seed),
        ]
        for name, value in zip(fields, values, strict=True):
            fields[name][place] = value
    return xr.Dataset({name: (axes, values) for name, values in fields.items()})


DIFFERENCE = ("difference", "difference_low", "difference_high")
