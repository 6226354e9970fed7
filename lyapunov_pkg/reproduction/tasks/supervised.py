"""A task for training and spectra: sequences with targets.

The arrays of its data store define a task. Inputs are features (sample, time, feature), or indices (sample, time) of
characters, which become one-hot vectors. Targets are classes (integers) with the cross entropy as loss, or vectors with
the mean squared error. A target belongs to a step (`PART_target`) or to a sequence (`PART_label`). The dimension
`class` gives the number of classes. Without it the classes are the characters, or the labels up to the largest one. The
validation part is `validation` if it exists, otherwise `test`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot


class Part(NamedTuple):
    """Sequences on one device: inputs (sample, time, feature) or (sample, time), targets (sample, ...)."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Task:
    """Training and validation sequences with a loss.

    Attributes:
        train: the training sequences.
        validation: the validation sequences.
        input_size: number of features of an input, or of characters of the alphabet.
        output_size: number of classes, or of features of a target.
        last_only: whether only the outputs of the last step enter the loss. Targets then have no time axis.
    """

    train: Part
    validation: Part
    input_size: int
    output_size: int
    last_only: bool

    @classmethod
    def from_dataset(
        cls, dataset: xr.Dataset, loss_on: str, device: torch.device, validate_on: str = "validation"
    ) -> Task:
        """Return the task of a data store.

        Args:
            dataset: the data store of a module in `lyapunov_pkg.reproduction.tasks`.
            loss_on: "all" steps or the "last" one.
            device: device of the task's tensors.
            validate_on: "validation", or "held_out" for the validation and the test part together.

        Raises:
            ValueError: `loss_on` is neither, or is "all" while a sequence has one target, or `validate_on` is
                "held_out" for data without both parts.
        """
        if loss_on not in ("all", "last"):
            raise ValueError(f"loss_on is {loss_on!r}; expected 'all' or 'last'")
        by_step = "train_target" in dataset
        if loss_on == "all" and not by_step:
            raise ValueError("loss_on is 'all', but there is one target for a sequence; expected 'last'")
        parts = []
        for names in (["train"], validation_parts(dataset, validate_on)):
            inputs, targets = (
                as_tensor(np.concatenate([dataset[f"{name}_{kind}"].values for name in names]))
                for kind in ("input", "target" if by_step else "label")
            )
            if by_step and loss_on == "last":
                targets = targets[:, -1]
            parts.append(Part(inputs.to(device), targets.to(device)))
        train, validation = parts
        input_size = n_features(dataset)
        if train.targets.is_floating_point():
            output_size = train.targets.shape[-1]
        elif "class" in dataset.sizes:
            output_size = dataset.sizes["class"]
        else:
            output_size = input_size if by_step else int(train.targets.max()) + 1
        return cls(train, validation, input_size, output_size, last_only=loss_on == "last")

    @property
    def device(self) -> torch.device:
        """Return the device of the task's tensors."""
        return self.train.inputs.device

    @property
    def classifies(self) -> bool:
        """Return whether targets are classes."""
        return not self.train.targets.is_floating_point()

    @property
    def loss_description(self) -> tuple[str, str]:
        """Return the unit and the name of the loss."""
        return ("nat", "mean cross entropy") if self.classifies else ("1", "mean squared error")

    def take(self, part: Part, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs (..., B, T, F) and targets (..., B, ...) of the samples (..., B) of a part."""
        inputs = part.inputs.index_select(0, samples.flatten()).unflatten(0, samples.shape)
        return as_features(inputs, self.input_size), part.targets[samples]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of each variant: cross entropy in nats, or squared error.

        Args:
            outputs: outputs of the networks, (V, B, T, output_size), or (V, B, output_size) with `last_only`.
            targets: (V, B, T), (V, B, T, output_size), or the same without T. Without V they are used for all variants.
        """
        if not self.classifies:
            return (outputs - targets).square().flatten(1).mean(1)
        classes = targets.expand(outputs.shape[:-1]).flatten().long()
        return cross_entropy(outputs.flatten(0, -2), classes, reduction="none").view(len(outputs), -1).mean(1)

    def accuracies(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the share of correct most probable classes for each variant; arguments as in `losses`."""
        return (outputs.argmax(-1) == targets).flatten(1).double().mean(1)


def driving_sequences(dataset: xr.Dataset, n_sequences: int, n_steps: int | None = None) -> Tensor:
    """Return the inputs of the first validation sequences, which drive networks for spectra.

    Args:
        dataset: the data store of a module in `lyapunov_pkg.reproduction.tasks`.
        n_sequences: number of sequences.
        n_steps: length of the result. If it is longer than the sequences, several sequences are joined. None: their own
            length.

    Returns:
        (n_sequences, time, feature), float32.

    Raises:
        ValueError: there are too few validation sequences.
    """
    part = validation_part(dataset)
    available, length = dataset.sizes[f"{part}_sample"], dataset[f"{part}_input"].sizes["time"]
    pieces = 1 if n_steps is None else math.ceil(n_steps / length)
    if n_sequences * pieces > available:
        joined = "" if n_steps is None else f" of {n_steps} steps, {pieces} samples each"
        raise ValueError(f"n_sequences is {n_sequences}{joined}; expected no more than {available} {part} samples hold")
    inputs = as_tensor(dataset[f"{part}_input"].values[: n_sequences * pieces])
    sequences = as_features(inputs, n_features(dataset))
    return sequences.unflatten(0, (n_sequences, pieces)).flatten(1, 2)[:, :n_steps]


def validation_part(dataset: xr.Dataset) -> str:
    """Return the name of the validation part of a data store."""
    return "validation" if "validation_sample" in dataset.sizes else "test"


def validation_parts(dataset: xr.Dataset, validate_on: str) -> list[str]:
    """Return the names of the parts of a data store for validation; arguments as in `from_dataset`."""
    if validate_on == "validation":
        return [validation_part(dataset)]
    held_out = ["validation", "test"]
    missing = [name for name in held_out if f"{name}_sample" not in dataset.sizes]
    if validate_on != "held_out" or missing:
        raise ValueError(
            f"validate_on is {validate_on!r}; expected 'validation'"
            + (f", since the data have no {missing[0]} part" if missing else " or 'held_out'")
        )
    return held_out


def n_features(dataset: xr.Dataset) -> int:
    """Return the number of features of an input, or of characters of the alphabet."""
    return dataset.sizes["feature" if "feature" in dataset.sizes else "character"]


def as_tensor(values: NDArray) -> Tensor:
    """Return the values on the CPU. Unsigned integers of more than 8 bits become int32, which PyTorch supports."""
    large = values.dtype.kind == "u" and values.dtype.itemsize > 1
    return torch.from_numpy(values.astype(np.int32) if large else values)


def as_features(inputs: Tensor, size: int) -> Tensor:
    """Return features unchanged, and indices below `size` as one-hot vectors along a last axis, float32."""
    return inputs if inputs.is_floating_point() else one_hot(inputs.long(), size).float()
