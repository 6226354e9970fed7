"""When a direction counts as lost."""

RESOLUTION = 1e-13
"""A column of which at most this share of its length is left, orthogonally to those before it, counts as lost. QR in
float64 leaves rounding errors of 1e-16 to 1e-14, and a matrix of condition number 1e12 leaves at least 1e-12."""
