"""Batched QR decomposition of tangent vectors, and their propagation by compiled kernels."""

from __future__ import annotations

from lyapunov_pkg.linalg.covariant import carry_back
from lyapunov_pkg.linalg.derivative import orthonormalize_differentiably, triangular_factor
from lyapunov_pkg.linalg.orthonormalization import orthonormalize, orthonormalize_unasked
from lyapunov_pkg.linalg.resolution import SMALLEST_SINE

__all__ = [
    "SMALLEST_SINE",
    "carry_back",
    "orthonormalize",
    "orthonormalize_differentiably",
    "orthonormalize_unasked",
    "triangular_factor",
]
