"""Conversion of numeric arguments: tensors, arrays, lists, labelled arrays, and counts.

Every error names the argument, its value, the expected value and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TypeAlias

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

Values: TypeAlias = Tensor | ArrayLike | xr.DataArray
"""Types of numeric arguments."""

READ_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Accepted floating-point types. All but the last two are widened before the computation."""


def whole_number(name: str, value: object, expected: str, low: int, high: int) -> int:
    """Return an argument that is a count.

    Args:
        name: name of the argument.
        value: value of the argument.
        expected: description of the allowed values, for the error.
        low: smallest allowed count.
        high: largest allowed count.

    Raises:
        ValueError: `value` is not a whole number from `low` to `high`. True and False are not accepted.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return int(value)


def shown(value: object) -> str:
    """Return the description of a wrong value for an error: the value itself if it is short, otherwise its type."""
    if isinstance(value, int | float | bool) or value is None:
        return str(value)
    if isinstance(value, str):
        return repr(value if len(value) < 40 else value[:37] + "...")
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = repr(value)
    return text if len(text) < 40 else type(value).__name__


def read_numbers(name: str, values: object, dims: Sequence[str] | None = None) -> Tensor:
    """Return numbers as a tensor through which gradients reach the argument.

    Args:
        name: name of the argument.
        values: a tensor, an array, nested lists of numbers or of tensors of one shape, or a DataArray.
        dims: allowed dimensions of a DataArray, in the order of the result. None: a DataArray is read as an array.

    Returns:
        A strided tensor of real, finite numbers in their own dtype.

    Raises:
        TypeError: `values` is not numeric, or of an unsupported kind: masked, complex, sparse, quantised, nested,
            packed, or without values (meta device).
        ValueError: `values` has lists of unequal lengths, other dimensions, or NaN or infinite numbers.
    """
    if isinstance(values, PackedSequence):
        raise TypeError(
            f"{name}: got a PackedSequence, expected sequences of equal length; "
            "torch.nn.utils.rnn.unpack_sequence(packed) lists the sequences, which you can use one by one"
        )
    if isinstance(values, xr.DataArray) and dims is not None:
        values = _in_order(name, values, dims)
    tensor = _as_tensor(name, values)
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name}: got NaN or infinite values, expected finite numbers")
    return tensor


def _in_order(name: str, values: xr.DataArray, dims: Sequence[str]) -> np.ndarray:
    """Return the values of a labelled array, with dimensions in the order of `dims`."""
    unknown = [dim for dim in values.dims if dim not in dims]
    if unknown:
        raise ValueError(
            f"{name}: got a DataArray with dimensions {values.dims}, expected {tuple(dims)} in any order. "
            f"Rename them: {name}.rename({{{unknown[0]!r}: ...}})"
        )
    return values.transpose(*(dim for dim in dims if dim in values.dims)).to_numpy()


def _as_tensor(name: str, values: object) -> Tensor:
    if isinstance(values, Tensor):
        return _plain(name, values)
    if isinstance(values, list | tuple) and any(_holds_tensors(value) for value in values):
        parts = [_as_tensor(name, value) for value in values]
        shapes = [tuple(part.shape) for part in parts]
        if len(set(shapes)) > 1:
            raise ValueError(f"{name}: got a list of tensors of shapes {_some(shapes)}, expected one shape")
        return torch.stack(parts)
    return _from_array(name, values)


def _holds_tensors(values: object) -> bool:
    if isinstance(values, list | tuple):
        return any(_holds_tensors(value) for value in values)
    return isinstance(values, Tensor)


def _some(items: Sequence[object]) -> str:
    return ", ".join(str(item) for item in items[:3]) + (", ..." if len(items) > 3 else "")


def _plain(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor, or raise an error if it is not a strided tensor of real numbers."""
    found = None
    if tensor.is_nested:
        found, remedy = "a nested tensor", "use its sequences one by one: tensor.unbind()"
    elif tensor.is_quantized:
        found, remedy = "a quantised tensor", "give tensor.dequantize()"
    elif tensor.layout != torch.strided:
        found, remedy = f"a sparse tensor ({tensor.layout})", "give tensor.to_dense()"
    elif tensor.device.type == "meta":
        found, remedy = "a tensor on the meta device, which has no values", "give one on the CPU or on CUDA"
    elif tensor.is_complex():
        found, remedy = f"complex numbers ({tensor.dtype})", "give real and imaginary parts as two features"
    elif tensor.is_floating_point() and tensor.dtype not in READ_DTYPES:
        found, remedy = f"numbers of {tensor.dtype}", "give tensor.float()"
    if found is not None:
        raise TypeError(f"{name}: got {found}, expected a dense tensor of real numbers; {remedy}")
    # A tensor created in inference mode cannot have a derivative, but its copy can.
    return tensor.clone() if tensor.is_inference() else tensor


def _from_array(name: str, values: object) -> Tensor:
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: got a masked array, expected an array without missing values; fill or drop the masked values, "
            "for example with masked.filled(0.0)"
        )
    try:
        # A copy, because PyTorch cannot share read-only memory or negative strides.
        array = np.array(values, order="C")
    except ValueError as error:
        raise ValueError(f"{name}: got lists of unequal lengths, expected rows of one length ({error})") from error
    except Exception as error:
        raise TypeError(f"{name}: got {shown(values)}, expected a tensor or an array of numbers ({error})") from error
    kind = array.dtype.kind
    if kind == "c":
        raise TypeError(
            f"{name}: got complex numbers ({array.dtype}), expected real numbers; "
            "give real and imaginary parts as two features"
        )
    if kind not in "biuf":
        raise TypeError(f"{name}: got {shown(values)}, expected a tensor or an array of numbers")
    if kind == "f":
        array = array.astype(array.dtype.newbyteorder("=") if array.itemsize <= 8 else np.float64)
    else:
        array = array.astype(np.float64 if array.dtype == np.uint64 else np.int64)
    return torch.from_numpy(array)


def converted(name: str, tensor: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return numbers in the dtype and on the device of the computation.

    Raises:
        ValueError: some numbers are too large for the dtype.
    """
    moved = tensor.to(device=device, dtype=dtype)
    if moved.dtype != tensor.dtype and not torch.isfinite(moved).all():
        raise ValueError(f"{name}: got values too large for {dtype}; give dtype=torch.float64, or scale the values")
    return moved
