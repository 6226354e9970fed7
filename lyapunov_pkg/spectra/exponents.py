"""Lyapunov exponents of driven systems, checked and labelled: algorithms 1 and 2 of the dissertation (chapter 2)."""

from __future__ import annotations

from typing import Literal, overload

import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.spectra.averaging import average_exponents
from lyapunov_pkg.spectra.differentiable import differentiable_exponents
from lyapunov_pkg.spectra.driven import Analysable, driven_system


@overload
def lyapunov_spectrum(
    network: Analysable,
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: Literal[False] = False,
) -> xr.Dataset: ...


@overload
def lyapunov_spectrum(
    network: Analysable,
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: Literal[True],
) -> Tensor: ...


def lyapunov_spectrum(
    network: Analysable,
    inputs: Tensor | ArrayLike,
    *,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: bool = False,
) -> xr.Dataset | Tensor:
    """Lyapunov spectrum of a recurrent network driven by each of several input sequences.

    Tangent vectors start as the first columns of the identity and are multiplied by the analytic Jacobian of each step;
    see `average_exponents` for the algorithm (dissertation, Algorithm 2). Spectra are not averaged over sequences.

    Args:
        network: torch.nn.RNN, LSTM or GRU of any depth (dropout is not applied); a `Network` of this package, which
            may hold many variants; an object with `push_forward(state, x, tangents)`, such as those of
            `lyapunov_pkg.systems.maps`; or a function `step(state, x) -> state` on states (sequence, S) and inputs
            (sequence, feature), which is differentiated automatically and needs `initial_state`.
        inputs: (sequence, time, feature) in this order whatever the module's `batch_first`, tensor or array.
        n_exponents: how many leading exponents to compute; default all, one per row of the Jacobian.
        jacobian: "full" takes the Jacobian of the whole state (LSTM: h and c), "reduced" the dissertation's,
            dh_t/dh_{t-1} with the cell state held.
        initial_state: (S,), (sequence, S), or (variant, sequence, S), layer after layer, and in each the hidden units
            first (LSTM: h, c); default zeros, or what a system itself starts from.
        warmup: number of first time steps that move state and tangent vectors but are not measured.
        orthonormalize_every: steps from one QR decomposition to the next (T_ON of Algorithm 2). Larger is faster;
            trailing exponents lose accuracy first. "auto" makes intervals as long as rounding errors move no exponent
            by more than 1e-4 nats per step, which pays where the spectrum is narrow; the attributes
            `longest_interval` and `n_orthonormalizations` of the result say what it chose.
        dtype: torch.float32 or torch.float64; default that of the network, else of the inputs.
        device: default that of the network, else of the inputs.
        differentiable: return a tensor through which a loss can be back-propagated; see below.

    Returns:
        Dataset with `lyapunov_exponent(sequence, exponent)`, or `(variant, sequence, exponent)` for a `Network`, in
        natural log per time step, decreasing along `exponent`. -inf: singular Jacobians; NaN: the trajectory diverged.
        With `differentiable` a tensor of the same shape and values.

    Raises:
        TypeError: `network` is none of these, or `inputs` are no numbers.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included; a step function
            cannot be differentiated, returns something else than a state, or mixes sequences.

    Differentiable exponents:
        Gradients flow to the weights of a torch.nn module, to the `params` of a `Network`, to what a step function
        refers to, to `inputs` and to `initial_state`, wherever these require them. They are the exact derivatives of
        what is returned, through states and tangent vectors of all steps, the warm-up included; only of first order.
        All steps are kept until the backward pass: 3 to 10 numbers (fewest for RNN, most for GRU with few exponents)
        for each entry of the tangent vectors, which are state size times `n_exponents` per step, sequence and variant.
        To keep less, run a warm-up of the state beforehand and give its last state, detached, as `initial_state`.
        A gradient is NaN, for the weights of that variant, if a direction is lost (-inf) or a trajectory diverged
        (NaN): with singular Jacobians take `n_exponents` small enough. Degenerate exponents are no obstacle.

    Example:
        >>> lstm, inputs = torch.nn.LSTM(3, 64), torch.randn(10, 500, 3)
        >>> lyapunov_spectrum(lstm, inputs, warmup=100)["lyapunov_exponent"].mean("sequence")
        >>> leading = lyapunov_spectrum(lstm, inputs, n_exponents=8, differentiable=True)
        >>> leading.square().mean().backward()  # now lstm.weight_hh_l0.grad points to exponents further from zero

    References:
        Benettin, G., Galgani, L., Giorgilli, A., Strelcyn, J.-M.: Lyapunov characteristic exponents for smooth
        dynamical systems. Meccanica 15, 9-20 (1980).
        Engelken, R., Wolf, F., Abbott, L. F.: Lyapunov spectra of chaotic recurrent neural networks. Physical Review
        Research 5, 043044 (2023).
        Engelken, R.: Gradient flossing. Advances in Neural Information Processing Systems 36 (2023).
    """
    driven = driven_system(
        network,
        inputs,
        n_exponents=n_exponents,
        jacobian=jacobian,
        initial_state=initial_state,
        dtype=dtype,
        device=device,
        differentiable=differentiable,
    )
    if differentiable:
        return differentiable_exponents(driven, warmup=warmup, orthonormalize_every=orthonormalize_every)
    average = average_exponents(
        driven.system,
        driven.inputs,
        driven.initial_state,
        driven.initial_tangents,
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
    )
    return driven.dataset(
        {"lyapunov_exponent": (("exponent",), average.exponents)},
        {},
        {"lyapunov_exponent": ("nat/step", "Lyapunov exponent (natural log per time step)")},
        warmup=warmup,
        orthonormalize_every=orthonormalize_every,
        longest_interval=average.longest_interval,
        n_orthonormalizations=average.n_orthonormalizations,
    )
