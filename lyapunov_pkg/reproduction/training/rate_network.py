"""The rate network of FORCE with a closed loop, during learning of a target or in a free run.

One network runs at a time, in compiled kernels and in float64. In float32 the inverse correlation matrix drifts, and
the speed would be the same (docs/engine.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.least_squares import LeastSquares, learn

SIDE_BY_SIDE = 4  # independent partial sums of connections, so that no addition waits for the previous one


class Connections(NamedTuple):
    """A sparse matrix by rows. Row i has `weights` at the columns `sources`, from `starts[i]` to `starts[i + 1]`.

    Rows are padded to a multiple of `SIDE_BY_SIDE` with weights of zero.
    """

    starts: NDArray
    sources: NDArray
    weights: NDArray


class RateNetwork(NamedTuple):
    """A network of the cell `rank_one` with a closed loop, for the kernels, in float64.

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
        """Return the same network with a copy of its state."""
        return self._replace(x=self.x.copy(), rate=self.rate.copy(), output=self.output.copy())


class FreeRun(NamedTuple):
    """The result of a free run: mean absolute error, outputs (time,), and stored states (start, H)."""

    error: float
    output: NDArray
    start_state: NDArray


def connections(matrix: ArrayLike) -> Connections:
    """Return the nonzero entries of a square matrix."""
    matrix = np.asarray(matrix, np.float64)
    rows, columns = np.nonzero(matrix)
    counts = np.bincount(rows, minlength=len(matrix))
    starts = np.concatenate([[0], np.cumsum(-(-counts // SIDE_BY_SIDE) * SIDE_BY_SIDE)])
    places = starts[rows] + np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    # Unsigned, because the kernel would otherwise check each index for a negative sign, which doubles the time.
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
    """Run through the target once while the output learns it, and write the outputs before each update."""
    for t in range(len(target)):
        _step(network)
        output[t] = network.output[0]
        if (t + 1) % update_every == 0:
            learn(learner, output[t] - target[t])


@compiled
def _run(network, output):
    """Run freely for as many steps as `output` has entries."""
    for t in range(len(output)):
        _step(network)
        output[t] = network.output[0]


def learn_target(network: RateNetwork, learner: LeastSquares, target: NDArray, update_every: int) -> NDArray:
    """Run a network through its target once while its output learns. Network and learner change in place.

    Args:
        network: the network.
        learner: the learner, which changes `network.readout`; see `initial_network`.
        target: (time,).
        update_every: number of steps between updates.

    Returns:
        The outputs (time,), each before the following update.
    """
    output = np.empty(len(target))
    _learn(network, learner, target, update_every, output)
    return output


def run_freely(network: RateNetwork, target: NDArray, n_passes: int, start_times: Sequence[int] = ()) -> FreeRun:
    """Return the free run of a copy of a network, compared with the repeated target.

    Args:
        network: the network with its initial state.
        target: one period, (time,).
        n_passes: number of periods.
        start_times: numbers of steps after which the state is stored, in order.
    """
    running, output = network.copy(), np.empty(n_passes * len(target))
    states = np.empty((len(start_times), len(network.x)))
    for n, (begin, end) in enumerate(pairwise([0, *start_times, len(output)])):
        _run(running, output[begin:end])
        if n < len(states):
            states[n] = running.x
    return FreeRun(float(np.abs(output - np.tile(target, n_passes)).mean()), output, states)
