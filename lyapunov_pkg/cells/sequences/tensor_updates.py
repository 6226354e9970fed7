"""A cell's updates as tensor operations, for any device. `compiled` has them for the CPU."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lyapunov_pkg.cells.base import Constants, SlopesFunction, UnitFunction, Units
from lyapunov_pkg.cells.sequences.places import Places


def tensor_update(
    target: int, places: Places, value: UnitFunction, slopes: SlopesFunction
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the forward and the backward function of a step; arguments and arrays as in `compiled.compiled_update`."""

    def operands(size: int, pre_activations: Tensor, states: Tensor, noise: Tensor, step: int) -> tuple[Units, Units]:
        sources = zip(places.blocks, places.steps_on, strict=True)
        values = [_block(states[:, step + on], index, size) for index, on in sources]
        values += [_block(noise[:, :, step], draw, size) for draw in places.draws]
        return tuple(_block(pre_activations[:, step], slot, size) for slot in places.slots), tuple(values)

    def forward(
        size: int, constants: Constants, pre_activations: Tensor, states: Tensor, noise: Tensor, step: int
    ) -> None:
        result = value(*operands(size, pre_activations, states, noise, step), constants)
        _block(states[:, step + 1], target, size).copy_(result)

    def backward(
        size: int,
        constants: Constants,
        pre_activations: Tensor,
        states: Tensor,
        noise: Tensor,
        cotangents: Tensor,
        step: int,
    ) -> None:
        by_pre_activations, by_blocks = slopes(*operands(size, pre_activations, states, noise, step), constants)
        own = _block(cotangents, target, size)
        cotangent = own.clone()
        own.zero_()
        for slot, slope in zip(places.slots, by_pre_activations, strict=True):
            _block(pre_activations[:, step], slot, size).copy_(slope * cotangent)
        for index, coefficient in zip(places.blocks, by_blocks, strict=True):
            _block(cotangents, index, size).add_(coefficient * cotangent)

    return forward, backward


def _block(rows: Tensor, index: int, size: int) -> Tensor:
    return rows[..., index * size : (index + 1) * size]
