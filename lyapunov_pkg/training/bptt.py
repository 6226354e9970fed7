"""Back-propagation through time for many variants at once.

Variants are stacked on a leading axis and trained by one program. Each keeps its own initialisation, sample order,
noise
and Adam moments, so the numbers do not depend on how many are stacked.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import cross_entropy

from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.store import describe
from lyapunov_pkg.training.checkpoints import Checkpoints, StackCheckpoints, consecutive
from lyapunov_pkg.training.variants import Variant, variant_coordinates

# Measured (benchmarks/training.py): on a CPU wider stacks gain nothing more. A GPU wants as many as fit.
VARIANTS_TOGETHER = {"cpu": 8, "cuda": 256}
EVALUATION_BATCH = 250  # test samples at once; bounds memory, changes no number beyond rounding


@dataclass(frozen=True)
class TrainingSettings:
    """How variants are trained: epochs, batch size, Adam's learning rate, and the cell's own hyperparameters."""

    epochs: int
    batch_size: int
    learning_rate: float
    n_layers: int = 1
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassificationData:
    """Labelled sequences on one device: inputs (sample, time, feature), labels (sample,)."""

    train_input: Tensor
    train_label: Tensor
    test_input: Tensor
    test_label: Tensor

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, device: torch.device) -> ClassificationData:
        """Read the four arrays of a data store."""
        names = ("train_input", "train_label", "test_input", "test_label")
        return cls(*(torch.from_numpy(dataset[name].values).to(device) for name in names))

    @property
    def n_classes(self) -> int:
        """Number of classes: the largest label plus one."""
        return int(self.train_label.max()) + 1


def initialise_network(variants: Sequence[Variant], data: ClassificationData, settings: TrainingSettings) -> Network:
    """Return the untrained networks of `variants`, stacked, on the data's device."""
    network = Network.initialise(
        variants[0].architecture,
        input_size=data.train_input.shape[-1],
        hidden_size=variants[0].hidden_size,
        output_size=data.n_classes,
        init_params=[variant.init_param for variant in variants],
        generators=[variant.generator("initialisation") for variant in variants],
        n_layers=settings.n_layers,
        **settings.hyperparameters,
    )
    return network.to(device=data.train_input.device)


def sample_order(variants: Sequence[Variant], epoch: int, n_samples: int) -> Tensor:
    """Return each variant's own order of the training samples in one epoch, (variant, sample)."""
    return torch.stack([torch.randperm(n_samples, generator=variant.generator("order", epoch)) for variant in variants])


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each variant's mean cross entropy in nats; logits (variant, sample, class), labels (variant, sample)."""
    each = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.view(labels.shape).mean(1)


@torch.no_grad()
def evaluate(network: Network, data: ClassificationData) -> tuple[Tensor, Tensor]:
    """Return mean cross entropy (nats) and accuracy on the test samples, each (variant,)."""
    total_loss = total_correct = torch.zeros(network.n_variants, dtype=torch.float64, device=data.test_label.device)
    for inputs, labels in zip(
        data.test_input.split(EVALUATION_BATCH), data.test_label.split(EVALUATION_BATCH), strict=True
    ):
        logits = network.forward(inputs, last_only=True)
        each = labels.expand(network.n_variants, -1)
        total_loss = total_loss + losses(logits, each).double() * len(labels)
        total_correct = total_correct + (logits.argmax(-1) == each).sum(1)
    return total_loss / len(data.test_label), total_correct / len(data.test_label)


def train_epoch(
    network: Network,
    optimizer: torch.optim.Optimizer,
    variants: Sequence[Variant],
    data: ClassificationData,
    batch_size: int,
    epoch: int,
) -> Tensor:
    """Train every variant on each sample once, in its own order; return the mean training loss of each (nats)."""
    device = data.train_label.device
    order = sample_order(variants, epoch, len(data.train_label)).to(device)
    noise_generators = [variant.generator("noise", epoch) for variant in variants]
    total = torch.zeros(len(variants), dtype=torch.float64, device=device)
    for batch in order.split(batch_size, dim=1):
        inputs = data.train_input.index_select(0, batch.flatten()).unflatten(0, batch.shape)
        labels = data.train_label[batch]
        noise = network.draw_noise(batch.shape[1], inputs.shape[2], noise_generators)
        batch_losses = losses(network.forward(inputs, noise=noise, last_only=True), labels)
        optimizer.zero_grad()
        batch_losses.sum().backward()
        optimizer.step()
        total += batch_losses.detach().double() * batch.shape[1]
    return total / order.shape[1]


