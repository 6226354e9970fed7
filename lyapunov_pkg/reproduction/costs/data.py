"""Sizes of the tasks' data, from the configuration or from a user's own files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from lyapunov_pkg.reproduction.costs.constants import FLOAT
from lyapunov_pkg.reproduction.tasks.sequences import load_sequences
from lyapunov_pkg.reproduction.tasks.smnist import load_smnist

TEXT_LENGTHS = {"python_topics": 500_000, "war_and_peace": 3_200_000}
CHARACTERS = 100
CMU_SEQUENCES = 189  # of all known motions
IMAGES = {"digits": (1437, 360, 8), "mnist": (60_000, 10_000, 28)}


@dataclass(frozen=True)
class Data:
    """The sequences of a task.

    Attributes:
        n_train: number of sequences in the training part.
        n_validation: number of sequences in the validation part.
        n_steps: number of steps of each sequence.
        n_features: number of features of each step.
        n_outputs: number of outputs of a network.
    """

    n_train: int
    n_validation: int
    n_steps: int
    n_features: int
    n_outputs: int

    @property
    def size(self) -> float:
        """Return the size of the sequences in MB. Characters and pixels are one byte each."""
        features = 1 if self.n_features == self.n_outputs == CHARACTERS else self.n_features
        return (self.n_train + self.n_validation) * self.n_steps * features * FLOAT / 4


def task_data(configuration: Mapping[str, Any], task: str) -> Data:
    """Return the size of a task's data, from the configuration or from a user's own files."""
    if task in ("smnist", "smnist_pixels"):
        settings = configuration["smnist"]["data"]
        if settings["source"] == "idx":
            images = own_images(settings["directory"], settings["n_train"], settings["n_test"])
            n_steps, n_features = images.n_steps, images.n_features
            return images if task == "smnist" else replace(images, n_steps=n_steps * n_features, n_features=1)
        n_train, n_test, width = IMAGES[settings["source"]]
        n_train, n_test = settings["n_train"] or n_train, settings["n_test"] or n_test
        shape = (width, width) if task == "smnist" else (width * width, 1)
        return Data(n_train, n_test, *shape, 10)
    settings = configuration[task]["data"]
    if task == "char_rnn":
        length = TEXT_LENGTHS.get(settings["source"]) or Path(settings["path"]).stat().st_size
        n_sequences = settings["n_sequences"] or length // settings["sequence_length"]
        held_out = n_sequences // 10
        return Data(n_sequences - 2 * held_out, held_out, settings["sequence_length"] - 1, CHARACTERS, CHARACTERS)
    if task == "mocap":
        n_sequences, n_features = (200, 20) if settings["source"] == "synthetic" else (CMU_SEQUENCES, 50)
        steps = settings["sequence_length"] - 1
        return Data(n_sequences - n_sequences // 5, n_sequences // 5, steps, n_features, n_features)
    return own_sequences(settings["path"], settings["standardise"], settings["validation_share"])


@cache
def own_images(directory: str, n_train: int | None, n_test: int | None) -> Data:
    """Return the size of a user's IDX files."""
    sizes = load_smnist("idx", Path(directory), n_train=n_train, n_test=n_test).sizes
    return Data(sizes["train_sample"], sizes["test_sample"], sizes["time"], sizes["feature"], sizes["class"])


@cache
def own_sequences(path: str, standardise: bool, validation_share: float) -> Data:
    """Return the size of a user's sequences."""
    sizes = load_sequences(Path(path), standardise, validation_share, report=lambda line: None).sizes
    n_outputs = sizes["class"] if "class" in sizes else sizes["output"]
    return Data(sizes["train_sample"], sizes["validation_sample"], sizes["time"], sizes["feature"], n_outputs)
