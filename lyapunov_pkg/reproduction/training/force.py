"""FORCE: a random network of rates learns to generate a signal by itself (dissertation, chapter 3, target learning).

The network is driven by its own output, whose weights recursive least squares changes while it runs. Variants are
trained one by one in compiled kernels, as many at once as PyTorch has threads. All of it is in float64: in float32 the
inverse correlation matrix drifts, and nothing would be faster (docs/engine.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lyapunov_pkg.cells import Cell, make_cell
from lyapunov_pkg.cells.base import Params
from lyapunov_pkg.labels import Label
from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.least_squares import LeastSquares, learn, least_squares
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.training import ForceSettings
from lyapunov_pkg.reproduction.tasks.target_learning import four_sines
from lyapunov_pkg.reproduction.training.store import training_store
from lyapunov_pkg.reproduction.training.variants import Variant

ARCHITECTURE = "rank_one"
SIDE_BY_SIDE = 4  # connections that are added up beside one another, so that none waits for the one before
INITIAL_SCALE = 0.5  # standard deviation of state and output before the first step (Sussillo and Abbott's program)


class Connections(NamedTuple):
    """A sparse matrix by rows: row i has `weights` at the columns `sources`, from `starts[i]` to `starts[i + 1]`.

    Rows are filled up to a multiple of `SIDE_BY_SIDE` with weights of zero.
    """

    starts: NDArray
    sources: NDArray
    weights: NDArray


class RateNetwork(NamedTuple):
    """A network of the cell `rank_one` with its loop closed, as the kernels step it; all in float64.

    Attributes:
        connections: M.
        feedback: w_f, (H,).
        dt: time step.
        readout: w_o, (H,).
        x: state, (H,).
        rate: r = tanh(x), (H,).
        output: z = w_o·r, (1,).
    """

    connections: Connections
    feedback: NDArray
    dt: float
    readout: NDArray
    x: NDArray
    rate: NDArray
    output: NDArray

    def copy(self) -> RateNetwork:
        """Return the same network with a state of its own."""
        return self._replace(x=self.x.copy(), rate=self.rate.copy(), output=self.output.copy())


class FreeRun(NamedTuple):
    """What a network did by itself: its mean absolute error, its outputs (time,), and states (start, H) on the way."""

    error: float
    output: NDArray
    start_state: NDArray


def connections(matrix: ArrayLike) -> Connections:
    """Return the entries of a square matrix that are not zero."""
    matrix = np.asarray(matrix, np.float64)
    rows, columns = np.nonzero(matrix)
    counts = np.bincount(rows, minlength=len(matrix))
    starts = np.concatenate([[0], np.cumsum(-(-counts // SIDE_BY_SIDE) * SIDE_BY_SIDE)])
    places = starts[rows] + np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    # Unsigned, or the kernel would look at each for whether it counts from the end: twice the time.
    sources, weights = np.zeros(starts[-1], np.uint32), np.zeros(starts[-1])
    sources[places], weights[places] = columns, matrix[rows, columns]
    return Connections(starts.astype(np.uint64), sources, weights)


@compiled
def _step(network):
    """Take a step of `lyapunov_pkg.cells.rank_one.RankOneRNN` whose input is the network's own output."""
    starts, sources, weights = network.connections
    x, rate, z = network.x, network.rate, network.output[0]
    for i in range(len(x)):
        sum_0 = sum_1 = sum_2 = sum_3 = 0.0
        for n in range(starts[i], starts[i + 1], SIDE_BY_SIDE):
            sum_0 += weights[n] * rate[sources[n]]
            sum_1 += weights[n + 1] * rate[sources[n + 1]]
            sum_2 += weights[n + 2] * rate[sources[n + 2]]
            sum_3 += weights[n + 3] * rate[sources[n + 3]]
        drive = (sum_0 + sum_1) + (sum_2 + sum_3) + network.feedback[i] * z
        x[i] = (1 - network.dt) * x[i] + network.dt * drive
    z = 0.0
    for i in range(len(x)):
        rate[i] = np.tanh(x[i])
        z += network.readout[i] * rate[i]
    network.output[0] = z


