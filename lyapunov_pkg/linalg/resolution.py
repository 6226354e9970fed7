"""What rounding errors leave of a direction, and when nothing of it is left."""

from __future__ import annotations

import torch

RESOLUTION = 1e-13
"""A column of which at most this share of its length is left, orthogonally to those before it, counts as lost. QR in
float64 leaves rounding errors of 1e-16 to 1e-14, and a matrix of condition number 1e12 leaves at least 1e-12."""

SMALLEST_SINE = {torch.float32: 1e-5, torch.float64: 1e-8}
"""One pass of Gram-Schmidt is trusted with averages while the sine of the angle between a column and the span of those
before it is larger than this. log r is then in error by about eps / sine, no more than products of Jacobians in the
same dtype already leave, and columns are orthogonal to about the same: a well-conditioned basis."""
