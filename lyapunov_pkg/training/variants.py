"""Who is trained: variants with their hyperparameters and their own random streams."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from lyapunov_pkg.store import describe


def derived_seed(*parts: object) -> int:
    """Return a seed below 2**63 that depends on every part, and on nothing else (SHA-256)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Variant:
    """One row of a design: what is trained, and the seed from which all its random numbers come.

    Results of a variant depend on its row alone: not on sharding, on who is trained beside it, or on order.
    """

    index: int
    architecture: str
    hidden_size: int
    init_param: float
    seed: int

    def generator(self, *purpose: object) -> torch.Generator:
        """Return this variant's random stream for one purpose, e.g. ("order", epoch); drawn on the CPU everywhere."""
        return torch.Generator().manual_seed(derived_seed(self.seed, *purpose))


def design_variants(
    task: str,
    architecture: str,
    hidden_size: int,
    init_param_range: tuple[float, float],
    indices: Sequence[int],
    seed: int,
) -> list[Variant]:
    """Draw variants with `init_param` uniform on a range (appendix A of chapter 3: "p is randomly generated from ...").

    Variant i is the same whichever other indices are asked for, so a design can grow.

    Args:
        task: name of the task; variants of different tasks are different draws.
        architecture: name of the cell.
        hidden_size: hidden units of each layer.
        init_param_range: (lowest, highest) initialisation parameter p.
        indices: which variants.
        seed: seed of the whole workflow.

    Raises:
        ValueError: an empty range, or a negative index.
    """
    low, high = init_param_range
    if not low <= high:
        raise ValueError(f"init_param range of {architecture} is [{low}, {high}]; expected lowest <= highest")
    if any(index < 0 for index in indices):
        raise ValueError(f"variant indices are {list(indices)}; expected none below 0")
    variants = []
    for index in indices:
        own_seed = derived_seed(seed, task, architecture, index)
        init_param = float(np.random.default_rng(own_seed).uniform(low, high))
        variants.append(Variant(index, architecture, hidden_size, init_param, own_seed))
    return variants


def variant_coordinates(variants: Sequence[Variant]) -> xr.Dataset:
    """Return a Dataset without variables whose coordinates on `variant` are the design's columns."""
    columns = {
        "variant": ("1", "index of the variant within its architecture"),
        "architecture": ("1", "architecture of the recurrent cell"),
        "hidden_size": ("1", "hidden units in each layer"),
        "init_param": ("1", "initialisation parameter p"),
        "seed": ("1", "seed of the variant's random numbers"),
    }
    values = {
        "variant": np.array([v.index for v in variants]),
        "architecture": np.array([v.architecture for v in variants]),
        "hidden_size": np.array([v.hidden_size for v in variants]),
        "init_param": np.array([v.init_param for v in variants]),
        "seed": np.array([v.seed for v in variants]),
    }
    return describe(xr.Dataset(coords={name: ("variant", column) for name, column in values.items()}), columns)