@compiled
def _learn(network, learner, target, update_every, output):
    """Run through the target once while the output learns it; put down the outputs before each update."""
    for t in range(len(target)):
        _step(network)
        output[t] = network.output[0]
        if (t + 1) % update_every == 0:
            learn(learner, output[t] - target[t])


@compiled
def _run(network, output):
    """Run freely for as many steps as there is room for their outputs."""
    for t in range(len(output)):
        _step(network)
        output[t] = network.output[0]


def initial_params(variant: Variant) -> tuple[Cell, Params]:
    """Return the cell of a variant and its fixed weights.

    Raises:
        ValueError: the gain is out of range, or units have less than one connection each.
    """
    cell = make_cell(ARCHITECTURE, 1, variant.hidden_size, **variant.hyperparameters)
    per_unit = cell.density * cell.hidden_size
    if per_unit < 1:
        raise ValueError(
            f"hidden_size {cell.hidden_size} with density {cell.density} is {per_unit:.2g} connections a unit; "
            "expected at least 1"
        )
    return cell, cell.draw_params(variant.init_param, variant.generator("initialisation"))


def initial_network(cell: Cell, params: Params, variant: Variant) -> tuple[RateNetwork, LeastSquares]:
    """Return a variant before training, and what learns its output; they share w_o, which is zero, and r."""
    size = cell.hidden_size
    learner = least_squares(size, np.dtype(np.float64), variant.learning_rate)
    state = INITIAL_SCALE * torch.randn(size + 1, generator=variant.generator("state")).double().numpy()
    network = RateNetwork(
        connections(params["recurrent_weight"]),
        params["input_weight"][:, 0].double().numpy(),
        cell.dt,
        readout=learner.weights[:size],
        x=state[:size],
        rate=learner.regressor[:size],
        output=state[size:],
    )
    network.rate[:] = np.tanh(network.x)
    return network, learner


def learn_target(network: RateNetwork, learner: LeastSquares, target: NDArray, update_every: int) -> NDArray:
    """Run a network through its target once while its output learns it, both changed in place.

    Args:
        network: what runs.
        learner: what changes `network.readout`; see `initial_network`.
        target: (time,).
        update_every: steps from one update to the next.

    Returns:
        The outputs (time,), each before the update that follows it.
    """
    output = np.empty(len(target))
    _learn(network, learner, target, update_every, output)
    return output


def run_freely(network: RateNetwork, target: NDArray, n_passes: int, start_times: Sequence[int] = ()) -> FreeRun:
    """Run a network by itself, beside the target repeated, and leave it as it is.

    Args:
        network: where it starts.
        target: one period, (time,).
        n_passes: how many periods.
        start_times: steps after which the state is kept, in order.
    """
    running, output = network.copy(), np.empty(n_passes * len(target))
    states = np.empty((len(start_times), len(network.x)))
    for n, (begin, end) in enumerate(pairwise([0, *start_times, len(output)])):
        _run(running, output[begin:end])
        if n < len(states):
            states[n] = running.x
    return FreeRun(float(np.abs(output - np.tile(target, n_passes)).mean()), output, states)


