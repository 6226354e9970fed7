"""Back-propagation through time for many variants at once.

Variants are stacked on a leading axis and trained together. Each has its own initial weights, samples and their order,
noise, dropout, learning rate and moments. Results therefore do not depend on the size of the stack.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.devices import subnormals_as_zero
from lyapunov_pkg.labels import EPOCH, Label, in_unit
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.training import TrainingSettings
from lyapunov_pkg.reproduction.tasks.supervised import Task
from lyapunov_pkg.reproduction.training.checkpoints import Checkpoints, StackCheckpoints, consecutive, validation_losses
from lyapunov_pkg.reproduction.training.optimizers import Optimizer, make_optimizer
from lyapunov_pkg.reproduction.training.store import Kept, training_store
from lyapunov_pkg.reproduction.training.variants import Variant

# Sizes of stacks, which change no result beyond rounding. On a CPU wider stacks are not faster
# (benchmarks/training.py). A GPU is fastest with as many networks as fit.
VARIANTS_TOGETHER = {"cpu": 8, "cuda": 256}
KEEP_ALL = Kept()
KEPT_EPOCH = Label("epoch", "epochs of training after which parameters are kept; 0: before training")
EVALUATION_STEPS = (
    7000  # steps of validation sequences that are evaluated together; bounds memory, changes no result beyond rounding
)


def initialise_network(variants: Sequence[Variant], task: Task) -> Network:
    """Return the stacked untrained networks of `variants`, on the task's device."""
    network = Network.initialise(
        variants[0].architecture,
        input_size=task.input_size,
        hidden_size=variants[0].hidden_size,
        output_size=task.output_size,
        init_param=[variant.init_param for variant in variants],
        generators=[variant.generator("initialisation") for variant in variants],
        n_layers=variants[0].n_layers,
        **variants[0].hyperparameters,
    )
    return network.to(device=task.device)


def own_samples(variants: Sequence[Variant], part: str, n_samples: int, share: float | None) -> Tensor:
    """Return the samples of a part for variants: (sample,) if all, or (variant, sample) for a share of each variant.

    Raises:
        ValueError: `share` is not above 0 and at most 1.
    """
    if share is None:
        return torch.arange(n_samples)
    if not 0 < share <= 1:
        raise ValueError(f"subsample is {share}; expected more than 0 and at most 1")
    orders = [torch.randperm(n_samples, generator=variant.generator("subsample", part)) for variant in variants]
    return torch.stack(orders)[:, : max(1, round(share * n_samples))].sort(dim=1).values


def sample_order(variants: Sequence[Variant], epoch: int, samples: Tensor) -> Tensor:
    """Return each variant's order of its samples (`own_samples`) in one epoch, (variant, sample)."""
    n_samples = samples.shape[-1]
    orders = [torch.randperm(n_samples, generator=variant.generator("order", epoch)) for variant in variants]
    return samples.expand(len(variants), -1).gather(1, torch.stack(orders))


