"""Initial tangent vectors of a computation of exponents."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lyapunov_pkg.systems.numbers import Values, converted, read_numbers, shown, whole_number

TANGENT_SEED = 0
"""Seed of the initial tangent vectors if there are fewer exponents than rows of the Jacobian."""


def initial_tangents(complete: Tensor, n_exponents: int | None, given: Values | None, n_sequences: int) -> Tensor:
    """Return orthonormal tangent vectors.

    For all exponents these are `complete`. For fewer they are random, because the first columns of `complete` may span
    an invariant subspace that does not contain the fastest directions. The random vectors are the same in every call,
    for all sequences and in every dtype.

    Args:
        complete: the system's own tangent vectors, one per row of the Jacobian, (rows, rows).
        n_exponents: number of vectors; None: as many as are given, otherwise as many as there are rows.
        given: the user's vectors, (rows, k) or (sequence, rows, k), which are orthonormalised.
        n_sequences: number of sequences of the inputs.

    Returns:
        (rows, k), or (sequence, rows, k) if `given` has this shape, in the dtype and on the device of `complete`.

    Raises:
        TypeError: `given` is not numeric.
        ValueError: `n_exponents` is out of range, or `given` has another shape or linearly dependent columns.
    """
    rows, count = len(complete), None
    if n_exponents is not None:
        expected = f"1 to {rows}, the rows of the Jacobian"
        count = whole_number("n_exponents", n_exponents, expected, 1, rows)
    if given is not None:
        tangents = _checked(given, rows, count, n_sequences)
        return converted("initial_tangents", tangents, complete.dtype, complete.device)
    if count is None or count == rows:
        return complete
    return drawn_tangents(rows, count).to(complete)


def of_each_trajectory(tangents: Tensor, state: Tensor) -> Tensor:
    """Return tangent vectors (rows, k) or (..., rows, k) as one set per trajectory of the state (..., S)."""
    return tangents.expand(*state.shape[:-1], *tangents.shape[-2:])


def drawn_tangents(rows: int, n_exponents: int) -> Tensor:
    """Return orthonormal random vectors (rows, n_exponents), float64, the same in every call.

    The first n vectors do not depend on how many follow. Signs and sizes of the entries are drawn before
    orthonormalisation. The sizes are between 1/2 and 1, so that every unit of the state has a considerable share.
    """
    draws = torch.from_numpy(np.random.default_rng(TANGENT_SEED).random((n_exponents, 2, rows)))
    signs, sizes = torch.where(draws[:, 0] < 0.5, -1.0, 1.0), (1 + draws[:, 1]) / 2
    return _orthonormalized((signs * sizes).mT)[0]


def _checked(given: Values, rows: int, count: int | None, n_sequences: int) -> Tensor:
    tangents = read_numbers("initial_tangents", given, ("sequence", "unit", "exponent")).detach().double()
    shape = tuple(tangents.shape)
    fits = len(shape) in (2, 3) and shape[-2] == rows and 1 <= shape[-1] <= rows and shape[:-2] in ((), (n_sequences,))
    if not fits or (count is not None and shape[-1] != count):
        k = f"{count}" if count is not None else f"1 to {rows}"
        raise ValueError(
            f"initial_tangents: got shape {shape}, expected ({rows}, k) or ({n_sequences}, {rows}, k), with k {k}"
        )
    identity = torch.eye(shape[-1], dtype=torch.float64, device=tangents.device)
    if torch.allclose(tangents.mT @ tangents, identity, rtol=0.0, atol=1e-14):
        return tangents
    q, lengths = _orthonormalized(tangents)
    # A vector's part outside the span of the vectors before it, relative to the vector's length, must not be tiny.
    share = lengths / torch.linalg.vector_norm(tangents, dim=-2)
    if not (share > 1e-10).all():
        raise ValueError(
            f"initial_tangents: got linearly dependent columns {shown(tangents)}, expected independent ones"
        )
    return q


def _orthonormalized(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return Q of the QR decomposition with a positive diagonal of R, and that diagonal."""
    q, r = torch.linalg.qr(columns)
    diagonal = r.diagonal(dim1=-2, dim2=-1)
    return q * torch.where(diagonal < 0, -1.0, 1.0).unsqueeze(-2), diagonal.abs()
