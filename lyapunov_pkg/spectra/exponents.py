"""Lyapunov spectra as labelled Datasets, by algorithms 1 and 2 of the dissertation (chapter 2)."""

from __future__ import annotations

from typing import Literal, overload

import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from lyapunov_pkg.devices import without_autocast
from lyapunov_pkg.progress import steps_bar
from lyapunov_pkg.spectra.differentiable import differentiable_exponents
from lyapunov_pkg.spectra.driven import Analysable, DrivenSystem
from lyapunov_pkg.spectra.estimation import Checkpoint, run
from lyapunov_pkg.spectra.resuming import checkpoint_variables, prepare, read_checkpoint, time_unit


@overload
def lyapunov_spectrum(
    system: Analysable,
    inputs: Tensor | ArrayLike | None = None,
    *,
    n_steps: int | None = None,
    duration: float | None = None,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    initial_tangents: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: Literal[False] = False,
    resume: xr.Dataset | None = None,
    progress: bool | None = None,
) -> xr.Dataset: ...


@overload
def lyapunov_spectrum(
    system: Analysable,
    inputs: Tensor | ArrayLike | None = None,
    *,
    n_steps: int | None = None,
    duration: float | None = None,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    initial_tangents: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: Literal[True],
    resume: None = None,
    progress: bool | None = None,
) -> Tensor: ...


