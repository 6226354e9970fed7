"""The network that FORCE trains, stepped with its loop closed: while its output learns a target, or freely.

One network is run at a time, in compiled kernels and in float64. In float32 the inverse correlation matrix drifts, and
nothing would be faster (docs/engine.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lyapunov_pkg.linalg.compilation import compiled
from lyapunov_pkg.linalg.least_squares import LeastSquares, learn

SIDE_BY_SIDE = 4  # connections that are added up beside one another, so that none waits for the one before


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
