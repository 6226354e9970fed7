"""Lyapunov exponents of driven systems, checked and labelled: algorithms 1 and 2 of the dissertation (chapter 2)."""

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

    Tangent vectors are multiplied by the Jacobian of each step and orthonormalised; the exponents are the mean
    logarithms of their lengths before orthonormalisation (dissertation, Algorithm 2). Spectra are not averaged over
    sequences.

    The arguments below are those of `finite_time_exponents`, `covariant_vectors` and `adjoint_vectors`, too.

    Args:
        system: one of these:

            * torch.nn.RNN, LSTM or GRU of any depth, or RNNCell, LSTMCell or GRUCell. It is taken in evaluation mode,
              and its own forward is compared with what is computed, so that hooks and subclasses count;
            * a module of your own that maps (x, state) to the next state, or to (output, state);
            * a `Network` of this package, which may hold many variants;
            * a map of `lyapunov_pkg.systems.maps` or a flow of `lyapunov_pkg.systems.flows`;
            * an object with `push_forward(state, x, tangents)`;
            * a function `step(state, x) -> state`, or `step(state)`, on states (sequence, ...) of any nesting and
              inputs (sequence, feature). It is differentiated automatically and needs `initial_state`. A function
              whose arguments are called (x, state), (input, hidden) or the like is called with the input first.
        inputs: of torch.nn.RNN, LSTM or GRU what its own forward takes: (time, sequence, feature), or (sequence, time,
            feature) where it is `batch_first`, or (time, feature). Of all other systems (sequence, time, feature).
            A DataArray is read by these names of its dimensions. None: the system is autonomous.
        n_steps: steps of an autonomous system, the warm-up included.
        duration: in place of `n_steps`, the time units that a flow is integrated over, the warm-up included. It is
            rounded to whole steps.
        n_exponents: how many of the largest exponents to compute, k. Default: all, one per row of the Jacobian.
        jacobian: "full" takes the Jacobian of the whole state (LSTM: h and c), "reduced" the dissertation's,
            dh_t/dh_{t-1} with the cell state held.
        initial_state: of a torch module what its own forward takes, such as (h, c) with layers first; of a step
            function a state of its own form. Both also take it flat: (S,), (sequence, S), or (variant, sequence, S) of
            a `Network`, layer after layer, and in each the hidden units first. Default: zeros, or what a system itself
            starts from.
        initial_tangents: k independent tangent vectors to start from, in the columns of (rows, k) or (..., sequence,
            rows, k). They are orthonormalised if they are not orthonormal. Default: for all exponents the columns
            of the identity, those of a network's last layer first; for fewer, random vectors with a fixed seed, the
            same in every call.
        warmup: number of first steps that move state and tangent vectors but are not measured. A flow counts steps
            here, too.
        orthonormalize_every: steps from one QR decomposition to the next (T_ON of Algorithm 2). Larger is faster;
            trailing exponents lose accuracy first. "auto" makes intervals as long as rounding errors move no exponent
            by more than 1e-4 nats per step, which pays where the spectrum is narrow. The attributes
            `longest_interval` and `n_orthonormalizations` of the result say what it chose.
        dtype: torch.float32 or torch.float64. Default: that of the weights of a module or `Network`; of everything else
            the wider one of inputs and initial state, in which lists count as float64. Automatic mixed precision
            (`torch.autocast`) has no effect.
        device: where to compute. Default: that of the network, else of the inputs.
        differentiable: return a tensor through which a loss can be back-propagated; see below.
        resume: the result of an earlier call with the same system and the same settings. The run goes on where that
            one ended, with the inputs that follow; the estimate is that of both together. Its bits are those of one
            long run, if the earlier one ended with a full interval of `orthonormalize_every`, which is not "auto".
            `warmup` stays 0, and of `initial_state` only the nesting counts. The result may be saved and loaded in
            between.
        progress: None shows a bar on a terminal if the computation takes longer than two seconds, True always shows
            it, False never.

    Returns:
        Dataset with these variables. A `Network` adds the dimension `variant` in front.

        * `lyapunov_exponent(sequence, exponent)`: natural log per time step, of a flow per time unit, decreasing along
          `exponent`. -inf: a direction is lost beyond what float64 resolves. NaN: the trajectory diverged.
        * `standard_error(sequence, exponent)`: how far the estimate has converged, in the same units. The measured
          steps are divided into 8 to 16 batches of equal length, and the standard error of their mean is taken. It is
          an estimate if batches are longer than the correlation time, and NaN for fewer than 8 intervals.
        * `n_lost(sequence)`: how many exponents are -inf; `n_lossy_intervals(sequence)`: measured intervals in which
          a direction was lost.
        * `final_state(sequence, state)` and `final_tangents(sequence, unit, direction)`: the end of the run, from
          which `resume` goes on. Tangent vectors are S times k numbers; drop them from what you store if you will not
          go on.
        * `batch_sum(sequence, batch, direction)`: log r summed over each batch, in nats. Directions have the order of
          the QR decomposition; their exponents need not decrease.

        With `differentiable` a tensor of the shape and with the values of `lyapunov_exponent`.

    Raises:
        TypeError: `system` is none of these, or `inputs` are no numbers.
        ValueError: an argument is out of range, or of the wrong shape, or not finite, weights included; a step function
            cannot be differentiated, returns something else than a state, or mixes sequences.

    Fewer exponents than rows:
        The k largest exponents are found whatever the structure of the Jacobian, because the tangent vectors start from
        random directions. Two things remain. Until the vectors have turned towards the leading directions, the sums
        contain a transient, which falls as 1 / (measured steps); a `warmup` removes it. Directions whose exponents are
        equal cannot be told apart: of degenerate exponents the vectors span some directions of their common subspace,
        and which ones depends on the start.

    Differentiable exponents:
        Gradients flow to the weights of a torch.nn module, to the `params` of a `Network`, to what a step function
        refers to, to `inputs` and to `initial_state`, wherever these require them. They are the exact derivatives of
        what is returned, through states and tangent vectors of all steps, the warm-up included. Second derivatives are
        refused.

        Through chaos gradients explode: the exact derivative of the finite-time exponent grows like the tangent vectors
        themselves, although the exponent converges. `examples/plot_gradients_through_chaos.py` measures this for
        an autonomous tanh RNN of 100 units with Gaussian weights of gain g = 2. The largest exponent changes with g at
        a rate of 0.18, as long runs at g = 1.9 and 2.1 show. The exact derivative is 0.5 over 25 steps, and its
        magnitude is of the order of 1e8 over 175. Where the largest exponent is positive, differentiate over few steps.

        All steps are kept until the backward pass: 3 to 10 numbers (fewest for RNN, most for GRU with few exponents)
        for each entry of the tangent vectors, which are state size times `n_exponents` per step, sequence and variant.
        To keep less, run a warm-up of the state beforehand and give its last state, detached, as `initial_state`.
        A gradient is NaN, for the weights of that variant, if a direction is lost (-inf) or a trajectory diverged
        (NaN): with singular Jacobians take `n_exponents` small enough. Degenerate exponents are no obstacle.

    Example:
        The Hénon map, whose exponents are 0.419 and -1.623 nats per step:

        >>> from lyapunov_pkg import lyapunov_spectrum
        >>> from lyapunov_pkg.systems import Henon
        >>> spectrum = lyapunov_spectrum(Henon(), n_steps=3000, warmup=100)
        >>> spectrum["lyapunov_exponent"].values.round(1)
        array([[ 0.4, -1.6]])

        An LSTM under ten sequences of inputs, and 200 steps more:

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
        raise ValueError(f"warmup: got {warmup} beside resume, expected 0; the earlier run had the warm-up")
    n_new = driven.inputs.shape[-2]
    with without_autocast(), steps_bar(n_new, "Lyapunov exponents", progress) as advanced:
        if differentiable:
            if resume is not None:
                raise ValueError("differentiable: got True beside resume, expected False; a resumed run has no graph")
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
    # A map that saturates can have a finite Jacobian at an infinite state.
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
