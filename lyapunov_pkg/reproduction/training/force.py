"""FORCE: a random rate network learns to generate a signal autonomously (chapter 3, target learning).

The network's own output drives it. Recursive least squares changes the output weights while the network runs. Each
thread trains one variant at a time in compiled kernels, with as many threads as PyTorch uses. The computation is in
float64. In float32 the inverse correlation matrix drifts, and the speed would be the same (docs/engine.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from lyapunov_pkg.cells import make_cell
from lyapunov_pkg.cells.base import Params
from lyapunov_pkg.cells.rank_one import RankOneRNN
from lyapunov_pkg.labels import Label
from lyapunov_pkg.linalg.least_squares import LeastSquares, least_squares
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.configuration.training import ForceSettings
from lyapunov_pkg.reproduction.tasks.target_learning import four_sines
from lyapunov_pkg.reproduction.training.rate_network import RateNetwork, connections, learn_target, run_freely
from lyapunov_pkg.reproduction.training.store import training_store
from lyapunov_pkg.reproduction.training.variants import Variant

ARCHITECTURE = "rank_one"
INITIAL_SCALE = 0.5  # standard deviation of state and output before the first step (Sussillo and Abbott's program)


def initial_params(variant: Variant) -> tuple[RankOneRNN, Params]:
    """Return the cell of a variant and its fixed weights.

    Raises:
        ValueError: the gain is out of range, or units have less than one connection on average.
    """
    cell = make_cell(ARCHITECTURE, 1, variant.hidden_size, **variant.hyperparameters)
    assert isinstance(cell, RankOneRNN)
    per_unit = cell.density * cell.hidden_size
    if per_unit < 1:
        raise ValueError(
            f"hidden_size {cell.hidden_size} with density {cell.density} is {per_unit:.2g} connections a unit; "
            "expected at least 1"
        )
    return cell, cell.draw_params(variant.init_param, variant.generator("initialisation"))


def initial_network(cell: RankOneRNN, params: Params, variant: Variant) -> tuple[RateNetwork, LeastSquares]:
    """Return a variant before training, and the learner of its output. They share w_o, which is zero, and r."""
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


def train_one(variant: Variant, settings: ForceSettings) -> dict[str, NDArray]:
    """Train one variant, and return its part of the training store, {name: ([epoch], ...)}."""
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

    The network starts from a random state, and its own output drives it. Every `update_every` steps, recursive least
    squares changes the output weights w_o to move the output closer to the target. Initially P is the identity times
    the learning rate. After each stored epoch, a copy of the network runs freely with the present w_o.

    Args:
        variants: the variants, all of one size. `init_param` is the gain g, `learning_rate` the factor of the initial P
            (dissertation: 1), and `hyperparameters` those of `lyapunov_pkg.cells.rank_one.RankOneRNN`.
        settings: settings of the training.

    Returns:
        The training store: train_loss, the mean absolute error during learning, over the epoch; validation_loss, that
        of the free run after the epoch; parameters, of which only "readout.weight" depends on the epoch; states along
        the free runs; the target; and the last pass of the free run after training. A diverged variant is included,
        with `diverged` set.

    Raises:
        ValueError: a gain is not above 0, there are fewer units than 1 / density, several sizes, or too few samples.
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
    """Return the training store from the results of `train_one` for each variant."""
    variables = {
        name: (("variant", *dims), np.stack([result[name] for result in results])) for name, dims in DIMENSIONS.items()
    }
    return training_store(variants, settings.stored_epochs, variables, DESCRIPTIONS)
