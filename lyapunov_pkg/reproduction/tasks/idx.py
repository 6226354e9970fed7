"""Reading of IDX, the file format of MNIST.

Format (LeCun, Cortes and Burges, "The MNIST database"): two zero bytes, one byte for the element type (0x08: unsigned
byte), one for the number of dimensions, each dimension as a big-endian 32-bit integer, then the elements in C order.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNSIGNED_BYTE = 0x0800
KINDS = {
    UNSIGNED_BYTE + 1: "labels: unsigned bytes, 1 dimension",
    UNSIGNED_BYTE + 3: "images: unsigned bytes, 3 dimensions",
}


def parse_idx(content: bytes, path: Path, item_shape: tuple[int | None, ...]) -> NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes.

    Args:
        content: the bytes of the file, uncompressed (`lyapunov_pkg.reproduction.tasks.content.read_content`).
        path: path for error messages.
        item_shape: the expected shape of one item: `(rows, columns)` for images, `()` for labels. None: any size.

    Returns:
        Array of shape (n_items, *shape of an item).

    Raises:
        ValueError: the content is truncated, has too many bytes, another magic number (for example if images and labels
            are swapped), other dimensions, no items, or empty items.
    """
    shape, header_size = _read_header(content, path, item_shape)
    n_bytes = header_size + math.prod(shape)
    if len(content) != n_bytes:
        problem = "is truncated" if len(content) < n_bytes else "has bytes left over"
        raise ValueError(f"{path} {problem}: found {len(content)} bytes, expected {n_bytes} for shape {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(shape)


def _read_header(content: bytes, path: Path, item_shape: tuple[int | None, ...]) -> tuple[tuple[int, ...], int]:
    """Check the header and return (shape of all items, bytes in the header)."""
    expected_magic = UNSIGNED_BYTE + 1 + len(item_shape)
    magic = int.from_bytes(content[:4], "big")
    if len(content) >= 4 and magic != expected_magic:
        raise ValueError(
            f"{path} has the wrong magic number: found {_describe(magic)}, expected {_describe(expected_magic)}"
            + ("; are images and labels swapped?" if magic in KINDS else "")
        )
    header_size = 4 * (2 + len(item_shape))
    if len(content) < header_size:
        raise ValueError(f"{path} is truncated: found {len(content)} bytes, expected a header of {header_size}")
    n_items, *found_shape = struct.unpack_from(f">{1 + len(item_shape)}I", content, 4)
    if any(size not in (None, found) for size, found in zip(item_shape, found_shape, strict=True)):
        raise ValueError(f"{path} has the wrong dimensions: found items of {tuple(found_shape)}, expected {item_shape}")
    if n_items == 0:
        raise ValueError(f"{path} has the wrong dimensions: found 0 items, expected at least 1")
    if 0 in found_shape:
        raise ValueError(f"{path} has the wrong dimensions: found items of {tuple(found_shape)}, expected no size of 0")
    return (n_items, *found_shape), header_size


def _describe(magic: int) -> str:
    return f"0x{magic:08x}" + (f" ({KINDS[magic]})" if magic in KINDS else "")
