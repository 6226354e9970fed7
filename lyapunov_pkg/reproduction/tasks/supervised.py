"""A task as training and spectra see it: sequences with targets, whatever they are about.

What a task is follows from the arrays of its data store. Inputs are features (sample, time, feature), or indices
(sample, time) of characters, which enter as one-hot vectors. Targets are classes, integers, with the cross entropy as
loss; or vectors, with the mean squared error. There is one for every step (`PART_target`) or for a sequence
(`PART_label`). A dimension `class` says how many classes there are; without it they are the characters, or the labels
up to the largest one. The validation part is that called `validation`, or else `test`.
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
        input_size: features of an input, or characters of the alphabet.
        output_size: classes, or features of a target.
        last_only: whether only the outputs of the last step count; targets have no axis of time then.
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
        """Read the arrays of a data store.

        Args:
            dataset: of a module of `lyapunov_pkg.reproduction.tasks`.
            loss_on: "all" steps or the "last" one.
            device: where the task is to be.
            validate_on: "validation", or "held_out" for the validation and the test part together.

        Raises:
            ValueError: `loss_on` is neither, or "all" where a sequence has one target; "held_out" of data without both.
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
        """Where the task is."""
        return self.train.inputs.device

    @property
    def classifies(self) -> bool:
        """Whether targets are classes."""
        return not self.train.targets.is_floating_point()

    @property
    def loss_description(self) -> tuple[str, str]:
        """Unit and name of the loss."""
        return ("nat", "mean cross entropy") if self.classifies else ("1", "mean squared error")

    def take(self, part: Part, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs (..., B, T, F) and targets (..., B, ...) of the samples (..., B) of a part."""
        inputs = part.inputs.index_select(0, samples.flatten()).unflatten(0, samples.shape)
        return as_features(inputs, self.input_size), part.targets[samples]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each variant: cross entropy in nats, or squared error; mean over all that it is of.

        Args:
            outputs: of the networks, (V, B, T, output_size), or (V, B, output_size) where `last_only`.
            targets: (V, B, T), (V, B, T, output_size), or the same without T; without V for all variants alike.
        """
        if not self.classifies:
            return (outputs - targets).square().flatten(1).mean(1)
        classes = targets.expand(outputs.shape[:-1]).flatten().long()
        return cross_entropy(outputs.flatten(0, -2), classes, reduction="none").view(len(outputs), -1).mean(1)

    def accuracies(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the share of targets of each variant that are the most probable class; arguments as of `losses`."""
        return (outputs.argmax(-1) == targets).flatten(1).double().mean(1)


def driving_sequences(dataset: xr.Dataset, n_sequences: int, n_steps: int | None = None) -> Tensor:
    """Return the inputs of the first validation sequences, which drive networks when spectra are taken.

    Args:
        dataset: of a module of `lyapunov_pkg.reproduction.tasks`.
        n_sequences: how many.
        n_steps: their length; longer ones than there are follow one another in as many as it takes. None: as they are.

    Returns:
        (n_sequences, time, feature), float32.

    Raises:
        ValueError: there are fewer validation sequences.
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
    """Return the name of the part of a data store on which networks are validated."""
    return "validation" if "validation_sample" in dataset.sizes else "test"


def validation_parts(dataset: xr.Dataset, validate_on: str) -> list[str]:
    """Return the names of the parts of a data store on which networks are validated; arguments as of `from_dataset`."""
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
    """Return the values on the CPU; unsigned integers beyond bytes as int32, since PyTorch can do little with them."""
    large = values.dtype.kind == "u" and values.dtype.itemsize > 1
    return torch.from_numpy(values.astype(np.int32) if large else values)


def as_features(inputs: Tensor, size: int) -> Tensor:
    """Return features as they are, and indices below `size` as one-hot vectors on a last axis, float32."""
    return inputs if inputs.is_floating_point() else one_hot(inputs.long(), size).float()
