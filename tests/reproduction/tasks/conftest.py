from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture
def to_idx() -> Callable[[np.ndarray], bytes]:
    """The content of an IDX file, written here independently of the reader."""

    def encode(array: np.ndarray) -> bytes:
        header = bytes([0, 0, 0x08, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
        return header + array.astype(np.uint8).tobytes()

    return encode
