"""Variants with their hyperparameters and their own random generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
import xarray as xr

from lyapunov_pkg.labels import VARIANT, Label, describe
from lyapunov_pkg.reproduction.training.design import (
    STACKABLE,
    derived_seed,
    is_random,
    level_problem,
    stackable_levels,
    value_at,
)

DESCRIPTIONS = {
    "variant": VARIANT,
    "architecture": Label("1", "architecture of the recurrent cell"),
    "hidden_size": Label("1", "hidden units in each layer"),
    "n_layers": Label("1", "layers of the cell"),
    "init_param": Label("1", "initialisation parameter p"),
    "learning_rate": Label("1", "learning rate, before any decay"),
    "dropout": Label("1", "share of hidden units that are dropped in training"),
    "seed": Label("1", "seed of the variant's random numbers"),
}


@dataclass(frozen=True)
class Variant:
    """One row of a design: a network's hyperparameters, and the seed of all its random numbers.

    The results of a variant depend only on its row, not on sharding, other variants or their order.
    """

    index: int
    architecture: str
    hidden_size: int
    init_param: float
    learning_rate: float
    seed: int
    n_layers: int = 1
    dropout: float = 0.0
    hyperparameters: Mapping[str, Any] = field(
        default_factory=dict
    )  # hyperparameters of the cell that differ from its defaults

    def generator(self, *purpose: object) -> torch.Generator:
        """Return this variant's random generator for one purpose, e.g. ("order", epoch), always on the CPU."""
        return torch.Generator().manual_seed(derived_seed(self.seed, *purpose))

    @property
    def kind(self) -> tuple[str, int, int, tuple[tuple[str, Any], ...]]:
        """Return the properties that a stack shares: architecture, sizes and the cell's hyperparameters."""
        return self.architecture, self.hidden_size, self.n_layers, tuple(sorted(self.hyperparameters.items()))


def design_variants(
    study: str, group: str, settings: Mapping[str, Any], indices: Sequence[int], seed: int
) -> list[Variant]:
    """Return variants of a group of a study (`lyapunov_pkg.reproduction.training.design`).

    All combinations of the grids are repeated for each random draw. Random values are uniform on their range, or on its
    logarithm. They come from the variant's own seed, which depends only on seed, study, group and index. Variant i is
    therefore the same for any other indices, and a design can grow.

    Args:
        study: name of the study. Variants of different studies have different random values.
        group: label of the group.
        settings: architecture and hyperparameters: each a value; init_param, learning_rate and dropout also
            `{"grid": [...]}`, `{"uniform": [low, high]}` or `{"log_uniform": [low, high]}`.
        indices: indices of the variants.
        seed: seed of the whole workflow.

    Raises:
        ValueError: a value is out of range, a range is empty, or an index is negative.
    """
    for name, level in settings.items():
        if name != "architecture" and (expected := level_problem(name, level)):
            raise ValueError(f"{name} of group {group} is {level!r}; expected {expected}")
    if any(index < 0 for index in indices):
        raise ValueError(f"variant indices are {list(indices)}; expected none below 0")
    columns = {column.name for column in fields(Variant)}
    levels = list(stackable_levels(settings))
    own = {name: value for name, value in settings.items() if name not in columns}
    variants = []
    for index in indices:
        own_seed = derived_seed(seed, study, group, index)
        quantiles = dict(zip(STACKABLE, np.random.default_rng(own_seed).random(len(STACKABLE)), strict=True))
        row = {name: value for name, value in settings.items() if name in columns} | levels[index % len(levels)]
        row |= {name: value_at(name, level, quantiles[name]) for name, level in row.items() if is_random(level)}
        row |= {name: float(row[name]) for name in STACKABLE if name in row}
        variants.append(Variant(index=index, seed=own_seed, hyperparameters=own, **row))
    return variants


def variant_coordinates(variants: Sequence[Variant]) -> xr.Dataset:
    """Return a Dataset without variables. Its coordinates along `variant` are the columns of the design."""
    rows = [vars(variant) | {"variant": variant.index} | dict(variant.hyperparameters) for variant in variants]
    own = {name: Label("1", f"hyperparameter {name} of the cell") for name in variants[0].hyperparameters}
    labels = DESCRIPTIONS | own
    coordinates = {name: ("variant", np.array([row[name] for row in rows])) for name in labels}
    return describe(xr.Dataset(coords=coordinates), labels)