@torch.no_grad()
def evaluate(network: Network, task: Task, samples: Tensor) -> dict[str, Tensor]:
    """Return the mean loss of each variant on validation samples, and the accuracy if targets are classes.

    `samples` are (sample,) for all variants, or (variant, sample).
    """
    totals: dict[str, Tensor] = {}
    for batch in samples.split(max(1, EVALUATION_STEPS // task.validation.inputs.shape[1]), dim=-1):
        inputs, targets = task.take(task.validation, batch)
        outputs = network.forward(inputs, last_only=task.last_only)
        found = {"validation_loss": task.losses(outputs, targets).double()}
        if task.classifies:
            found["validation_accuracy"] = task.accuracies(outputs, targets)
        for name, value in found.items():
            totals[name] = totals.get(name, 0) + value * batch.shape[-1]
    return {name: total / samples.shape[-1] for name, total in totals.items()}


def begin_training(variants: Sequence[Variant], task: Task, settings: TrainingSettings) -> tuple[Network, Optimizer]:
    """Return the stacked untrained networks of `variants`, and the optimiser of their parameters."""
    network = initialise_network(variants, task)
    params = {name: value.requires_grad_() for name, value in network.params.items()}
    rates = [variant.learning_rate for variant in variants]
    optimizer = make_optimizer(settings.optimizer, settings.momentum, params, rates)
    return network.with_params(params), optimizer


def train_epoch(
    network: Network,
    optimizer: Optimizer,
    variants: Sequence[Variant],
    task: Task,
    samples: Tensor,
    settings: TrainingSettings,
    epoch: int,
) -> Tensor:
    """Train every variant for one epoch on its samples (`own_samples`), in its own order, and return its mean loss."""
    total = torch.zeros(len(variants), dtype=torch.float64, device=task.device)
    for batch_losses, n_samples in train_batches(network, optimizer, variants, task, samples, settings, epoch):
        total += batch_losses.double() * n_samples
    return total / samples.shape[-1]


def train_batches(
    network: Network,
    optimizer: Optimizer,
    variants: Sequence[Variant],
    task: Task,
    samples: Tensor,
    settings: TrainingSettings,
    epoch: int,
) -> Iterator[tuple[Tensor, int]]:
    """Train as `train_epoch`, and yield after every update the losses (variant,) before it, and the batch size."""
    optimizer.factor = settings.learning_rate_factor(epoch)
    order = sample_order(variants, epoch, samples).to(task.device)
    noise_generators, dropout_generators = (
        [variant.generator(purpose, epoch) for variant in variants] for purpose in ("noise", "dropout")
    )
    rates = [variant.dropout for variant in variants]
    for batch in order.split(settings.batch_size, dim=1):
        inputs, targets = task.take(task.train, batch)
        n_sequences, n_steps = inputs.shape[1:3]
        noise = network.draw_noise(n_sequences, n_steps, noise_generators)
        dropout = network.draw_dropout(n_sequences, n_steps, rates, dropout_generators, task.last_only)
        with subnormals_as_zero():
            batch_losses = task.losses(network.forward(inputs, noise, dropout, task.last_only), targets)
            optimizer.zero_grad()
            batch_losses.sum().backward()
            if settings.gradient_clip is not None:
                optimizer.clip_gradients(settings.gradient_clip)
            optimizer.step()
        yield batch_losses.detach(), batch.shape[1]


def train_stack(
    variants: Sequence[Variant],
    task: Task,
    settings: TrainingSettings,
    checkpoints: StackCheckpoints | None = None,
    kept: Kept = KEEP_ALL,
) -> xr.Dataset:
    """Train variants of one stack from their last checkpoint on; see `train_variants`."""
    network, optimizer = begin_training(variants, task, settings)
    params = network.params
    train_samples, validation_samples = (
        own_samples(variants, name, len(part.inputs), settings.subsample)
        for name, part in (("train", task.train), ("validation", task.validation))
    )
    validation_samples = validation_samples.to(task.device)
    described = f"{variants[0].architecture} {variants[0].index}-{variants[-1].index}"

    taken = checkpoints.load(settings.epochs, kept) if checkpoints else None
    history, parameters = (taken.history, taken.parameters) if taken else ([], {})
    if taken:
        print(f"{described}: epochs 0-{len(history) - 1} taken from checkpoints", file=sys.stderr)
        if taken.optimizer:
            restore(params, optimizer, parameters[len(history) - 1], taken.optimizer)
    for epoch in progress(range(len(history), settings.epochs + 1), f"{described}, epoch"):
        train_loss = torch.full((len(variants),), torch.nan, dtype=torch.float64)
        if epoch > 0:
            train_loss = train_epoch(network, optimizer, variants, task, train_samples, settings, epoch)
        results = {"train_loss": train_loss} | evaluate(network, task, validation_samples)
        history.append({name: to_numpy(value) for name, value in results.items()} | {"finite": all_finite(params)})
        parameters[epoch] = {name: to_numpy(value) for name, value in params.items()}
        needed = {epoch, *kept.by_variant(validation_losses(history)).flat}
        parameters = {epoch: values for epoch, values in parameters.items() if epoch in needed}
        if checkpoints:
            checkpoints.save(epoch, history[-1], parameters, optimizer.arrays())
    return training_dataset(variants, history, parameters, kept, task)


def all_finite(params: Mapping[str, Tensor]) -> np.ndarray:
    """Return whether all parameters (variant, ...) of each variant are finite, (variant,)."""
    finite = [value.detach().isfinite().flatten(1).all(1) for value in params.values()]
    return torch.stack(finite).all(0).cpu().numpy()


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return a copy of a tensor's values."""
    return tensor.detach().cpu().numpy().copy()


def restore(
    params: Mapping[str, Tensor],
    optimizer: Optimizer,
    values: Mapping[str, np.ndarray],
    optimizer_state: Mapping[str, np.ndarray],
) -> None:
    """Restore the parameters and the optimiser after an epoch."""
    with torch.no_grad():
        for name, value in params.items():
            value.copy_(torch.from_numpy(values[name]))
    optimizer.restore(optimizer_state)


def training_dataset(
    variants: Sequence[Variant],
    history: Sequence[Mapping[str, np.ndarray]],
    parameters: Mapping[int, Mapping[str, np.ndarray]],
    kept: Kept,
    task: Task,
) -> xr.Dataset:
    """Return the training store of `variants`.

    Args:
        variants: who was trained.
        history: for every epoch, {name: (variant,)} of losses, accuracies, and whether parameters were `finite`.
        parameters: {epoch: {name: (variant, ...)}} for the stored epochs.
        kept: the epochs for which the store has parameters.
        task: gives the name of the loss.
    """
    labels = {"epoch": EPOCH, "kept_epoch": KEPT_EPOCH} | loss_labels(task)
    epochs = kept.by_variant(validation_losses(history))
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        name: (("variant", "epoch"), np.stack([result[name] for result in history], 1))
        for name in history[0]
        if name != "finite"
    }
    variables["kept_epoch"] = (("variant", "kept"), epochs)
    for name in parameters[epochs[0, 0]]:
        values = np.stack([[parameters[epoch][name][row] for epoch in own] for row, own in enumerate(epochs.tolist())])
        axes = [f"{name}.{axis}" for axis in ("row", "column")][: values.ndim - 2]
        variables[name] = (("variant", "kept", *axes), values)
        labels[name] = Label("1", f"parameter {name} after each epoch that is kept")
    finite = np.all([result["finite"] for result in history], axis=0)
    return training_store(variants, range(len(history)), variables, labels, finite)


def loss_labels(task: Task) -> dict[str, Label]:
    """Return the labels of losses, and of the accuracy if targets are classes."""
    unit, loss = task.loss_description
    long_names = {
        "train_loss": f"{loss} over the epoch's batches, NaN before training",
        "validation_loss": f"{loss} on the validation samples",
    }
    accuracy = {"validation_accuracy": Label("1", "share of the validation targets classified correctly")}
    return in_unit(unit, long_names) | (accuracy if task.classifies else {})


def train_variants(
    variants: Sequence[Variant],
    dataset: xr.Dataset,
    settings: TrainingSettings,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    kept: Kept = KEEP_ALL,
) -> xr.Dataset:
    """Train variants that can be stacked, by back-propagation through time.

    Args:
        variants: the variants, of one architecture, with the same sizes and hyperparameters of the cell.
        dataset: sequences with targets, from a module of `lyapunov_pkg.reproduction.tasks`.
        settings: settings of training, which all variants share.
        device: device of the training.
        checkpoints: store of the state after every epoch, from which training continues.
        kept: the epochs for which the store has parameters.

    Returns:
        The training store: losses, and accuracies if targets are classes, (variant, epoch), where epoch 0 is before
        training. Parameters (variant, kept, ...) after the epochs `kept_epoch(variant, kept)`. A diverged variant is
        included, with `diverged` set.

    Raises:
        ValueError: variants have several architectures, sizes or hyperparameters of the cell, or the task does not have
            this loss.
        OSError: a checkpoint could not be written.
    """
    kinds = {variant.kind for variant in variants}
    if len(kinds) != 1:
        raise ValueError(
            f"variants to train together are of {sorted(kinds)}; expected one architecture with the same sizes and "
            "hyperparameters of the cell"
        )
    width = VARIANTS_TOGETHER[device.type]
    task = Task.from_dataset(dataset, settings.loss_on, device, settings.validate_on)
    trained = []
    for stack in checkpoints.stacks(variants, width) if checkpoints else consecutive(variants, width):
        with checkpoints.of(stack) if checkpoints else nullcontext() as own:
            trained.append(train_stack(stack, task, settings, own, kept))
    return xr.concat(trained, "variant", data_vars="minimal", coords="minimal", compat="override", join="exact")