def train_one(variant: Variant, settings: ForceSettings) -> dict[str, NDArray]:
    """Train one variant; return its share of the training store, arrays ([epoch], ...) by name."""
    cell, params = initial_params(variant)
    network, learner = initial_network(cell, params, variant)
    target = four_sines(settings.n_samples, variant.generator("target")).numpy()
    train_losses, runs, readouts = [np.nan], [], []
    for epoch in range(settings.epochs + 1):
        if epoch > 0:
            output = learn_target(network, learner, target, settings.update_every)
            train_losses.append(np.abs(output - target).mean())
        if epoch in settings.stored_epochs:
            n_steps, generator = settings.free_epochs * settings.n_samples, variant.generator("starts", epoch)
            start_times = torch.randint(n_steps, (settings.n_starts,), generator=generator).sort().values.tolist()
            runs.append(run_freely(network, target, settings.free_epochs, start_times))
            readouts.append(network.readout.copy())
    return {
        "train_loss": np.array(train_losses)[settings.stored_epochs],
        "validation_loss": np.array([run.error for run in runs]),
        "layer_0.input_weight": params["input_weight"].numpy(),
        "layer_0.recurrent_weight": params["recurrent_weight"].numpy(),
        "readout.weight": np.stack(readouts)[:, None],
        "start_state": np.stack([run.start_state for run in runs]).astype(np.float32),
        "target": target.astype(np.float32),
        "free_output": runs[-1].output[-settings.n_samples :].astype(np.float32),
    }


def train_force(variants: Sequence[Variant], settings: ForceSettings) -> xr.Dataset:
    """Train networks of the cell `rank_one` by FORCE, each on its own target (Sussillo and Abbott 2009).

    From a random state the network runs on its own output; every `update_every` steps recursive least squares changes
    the weights w_o of the output such that it would have come closer to the target, P being the identity times the
    learning rate at first. After an epoch that is kept, a copy of the network runs on freely with w_o as it is then.

    Args:
        variants: who is trained, all of one size: `init_param` is the gain g, `learning_rate` what P begins with (the
            dissertation: 1), and `hyperparameters` those of `lyapunov_pkg.cells.rank_one.RankOneRNN`.
        settings: how long, and what is kept.

    Returns:
        The training store: train_loss, the mean absolute error while learning, over the epoch; validation_loss, that
        of the free run after it; parameters, of which only "readout.weight" changes with the epoch; states along the
        free runs; the target, and the last pass of the free run after training. A variant that diverges is kept, with
        `diverged` set.

    Raises:
        ValueError: a gain that is not above 0, fewer units than 1 / density, several sizes, or too few samples.
    """
    sizes = {variant.hidden_size for variant in variants}
    if len(sizes) != 1:
        raise ValueError(f"variants to store together have hidden sizes {sorted(sizes)}; expected one")
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        training = [pool.submit(train_one, variant, settings) for variant in variants]
        results = [trained.result() for trained in progress(training, f"{ARCHITECTURE}, networks")]
    return training_dataset(variants, results, settings)


DIMENSIONS = {
    "train_loss": ("epoch",),
    "validation_loss": ("epoch",),
    "layer_0.input_weight": ("unit", "output"),
    "layer_0.recurrent_weight": ("unit", "source"),
    "readout.weight": ("epoch", "output", "unit"),
    "start_state": ("epoch", "start", "unit"),
    "target": ("time",),
    "free_output": ("time",),
}
DESCRIPTIONS = {
    "epoch": Label("epoch", "passes over the target in training; 0 is before training"),
    "train_loss": Label("1", "mean absolute error while learning, over the epoch; NaN before training"),
    "validation_loss": Label("1", "mean absolute error of the free run after the epoch"),
    "layer_0.input_weight": Label("1", "weights w_f of the fed-back output"),
    "layer_0.recurrent_weight": Label("1", "fixed random connections M"),
    "readout.weight": Label("1", "weights w_o of the output after the epoch"),
    "start_state": Label("1", "states x at random times of the free run after the epoch"),
    "target": Label("1", "target signal, one period"),
    "free_output": Label("1", "output over the last period of the free run after training"),
}


def training_dataset(
    variants: Sequence[Variant], results: Sequence[dict[str, NDArray]], settings: ForceSettings
) -> xr.Dataset:
    """Assemble the training store from what `train_one` returned for each variant."""
    variables = {
        name: (("variant", *dims), np.stack([result[name] for result in results])) for name, dims in DIMENSIONS.items()
    }
    return training_store(variants, settings.stored_epochs, variables, DESCRIPTIONS)