def lyapunov_spectrum(
    system: Analysable,
    inputs: Tensor | ArrayLike | None = None,
    *,
    n_steps: int | None = None,
    duration: float | None = None,
    n_exponents: int | None = None,
    jacobian: Literal["full", "reduced"] = "full",
    initial_state: Tensor | ArrayLike | None = None,
    initial_tangents: Tensor | ArrayLike | None = None,
    warmup: int = 0,
    orthonormalize_every: int | Literal["auto"] = 1,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: bool = False,
    resume: xr.Dataset | None = None,
    progress: bool | None = None,
) -> xr.Dataset | Tensor:
    """Return the Lyapunov spectrum of a system, for each trajectory.

    The Jacobian of each step multiplies a set of tangent vectors, which are then orthonormalised. The exponents are the
    mean logarithms of the vectors' lengths before orthonormalisation (dissertation, Algorithm 2). Spectra are not
    averaged over sequences.

    `finite_time_exponents`, `covariant_vectors` and `adjoint_vectors` take the same arguments.

    Args:
        system: one of these:

            * torch.nn.RNN, LSTM or GRU of any depth, or RNNCell, LSTMCell or GRUCell. It is used in evaluation mode.
              Its own forward is compared with the computation, so that hooks and overridden methods are respected;
            * your own module that maps (x, state) to the next state, or to (output, state);
            * a `Network` of this package, which may hold many variants;
            * a map of `lyapunov_pkg.systems.maps` or a flow of `lyapunov_pkg.systems.flows`;
            * an object with `push_forward(state, x, tangents)`;
            * a function `step(state, x) -> state`, or `step(state)`, on states (sequence, ...) of any nesting and
              inputs (sequence, feature). It is differentiated automatically and needs `initial_state`. If its arguments
              are named (x, state), (input, hidden) or similar, it is called with the input first.
        inputs: for torch.nn.RNN, LSTM or GRU, what the module's own forward takes: (time, sequence, feature), or
            (sequence, time, feature) with `batch_first`, or (time, feature). For all other systems (sequence, time,
            feature). A DataArray must have dimensions with these names, in any order. None: the system is autonomous.
        n_steps: number of steps of an autonomous system, including the warm-up.
        duration: time units over which a flow is integrated, including the warm-up. It replaces `n_steps` and is
            rounded to whole steps.
        n_exponents: k, the number of largest exponents to compute. Default: all, one per row of the Jacobian.
        jacobian: "full" is the Jacobian of the whole state (for an LSTM, h and c). "reduced" is the dissertation's:
            dh_t/dh_{t-1} with the cell state held fixed.
        initial_state: for a torch module, what its own forward takes, such as (h, c) with layers first. For a step
            function, a state in the function's own form. Both also accept a flat state: (S,), (sequence, S), or
            (variant, sequence, S) for a `Network`. A flat state has layer after layer, and within a layer the hidden
            units first. Default: zeros, or the system's own initial state.
        initial_tangents: k linearly independent initial tangent vectors, as the columns of (rows, k) or (..., sequence,
            rows, k). They are orthonormalised if they are not orthonormal. Default for all exponents: the columns of
            the identity, those of a network's last layer first. Default for fewer exponents: random vectors with a
            fixed seed, the same in every call.
        warmup: number of initial steps that update the state and the tangent vectors but are not measured. For a flow
            this is also a number of steps.
        orthonormalize_every: steps from one QR decomposition to the next (T_ON of Algorithm 2). Larger values are
            faster, but trailing exponents lose accuracy first. "auto" chooses the longest intervals for which rounding
            errors change no exponent by more than 1e-4 nats per step. It is faster where the spectrum is narrow. The
            attributes `longest_interval` and `n_orthonormalizations` of the result report its choice.
        dtype: torch.float32 or torch.float64. Default: the dtype of the weights of a module or `Network`. For other
            systems the default is the wider dtype of inputs and initial state, where lists count as float64. Automatic
            mixed precision (`torch.autocast`) has no effect.
        device: where to compute. Default: the device of the network, otherwise that of the inputs.
        differentiable: True returns a tensor through which a loss can be back-propagated; see below.
        resume: the result of an earlier call with the same system and the same settings. The run continues from the end
            of that run, with the inputs that follow. The estimate is that of both runs together. It equals one long run
            bit for bit if the earlier run ended with a full interval and `orthonormalize_every` is not "auto". `warmup`
            must be 0. Of `initial_state` only the nesting is used. The earlier result may have been saved and loaded.
        progress: None shows a progress bar on a terminal if the computation takes longer than two seconds. True always
            shows it, False never.

    Returns:
        Dataset with these variables. A `Network` adds the dimension `variant` in front.

        * `lyapunov_exponent(sequence, exponent)`: nats per time step, or per time unit for a flow, decreasing along
          `exponent`. -inf: float64 cannot resolve the direction. NaN: the trajectory diverged.
        * `standard_error(sequence, exponent)`: standard error of the estimate, in the same units. The measured steps
          are divided into 8 to 16 batches of equal length, and the standard error is computed from the means of the
          batches. It is valid if batches are longer than the correlation time. It is NaN for fewer than 8 intervals.
        * `n_lost(sequence)`: number of exponents that are -inf.
        * `n_lossy_intervals(sequence)`: number of measured intervals in which a direction was lost.
        * `final_state(sequence, state)` and `final_tangents(sequence, unit, direction)`: the end of the run, from which
          `resume` continues. The tangent vectors are S times k numbers. Drop them before saving if you do not plan to
          resume.
        * `batch_sum(sequence, batch, direction)`: log r summed over each batch, in nats. Directions are in the order of
          the QR decomposition, so their exponents need not decrease.

        With `differentiable`, a tensor with the shape and the values of `lyapunov_exponent`.

    Raises:
        TypeError: `system` is of another type, or `inputs` are not numeric.
        ValueError: an argument (or a weight) is out of range, has the wrong shape, or is not finite. Or a step function
            cannot be differentiated, does not return a state, or mixes sequences.

    Fewer exponents than rows:
        The k largest exponents are found for any structure of the Jacobian, because the tangent vectors start from
        random directions. Two limits remain:

        * Until the vectors have turned towards the leading directions, the sums contain a transient. Its effect falls
          as 1 / (measured steps). A `warmup` removes it.
        * Directions with equal exponents cannot be told apart. The vectors then span some directions of the common
          subspace, and these depend on the initial vectors.

    Differentiable exponents:
        Gradients reach the weights of a torch.nn module, the `params` of a `Network`, tensors that a step function
        uses, `inputs` and `initial_state`, if these require gradients. They are the exact derivatives of the returned
        values, through the states and tangent vectors of all steps, including the warm-up. Second derivatives raise an
        error.

        In a chaotic system gradients explode. The exact derivative of the finite-time exponent grows like the tangent
        vectors, although the exponent itself converges. `examples/plot_gradients_through_chaos.py` measures this for an
        autonomous tanh RNN of 100 units with Gaussian weights of gain g = 2. Long runs at g = 1.9 and 2.1 show that the
        largest exponent changes with g at a rate of 0.18. The exact derivative is 0.5 over 25 steps, and its magnitude
        is of the order of 1e8 over 175. If the largest exponent is positive, differentiate over few steps only.

        Memory: all steps are kept until the backward pass. Each step stores 3 to 10 numbers (fewest for RNN, most for
        GRU with few exponents) per entry of the tangent vectors. The tangent vectors have state size times
        `n_exponents` entries per sequence and variant. To save memory, first run the warm-up of the state without
        gradients. Then pass its last state, detached, as `initial_state`.

        A gradient is NaN, for the weights of one variant, if a direction is lost (-inf) or a trajectory diverged (NaN).
        With singular Jacobians choose a small enough `n_exponents`. Equal exponents cause no problem.

    Example:
        The Hénon map, whose exponents are 0.419 and -1.623 nats per step:

        >>> from lyapunov_pkg import lyapunov_spectrum
        >>> from lyapunov_pkg.systems import Henon
        >>> spectrum = lyapunov_spectrum(Henon(), n_steps=3000, warmup=100)
        >>> spectrum["lyapunov_exponent"].values.round(1)
        array([[ 0.4, -1.6]])

        An LSTM driven by ten sequences, first for 300 steps and then for 200 more:

        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> inputs = torch.randn(10, 500, 3, generator=generator)
        >>> _ = torch.manual_seed(0)
        >>> lstm = torch.nn.LSTM(3, 16, batch_first=True)
        >>> first = lyapunov_spectrum(lstm, inputs[:, :300], n_exponents=4, warmup=100)
        >>> both = lyapunov_spectrum(lstm, inputs[:, 300:], resume=first)
        >>> once = lyapunov_spectrum(lstm, inputs, n_exponents=4, warmup=100)
        >>> bool((both["lyapunov_exponent"] == once["lyapunov_exponent"]).all())
        True

        A loss of the leading exponents, which moves them towards zero:

        >>> leading = lyapunov_spectrum(lstm, inputs[:, :50], n_exponents=4, differentiable=True)
        >>> leading.square().mean().backward()
        >>> tuple(lstm.weight_hh_l0.grad.shape)
        (64, 16)

    References:
        Benettin, G., Galgani, L., Giorgilli, A., Strelcyn, J.-M.: Lyapunov characteristic exponents for smooth
        dynamical systems. Meccanica 15, 9-20 (1980).
        Engelken, R., Wolf, F., Abbott, L. F.: Lyapunov spectra of chaotic recurrent neural networks. Physical Review
        Research 5, 043044 (2023).
        Engelken, R.: Gradient flossing. Advances in Neural Information Processing Systems 36 (2023).
    """
    driven = prepare(
        system,
        inputs,
        duration,
        resume,
        differentiable,
        n_steps=n_steps,
        n_exponents=n_exponents,
        jacobian=jacobian,
        initial_state=initial_state,
        initial_tangents=initial_tangents,
        dtype=dtype,
        device=device,
    )
    if resume is not None and warmup != 0:
        raise ValueError(
            f"warmup: got {warmup} together with resume, expected 0: the warm-up was part of the earlier run"
        )
    n_new = driven.inputs.shape[-2]
    with without_autocast(), steps_bar(n_new, "Lyapunov exponents", progress) as advanced:
        if differentiable:
            if resume is not None:
                raise ValueError(
                    "differentiable: got True together with resume, expected False: a resumed run has no graph"
                )
            return differentiable_exponents(
                driven, warmup=warmup, orthonormalize_every=orthonormalize_every, advanced=advanced
            )
        checkpoint = run(
            driven,
            warmup=warmup,
            orthonormalize_every=orthonormalize_every,
            earlier=None if resume is None else read_checkpoint(resume, driven),
            advanced=advanced,
        )
    return _dataset(driven, checkpoint, orthonormalize_every)


