"""What rounding errors leave of a direction, and when nothing of it is left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

RESOLUTION = 1e-13
"""What is smaller than this share of what it was computed from counts as rounding. QR in float64 leaves errors of 1e-16
to 1e-14, and a matrix of condition number 1e12 leaves at least 1e-12."""

SMALLEST_SINE = {torch.float32: 1e-5, torch.float64: 1e-8}
"""One pass of Gram-Schmidt is trusted with averages while the sine of the angle between a column and the span of those
before it is larger than this. log r is then in error by about eps / sine, no more than products of Jacobians in the
same dtype already leave, and columns are orthogonal to about the same: a well-conditioned basis."""


class Limits(NamedTuple):
    """What one pass in one dtype can be trusted with; matrices beyond it are recomputed in float64."""

    smallest_ratio: float
    """Squared sine of the angle between a column and the span of those before it."""
    smallest_square: float
    """Squared length of a column: shorter ones come near the smallest numbers of the dtype."""
    tiny: float
    """Added to squares before they divide, so that a zero column stays zero."""


LIMITS = {
    np.dtype(np.float32): Limits(SMALLEST_SINE[torch.float32] ** 2, 1e-30, 1e-37),
    np.dtype(np.float64): Limits(SMALLEST_SINE[torch.float64] ** 2, 1e-280, 1e-300),
}
