"""Random numbers of networks. Those of a variant come from its own generator and do not depend on other variants.

All random numbers are drawn on the CPU in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lyapunov_pkg.cells.base import Cell, Params


def draw_params(
    cells: Sequence[Cell], output_size: int, init_param: Sequence[float], generators: Sequence[torch.Generator]
) -> Params:
    """Return the stacked parameters of all variants, in the order of draws of `networks.Network.initialise`."""
    variants = [
        _draw_variant(cells, output_size, half_width, generator)
        for half_width, generator in zip(init_param, generators, strict=True)
    ]
    return {name: torch.stack([variant[name] for variant in variants]) for name in variants[0]}


def draw_normal(shape: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
    """Return standard normal draws (V, *shape)."""
    draws = torch.empty(len(generators), *shape)
    for own, generator in zip(draws, generators, strict=True):
        own.normal_(generator=generator)
    return draws


def draw_mask(shape: Sequence[int], rates: Sequence[float], generators: Sequence[torch.Generator]) -> Tensor:
    """Return dropout masks (V, *shape): 0 for a share `rate` of a variant's entries, otherwise 1 / (1 - rate)."""
    mask = torch.empty(len(rates), *shape)
    for own, rate, generator in zip(mask, rates, generators, strict=True):
        own.bernoulli_(1 - rate, generator=generator).div_(1 - rate)
    return mask


def _draw_variant(cells: Sequence[Cell], output_size: int, init_param: float, generator: torch.Generator) -> Params:
    """Return the parameters of one variant."""
    params: Params = {}
    for layer, cell in enumerate(cells):
        drawn = cell.draw_params(init_param, generator)
        params |= {f"layer_{layer}.{name}": value for name, value in drawn.items()}
    if output_size:
        hidden_size = cells[-1].hidden_size
        bound = 1 / math.sqrt(hidden_size)
        for name, shape in (("weight", (output_size, hidden_size)), ("bias", (output_size,))):
            own = torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
            params[f"readout.{name}"] = own
    return params
