"""Alignment of Lyapunov vectors with singular vectors of the recurrent gradient (chapter 4, figures 4.1, 4.2, C2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from lyapunov_pkg.labels import EPOCH, EXPONENT, TIME, VARIANT, Label, describe
from lyapunov_pkg.networks import Network
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.gradients import AlignmentSettings
from lyapunov_pkg.reproduction.gradients.lyapunov_vectors import q_vectors, settled_vectors
from lyapunov_pkg.reproduction.gradients.recurrent_gradient import WEIGHTS, random_starts, recurrent_gradients
from lyapunov_pkg.reproduction.populations.selection import networks_that_count
from lyapunov_pkg.reproduction.populations.stored import stored_network

N_BINS = 100
"""Number of bins of the histograms of alignments, on [-1, 1]."""


DESCRIPTIONS = {
    "variant": VARIANT,
    "weights": WEIGHTS,
    "epoch": EPOCH,
    "vectors": Label(
        "1",
        "Lyapunov vectors: Q of J Q, Q of Jᵀ Q, Q of Jᵀ Q as in the dissertation's programs, Q of J Q after a pass of "
        "warm-up, covariant vectors",
    ),
    "side": Label("1", "left or right singular vectors of the gradient"),
    "modes": Label("1", "first or last singular vectors"),
    "group": Label("1", "first, last or randomly chosen Lyapunov vectors"),
    "alignment": Label("1", "cosine, centre of a bin"),
    "time": TIME,
    "exponent": EXPONENT.of("and of its Lyapunov vector"),
    "alignment_std": Label("1", "standard deviation of the alignment about zero"),
    "alignment_std_averaged": Label(
        "1", "standard deviation of the alignment about zero at each step and for each singular vector, their mean"
    ),
    "alignment_std_resolved": Label("1", "the same without singular vectors whose singular value is zero to rounding"),
    "alignment_std_by_index": Label("1", "standard deviation of the alignment about zero at each step"),
    "alignment_density": Label("1", "density of the alignment, counted with both signs"),
    "gradient_rank": Label(
        "1", "singular values of the gradient that are not zero to rounding, mean over initial states"
    ),
    "random_index": Label("1", "index of the randomly chosen Lyapunov vectors"),
}


def alignment_experiment(
    trainings: Mapping[str, xr.Dataset], dataset: xr.Dataset, settings: AlignmentSettings, seed: int
) -> xr.Dataset:
    """Return statistics of alignments A_t = Q_tᵀ E_t of Lyapunov vectors with singular vectors of ΔV_t (eq. 4.15).

    `vectors` names the Lyapunov vectors:

    - "tangent", "dissertation": Q_t, which start from the identity at the beginning of the sequence, in both
      conventions (`q_vectors`), along the trajectory of the gradient.
    - "released": Q_t of Jᵀ Q as in the dissertation's programs, from other initial states than those of the gradient,
      after `warmup` steps over the first inputs.
    - "settled", "covariant": in a second pass over the same image, Q_t of the tangent dynamics after one pass of
      warm-up, and the covariant vectors (`settled_vectors`). The gradients are those of the same pass.

    The computation is in float64. The sign of a singular vector is arbitrary. Standard deviations are therefore about
    zero, and histograms count every alignment with both signs. `alignment_std` is that of all alignments together.
    `alignment_std_averaged` follows the dissertation's programs: the standard deviation over images and Lyapunov
    vectors for each step and singular vector, averaged over these.

    ΔV_t has at most t nonzero singular values. The singular vectors of the others are an arbitrary basis of a null
    space, chosen by LAPACK. `alignment_std_resolved` excludes them.

    Args:
        trainings: {name of the initial weights: training store} of tanh RNNs of one size with a readout.
        dataset: the task's data. Its first test images are used.
        settings: settings of the alignment.
        seed: seed of initial states and of the random set of vectors.

    Returns:
        Dataset over variant (without diverged ones, with the coordinate `weights`), epoch, `vectors`, `side` (left or
        right singular vectors), `modes` (first or last ones) and `group` (first, last or random Lyapunov vectors):
        `alignment_std`, `alignment_std_averaged`, `alignment_std_resolved`, `alignment_density(..., alignment)`;
        without group `alignment_std_by_index(..., time, exponent)`, without side and modes `gradient_rank(..., time)`;
        `random_index(vector)`. Attribute `null_std`: 1/sqrt(H), the standard deviation for unrelated frames.

    Raises:
        ValueError: more states, modes, vectors or epochs are requested than there are, or every variant diverged.
    """
    for training in trainings.values():
        _check(training, dataset, settings)
    hidden_size = int(next(iter(trainings.values()))["hidden_size"].values[0])
    task, groups = _draw(dataset, settings, hidden_size, seed)
    results, columns = [], []
    for weights, training in trainings.items():
        variants = np.flatnonzero(networks_that_count(training)).tolist()
        for variant in progress(variants, f"alignment with the gradient, {weights} weights, variant"):
            networks = [stored_network(training, variant, epoch).to(dtype=torch.float64) for epoch in settings.epochs]
            of_epochs = [_summary(network, task, settings.n_modes, groups) for network in networks]
            results.append(xr.concat(of_epochs, "epoch"))
            columns.append((training["variant"].values[variant], weights))
    indices, kinds = zip(*columns, strict=True)
    result = xr.concat(results, "variant").assign_coords(
        variant=list(indices), weights=("variant", list(kinds)), epoch=list(settings.epochs)
    )
    result["random_index"] = ("vector", groups["random"] + 1)
    result.attrs = {
        "null_std": hidden_size**-0.5,
        "hidden_size": hidden_size,
        "n_initial_states": settings.n_initial_states,
        "n_modes": settings.n_modes,
        "n_vectors": settings.n_vectors,
        "n_diverged": sum(int(np.count_nonzero(~networks_that_count(each))) for each in trainings.values()),
    }
    return describe(result, DESCRIPTIONS)


def _draw(
    dataset: xr.Dataset, settings: AlignmentSettings, hidden_size: int, seed: int
) -> tuple[_Task, dict[str, NDArray[np.int_]]]:
    """Return the inputs and random initial states of all networks, and the indices of each set of vectors."""
    generator = torch.Generator().manual_seed(seed)
    start, inputs, labels = random_starts(
        dataset, settings.n_initial_states, settings.initial_state_std, hidden_size, generator
    )
    groups = _vector_groups(hidden_size, settings.n_vectors, generator)
    other_start = settings.initial_state_std * torch.randn(start.shape, generator=generator, dtype=start.dtype)
    return _Task(inputs, labels, start, other_start, min(settings.warmup, inputs.shape[1])), groups


def _vector_groups(hidden_size: int, n_vectors: int, generator: torch.Generator) -> dict[str, NDArray[np.int_]]:
    """Return the indices of the first, the last, and random other Lyapunov vectors."""
    middle = torch.randperm(hidden_size - 2 * n_vectors, generator=generator)[:n_vectors]
    return {
        "first": np.arange(n_vectors),
        "last": np.arange(hidden_size - n_vectors, hidden_size),
        "random": np.sort(middle.numpy()) + n_vectors,
    }


def _check(training: xr.Dataset, dataset: xr.Dataset, settings: AlignmentSettings) -> None:
    """Check that settings request no more than there is."""
    hidden_size, last_epoch = int(training["hidden_size"].values[0]), int(training["epoch"].values[-1])
    for name, value, available, of_what in (
        ("n_initial_states", settings.n_initial_states, dataset.sizes["test_sample"], "test images"),
        ("n_modes", settings.n_modes, hidden_size // 2, "half the hidden units"),
        ("n_vectors", settings.n_vectors, hidden_size // 3, "a third of the hidden units"),
        ("epochs", max(settings.epochs), last_epoch, "epochs of training"),
    ):
        if value > available:
            raise ValueError(f"{name} of the alignment is {value}; expected at most {available}, {of_what}")
    if not networks_that_count(training).any():
        raise ValueError(f"all {training.sizes['variant']} variants diverged; expected one that did not")


class _Task(NamedTuple):
    """The inputs and initial states of all networks.

    Attributes:
        inputs: (B, T, F).
        labels: (B,).
        start: initial states (B, H).
        other_start: initial states of the Lyapunov vectors "released".
        warmup: number of warm-up steps of these.
    """

    inputs: Tensor
    labels: Tensor
    start: Tensor
    other_start: Tensor
    warmup: int


def _summary(network: Network, task: _Task, n_modes: int, groups: Mapping[str, NDArray[np.int_]]) -> xr.Dataset:
    """Return statistics of the alignments of one variant at one epoch; see `alignment_experiment`."""
    parts = []
    for start, vectors in _lyapunov_vectors(network, task):
        left, values, right = torch.linalg.svd(recurrent_gradients(network, task.inputs, task.labels, start)[0])
        for name, frames in vectors:
            part = _aligned(frames, left, values, right, n_modes, groups)
            parts.append(part.assign_coords(vectors=name))
    return xr.concat(parts, "vectors")


def _aligned(
    frames: Tensor, left: Tensor, values: Tensor, right: Tensor, n_modes: int, groups: Mapping[str, NDArray[np.int_]]
) -> xr.Dataset:
    """Return statistics of the alignments of Lyapunov vectors (B, T, H, H) with singular vectors of gradients."""
    resolved = above_rounding(values, left.shape[-1])
    modes = {"first": slice(None, n_modes), "last": slice(-n_modes, None)}
    aligned = [
        torch.stack([frames.mT @ singular[..., where] for where in modes.values()]) for singular in (left, right.mT)
    ]
    alignment = xr.DataArray(
        torch.stack(aligned).numpy(),
        dims=("side", "modes", "sequence", "time", "exponent", "mode"),
        coords={
            "side": ["left", "right"],
            "modes": list(modes),
            "time": np.arange(1, frames.shape[1] + 1),
            "exponent": np.arange(1, frames.shape[-1] + 1),
        },
    )
    shown = xr.DataArray(
        torch.stack([resolved[..., where] for where in modes.values()]).numpy(),
        dims=("modes", "sequence", "time", "mode"),
    )
    part = _statistics(alignment, shown, groups)
    part["gradient_rank"] = ("time", resolved.sum(-1).double().mean(0).numpy())
    return part


def above_rounding(singular_values: Tensor, size: int) -> Tensor:
    """Return which descending singular values (..., n) of a matrix with `size` rows are larger than rounding errors.

    The threshold is relative to the largest one, so that the unit of the matrix does not matter.
    """
    return singular_values > torch.finfo(singular_values.dtype).eps * size * singular_values[..., :1]


def _lyapunov_vectors(network: Network, task: _Task) -> Iterator[tuple[Tensor, list[tuple[str, Tensor]]]]:
    """Yield initial states of the gradient (B, H), with the vectors (B, T, H, H) of one network by kind."""

    def q(inputs: Tensor, start: Tensor, convention: str, warmup: int = 0) -> Tensor:
        return torch.from_numpy(q_vectors(network, inputs, start[None], convention, warmup)["q"].values[0])

    again = torch.cat([task.inputs[:, : task.warmup], task.inputs], dim=1)
    yield (
        task.start,
        [
            ("tangent", q(task.inputs, task.start, "tangent")),
            ("dissertation", q(task.inputs, task.start, "dissertation")),
            ("released", q(again, task.other_start, "dissertation", task.warmup)),
        ],
    )
    second_start, settled, covariant = settled_vectors(network, task.inputs, task.start)
    yield second_start, [("settled", settled), ("covariant", covariant)]


def _statistics(alignment: xr.DataArray, resolved: xr.DataArray, groups: Mapping[str, NDArray[np.int_]]) -> xr.Dataset:
    """Return standard deviations and densities of alignments (side, modes, sequence, time, exponent, mode)."""

    def std(values: xr.DataArray, dims: list[str]) -> xr.DataArray:
        return xr.apply_ufunc(np.sqrt, xr.apply_ufunc(np.square, values).mean(dims))

    over = ["sequence", "time", "exponent", "mode"]
    edges = np.linspace(-1, 1, N_BINS + 1)
    stds, stds_averaged, stds_resolved, densities = [], [], [], []
    for indices in groups.values():
        of_group = alignment.isel(exponent=indices)
        stds.append(std(of_group, over))
        stds_averaged.append(std(of_group, ["sequence", "exponent"]).mean(["time", "mode"]))
        stds_resolved.append(std(of_group.where(resolved), over))
        densities.append(
            xr.apply_ufunc(
                lambda values: np.histogram(np.clip([values, -values], -1, 1), edges, density=True)[0],
                of_group.stack(each=over),
                input_core_dims=[["each"]],
                output_core_dims=[["alignment"]],
                vectorize=True,
            )
        )
    group = xr.Variable("group", list(groups))
    return xr.Dataset(
        {
            "alignment_std": xr.concat(stds, group),
            "alignment_std_averaged": xr.concat(stds_averaged, group),
            "alignment_std_resolved": xr.concat(stds_resolved, group),
            "alignment_density": xr.concat(densities, group).assign_coords(alignment=(edges[1:] + edges[:-1]) / 2),
            "alignment_std_by_index": std(alignment, ["sequence", "mode"]),
        }
    )
