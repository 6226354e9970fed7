"""Limits of resolution: when a direction is only rounding error, and when one pass is not accurate enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

RESOLUTION = 1e-13
"""A number that is smaller than this share of its operands counts as a rounding error. QR in float64 leaves errors of
1e-16 to 1e-14, and a matrix of condition number 1e12 leaves at least 1e-12."""

SMALLEST_SINE = {torch.float32: 1e-5, torch.float64: 1e-8}
"""One pass of Gram-Schmidt is used for averages if the sine of the angle between each column and the span of those
before it is larger than this. The error of log r is then about eps / sine. This is not more than the error of products
of Jacobians in the same dtype. The columns are orthogonal to about the same error, which makes a well-conditioned
basis."""


class Limits(NamedTuple):
    """Limits within which one pass in a dtype is accurate enough. Matrices outside them are recomputed in float64."""

    smallest_ratio: float
    """Smallest squared sine of the angle between a column and the span of those before it."""
    smallest_square: float
    """Smallest squared length of a column. Shorter columns approach the smallest numbers of the dtype."""
    tiny: float
    """Number that is added to squares before a division by them, so that a zero column stays zero."""


LIMITS = {
    np.dtype(np.float32): Limits(SMALLEST_SINE[torch.float32] ** 2, 1e-30, 1e-37),
    np.dtype(np.float64): Limits(SMALLEST_SINE[torch.float64] ** 2, 1e-280, 1e-300),
}