def _dataset(driven: DrivenSystem, checkpoint: Checkpoint, orthonormalize_every: int | str) -> xr.Dataset:
    exponents, order = torch.from_numpy(checkpoint.batches.exponents()).sort(dim=-1, descending=True)
    errors = torch.from_numpy(checkpoint.batches.standard_error()).gather(-1, order)
    # A saturating map can have a finite Jacobian at an infinite state.
    stays_finite = torch.isfinite(checkpoint.state).all(dim=-1, keepdim=True).cpu()
    exponents = torch.where(stays_finite, exponents, torch.nan)
    estimates = {"lyapunov_exponent": exponents, "standard_error": torch.where(stays_finite, errors, torch.nan)}
    variables, coordinates, descriptions = checkpoint_variables(driven, checkpoint)
    for name, values in estimates.items():
        variables[name] = (("exponent",), (values / driven.time_per_step).to(driven.inputs.dtype))
    unit = time_unit(driven)
    described = {"step": "time step"}.get(unit, unit)
    variables["n_lost"] = ((), torch.isneginf(exponents).sum(dim=-1))
    return driven.dataset(
        variables,
        coordinates,
        descriptions
        | {
            "lyapunov_exponent": (f"nat/{unit}", f"Lyapunov exponent (natural log per {described})"),
            "standard_error": (f"nat/{unit}", "standard error of the Lyapunov exponent, by batch means"),
            "n_lost": ("1", "exponents that are -inf, because directions are lost"),
        },
        n_steps=checkpoint.n_steps,
        warmup=checkpoint.warmup,
        orthonormalize_every=orthonormalize_every,
        longest_interval=checkpoint.longest_interval,
        n_orthonormalizations=checkpoint.n_orthonormalizations,
    )