def train_stack(
    variants: Sequence[Variant],
    data: ClassificationData,
    settings: TrainingSettings,
    checkpoints: StackCheckpoints | None = None,
) -> xr.Dataset:
    """Train variants of one architecture and size together, on from their last checkpoint; see `train_variants`."""
    network = initialise_network(variants, data, settings)
    params = {name: value.requires_grad_() for name, value in network.params.items()}
    network = network.with_params(params)
    optimizer = torch.optim.Adam(params.values(), lr=settings.learning_rate, fused=True)
    described = f"{variants[0].architecture} {variants[0].index}-{variants[-1].index}"

    history, optimizer_state = checkpoints.load(settings.epochs) if checkpoints else ([], {})
    if history:
        print(f"{described}: epochs 0-{len(history) - 1} taken from checkpoints", file=sys.stderr)
        restore(params, optimizer, history[-1], optimizer_state)
    for epoch in progress(range(len(history), settings.epochs + 1), f"{described}, epoch"):
        train_loss = torch.full((len(variants),), torch.nan, dtype=torch.float64)
        if epoch > 0:
            train_loss = train_epoch(network, optimizer, variants, data, settings.batch_size, epoch)
        validation_loss, accuracy = evaluate(network, data)
        history.append(
            {
                "train_loss": to_numpy(train_loss),
                "validation_loss": to_numpy(validation_loss),
                "validation_accuracy": to_numpy(accuracy),
            }
            | {name: to_numpy(value) for name, value in params.items()}
        )
        if checkpoints:
            checkpoints.save(epoch, history[-1], optimizer_arrays(optimizer))
    return training_dataset(variants, history)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return a copy of a tensor's values."""
    return tensor.detach().cpu().numpy().copy()


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Return the state of an optimiser, as {"{parameter}/{quantity}": values}."""
    states = optimizer.state_dict()["state"]
    return {f"{index}/{name}": to_numpy(value) for index, state in states.items() for name, value in state.items()}


def restore(
    params: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    result: Mapping[str, np.ndarray],
    optimizer_state: Mapping[str, np.ndarray],
) -> None:
    """Set parameters and the optimiser to what they were after an epoch, from its results and `optimizer_arrays`."""
    with torch.no_grad():
        for name, value in params.items():
            value.copy_(torch.from_numpy(result[name]))
    states: dict[int, dict[str, Tensor]] = {}
    for key, values in optimizer_state.items():
        index, name = key.split("/")
        states.setdefault(int(index), {})[name] = torch.from_numpy(values)
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def training_dataset(variants: Sequence[Variant], history: Sequence[Mapping[str, np.ndarray]]) -> xr.Dataset:
    """Assemble the training store of `variants` from the results of every epoch, arrays (variant, ...).

    A variant has diverged if its validation loss or a parameter stops being finite at any epoch.
    """
    dataset = variant_coordinates(variants).assign_coords(epoch=np.arange(len(history)))
    finite = np.full(len(variants), True)
    for name in history[0]:
        values = np.stack([result[name] for result in history], 1)
        if name != "train_loss":  # which is NaN before training
            finite &= np.isfinite(values).reshape(len(variants), -1).all(1)
        axes = [f"{name}.{axis}" for axis in ("row", "column")][: values.ndim - 2]
        dataset[name] = (("variant", "epoch", *axes), values)
        describe(dataset, {name: ("1", f"parameter {name} after each epoch")})
    dataset["diverged"] = ("variant", ~finite)
    return describe(
        dataset,
        {
            "epoch": ("epoch", "passes over the training samples; 0 is before training"),
            "train_loss": ("nat", "mean cross entropy over the epoch's batches, NaN before training"),
            "validation_loss": ("nat", "mean cross entropy on the test samples"),
            "validation_accuracy": ("1", "share of the test samples classified correctly"),
            "diverged": ("1", "a loss or a parameter stopped being finite"),
        },
    )


def train_variants(
    variants: Sequence[Variant],
    dataset: xr.Dataset,
    settings: TrainingSettings,
    device: torch.device,
    variants_together: int | None = None,
    checkpoints: Checkpoints | None = None,
) -> xr.Dataset:
    """Train variants of one architecture and size, by back-propagation through time with Adam.

    Args:
        variants: who is trained; all of one architecture and hidden size.
        dataset: labelled sequences, as made by `lyapunov_pkg.tasks.smnist.load_smnist`.
        settings: epochs, batch size, learning rate, layers and the cell's hyperparameters.
        device: where to train.
        variants_together: how many are stacked; default: what suits the device. Changes no number beyond rounding.
        checkpoints: where the state after every epoch is kept; training goes on from what is there.

    Returns:
        The training store: losses (nats), accuracies and parameters by (variant, epoch), epoch 0 being before training.
        A variant that diverges is kept, with `diverged` set.

    Raises:
        ValueError: variants of several architectures or sizes.
        OSError: a checkpoint could not be written.
    """
    kinds = {(variant.architecture, variant.hidden_size) for variant in variants}
    if len(kinds) != 1:
        raise ValueError(
            f"variants to train together are of {sorted(kinds)}; expected one architecture and one hidden size"
        )
    width = variants_together or VARIANTS_TOGETHER[device.type]
    data = ClassificationData.from_dataset(dataset, device)
    trained = []
    for stack in checkpoints.stacks(variants, width) if checkpoints else consecutive(variants, width):
        with checkpoints.of(stack) if checkpoints else nullcontext() as own:
            trained.append(train_stack(stack, data, settings, own))
    return xr.concat(trained, "variant", data_vars="minimal", coords="minimal", compat="override", join="exact")
