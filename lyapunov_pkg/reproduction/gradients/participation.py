"""Participation ratio of the recurrent gradient in the first epochs of training (chapter 4, appendix B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.labels import TIME, Label, describe
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.gradients import ParticipationSettings
from lyapunov_pkg.reproduction.gradients.recurrent_gradient import (
    WEIGHTS,
    participation_ratio,
    random_starts,
    recurrent_gradients,
)
from lyapunov_pkg.reproduction.tasks.supervised import Task
from lyapunov_pkg.reproduction.training.bptt import TrainingSettings, begin_training, own_samples, train_batches
from lyapunov_pkg.reproduction.training.variants import Variant, variant_coordinates
from lyapunov_pkg.workflow.store import with_all_coordinates

DESCRIPTIONS = {
    "weights": WEIGHTS,
    "update": Label("update", "updates of the weights"),
    "batch": Label("update", "index of the batch"),
    "time": TIME,
    "participation_ratio": Label(
        "1", "sum of the squares over the square of the sum of the gradient's singular values"
    ),
    "batch_loss": Label("nat", "mean cross entropy of a batch before its update"),
}


def participation_experiment(
    groups: Mapping[str, Sequence[Variant]],
    dataset: xr.Dataset,
    training: TrainingSettings,
    settings: ParticipationSettings,
    seed: int,
) -> xr.Dataset:
    """Return the participation ratio of the gradient ΔV_t while networks are retrained from the beginning.

    A variant's random numbers come from its own seed. These networks are therefore those of the study, also at updates
    within an epoch that its store does not have.

    Args:
        groups: {name of the initial weights: variants}, tanh RNNs that can be stacked within a group.
        dataset: the task's data, with one label per sequence. Its first test images are used.
        training: settings of the training, as in the study.
        settings: settings of the measurement.
        seed: seed of the initial states.

    Returns:
        Dataset, whose variants have the coordinate `weights`, with `participation_ratio(variant, update, sequence,
        time)`, where `update` is the number of updates of the weights, and `batch_loss(variant, batch)` in nats;
        attribute `updates_per_epoch`. NaN: the network diverged.

    Raises:
        ValueError: more states are requested than there are test images.
    """
    if settings.n_initial_states > dataset.sizes["test_sample"]:
        raise ValueError(
            f"n_initial_states of the participation ratio is {settings.n_initial_states}; "
            f"expected at most {dataset.sizes['test_sample']}, the number of test images"
        )
    parts = [
        _of_group(variants, dataset, training, settings, seed).assign_coords(
            weights=("variant", [weights] * len(variants))
        )
        for weights, variants in groups.items()
    ]
    result = xr.concat(with_all_coordinates(parts), "variant", combine_attrs="override")
    return describe(result, DESCRIPTIONS)


def _of_group(
    variants: Sequence[Variant],
    dataset: xr.Dataset,
    training: TrainingSettings,
    settings: ParticipationSettings,
    seed: int,
) -> xr.Dataset:
    """Return the participation ratios of variants of one stack; see `participation_experiment`."""
    task = Task.from_dataset(dataset, training.loss_on, torch.device("cpu"))
    network, optimizer = begin_training(variants, task, training)
    samples = own_samples(variants, "train", len(task.train.inputs), training.subsample)
    updates_per_epoch = -(-samples.shape[-1] // training.batch_size)
    moments = sorted({round(epoch * updates_per_epoch) for epoch in settings.at_epochs})
    generator = torch.Generator().manual_seed(seed)
    start, inputs, labels = random_starts(
        dataset, settings.n_initial_states, settings.initial_state_std, network.hidden_size, generator
    )

    losses: list[Tensor] = []
    ratios = [_ratios(network, inputs, labels, start)] if 0 in moments else []
    n_epochs = -(-moments[-1] // updates_per_epoch)
    for epoch in progress(range(1, n_epochs + 1), "participation ratio, epoch"):
        for batch_losses, _ in train_batches(network, optimizer, variants, task, samples, training, epoch):
            losses.append(batch_losses)
            if len(losses) in moments:
                ratios.append(_ratios(network, inputs, labels, start))
    result = variant_coordinates(variants).assign_coords(
        update=moments, batch=np.arange(1, len(losses) + 1), time=np.arange(1, inputs.shape[1] + 1)
    )
    result["participation_ratio"] = (("variant", "update", "sequence", "time"), torch.stack(ratios, dim=1))
    result["batch_loss"] = (
        ("variant", "batch"),
        torch.stack(losses, dim=1) if losses else np.empty((len(variants), 0)),
    )
    result.attrs = {"updates_per_epoch": updates_per_epoch}
    return result


def _ratios(network: Network, inputs: Tensor, labels: Tensor, start: Tensor) -> Tensor:
    """Return participation ratios of ΔV_t (variant, sequence, time); NaN if the gradient is not finite."""
    frozen = network.with_params({name: value.detach().double() for name, value in network.params.items()})
    gradients = recurrent_gradients(frozen, inputs, labels, start)
    finite = gradients.isfinite().flatten(-2).all(-1)
    ratios = participation_ratio(torch.linalg.svdvals(gradients.nan_to_num()))
    return torch.where(finite, ratios, torch.nan)
