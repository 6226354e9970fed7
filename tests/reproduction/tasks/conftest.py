from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture
def to_idx() -> Callable[[np.ndarray], bytes]:
    """Return the content of an IDX file; this writer is independent of the reader under test."""

    def encode(array: np.ndarray) -> bytes:
        header = bytes([0, 0, 0x08, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
        return header + array.astype(np.uint8).tobytes()

    return encode
