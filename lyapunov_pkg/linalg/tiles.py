"""Products of matrices in tiles that fill the vector registers.

Each number of a result is summed up in the same order whatever tile it is in. So the tiles, and who computes which
columns, change no bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.layout import ROWS
from lyapunov_pkg.linalg.vectors import MANY_REGISTERS, row_products, shifted

WIDE = 2
"""Vectors of the columns of a wide tile; a narrow one has one."""

_FEWEST = 2
"""Columns of the narrowest panel: float64 in vectors of 16 bytes."""


def _product(sign: int, n_vectors: int) -> Callable[..., Any]:
    """Return the compiled product of a sign, as that of `row_products`, in tiles of so many vectors."""
    # A processor needs eight sums or more to begin a multiplication in every cycle.
    tile = (16 if MANY_REGISTERS else 8) // n_vectors

    @compiled
    def multiply(columns, n_columns, b, n, out):
        c = 0
        while c + tile <= n_columns:
            row_products(shifted(columns, c, 0), b, n, shifted(out, c, 0), sign, tile, n_vectors)
            c += tile
        while c + ROWS <= n_columns:
            row_products(shifted(columns, c, 0), b, n, shifted(out, c, 0), sign, ROWS, n_vectors)
            c += ROWS
        while c < n_columns:
            row_products(shifted(columns, c, 0), b, n, shifted(out, c, 0), sign, _FEWEST, n_vectors)
            c += _FEWEST

    return multiply


multiply_wide, multiply_narrow = _product(0, WIDE), _product(0, 1)
"""(columns, n_columns, b, n, out): out[c, :] = sum over r < n of columns[c, r] b[r, :], for n_columns, a multiple of
`ROWS` or of the lanes of a vector. Arguments are views; b[r, :] and out[c, :] are as many vectors as a tile has."""
add_wide, add_narrow = _product(1, WIDE), _product(1, 1)
"""The same, added to what is in `out`."""
subtract_wide, subtract_narrow = _product(-1, WIDE), _product(-1, 1)
"""The same, subtracted from what is in `out`."""
