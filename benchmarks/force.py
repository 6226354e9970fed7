"""FORCE training: this package's kernels compared with a plain NumPy program, and single with double precision.

    python benchmarks/force.py                 speed and agreement: networks of 512 units, 15 epochs, two cores
    python benchmarks/force.py --drift         difference of recursive least squares in float32 and in float64

The reference is the program of Sussillo and Abbott (2009, `force_external_feedback_loop.m`) in NumPy and float64. M is
sparse and P is dense. Each update has a product with P and an outer product. The reference gets the same connections,
targets and initial states.

A network can be chaotic while it learns, and then rounding errors grow. Agreement is therefore measured for the outputs
of the first epoch, and for the output weights after all epochs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import measure
import tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lyapunov_pkg.reproduction.training.rate_network import RateNetwork

GAINS = (1.1, 1.4, 1.7, 2.0)


class Reference:
    """A network trained by FORCE, step by step in NumPy."""

    def __init__(self, network: RateNetwork, learning_rate: float) -> None:
        """Start from the state of `network`."""
        import numpy as np
        from scipy.sparse import csr_array

        size, m = len(network.x), network.connections
        self.m = csr_array((m.weights, m.sources.astype(int), m.starts.astype(int)), shape=(size, size))
        self.feedback, self.dt = network.feedback, network.dt
        self.x, self.rate, self.output = network.x.copy(), network.rate.copy(), float(network.output[0])
        self.readout, self.p = np.zeros(size), learning_rate * np.eye(size)

    def step(self) -> float:
        """Take one step and return the output."""
        import numpy as np

        self.x = (1 - self.dt) * self.x + self.dt * (self.m @ self.rate + self.feedback * self.output)
        self.rate = np.tanh(self.x)
        self.output = float(self.readout @ self.rate)
        return self.output

    def learn(self, error: float) -> None:
        """Update the output weights after an output that was too large by `error`."""
        import numpy as np

        k = self.p @ self.rate
        c = 1 / (1 + self.rate @ k)
        self.p -= np.outer(c * k, k)
        self.readout -= c * error * k

    def learn_target(self, target: NDArray, update_every: int) -> list[float]:
        """Train on one pass through the target and return the outputs before each update."""
        outputs = []
        for t, wanted in enumerate(target):
            outputs.append(self.step())
            if (t + 1) % update_every == 0:
                self.learn(outputs[-1] - wanted)
        return outputs


def variants(n_units: int, gains: tuple[float, ...], per_gain: int) -> list:
    """Return variants of a design: `per_gain` for each gain, each with a seed of its own."""
    from lyapunov_pkg.reproduction.training.variants import Variant

    return [
        Variant(
            index=n, architecture="rank_one", hidden_size=n_units, init_param=gain, learning_rate=1.0, seed=1000 + n
        )
        for n, gain in enumerate(gain for gain in gains for _ in range(per_gain))
    ]


def agreement(variant, epochs: int, n_samples: int, update_every: int = 2) -> dict[str, float]:
    """Train a variant with both programs; return the largest differences, and the seconds of each program."""
    import numpy as np

    from lyapunov_pkg.reproduction.tasks.target_learning import four_sines
    from lyapunov_pkg.reproduction.training.force import initial_network, initial_params
    from lyapunov_pkg.reproduction.training.rate_network import learn_target

    network, learner = initial_network(*initial_params(variant), variant)
    reference = Reference(network, variant.learning_rate)
    target = four_sines(n_samples, variant.generator("target")).numpy()
    seconds = {"ours": 0.0, "reference": 0.0}
    first_epoch = 0.0
    for epoch in range(epochs):
        start = time.perf_counter()
        output = learn_target(network, learner, target, update_every)
        middle = time.perf_counter()
        expected = reference.learn_target(target, update_every)
        seconds["ours"] += middle - start
        seconds["reference"] += time.perf_counter() - middle
        if epoch == 0:
            first_epoch = float(np.abs(output - expected).max())
    return seconds | {
        "outputs": first_epoch,
        "weights": float(np.abs(network.readout - reference.readout).max() / np.abs(reference.readout).max()),
        "training error": float(np.abs(output - target).mean()),
    }


def drift(variant, epochs: int, n_samples: int, update_every: int = 2) -> tuple[list[float], float, float]:
    """Train a learner in float32 on the path of a network in float64.

    Returns:
        The largest difference of the float32 weights after each epoch, relative to the largest weight. The errors of
        free runs over as many epochs, with the weights in float64 and in float32.
    """
    import numpy as np

    from lyapunov_pkg.linalg.least_squares import learn, least_squares
    from lyapunov_pkg.reproduction.tasks.target_learning import four_sines
    from lyapunov_pkg.reproduction.training.force import initial_network, initial_params
    from lyapunov_pkg.reproduction.training.rate_network import learn_target, run_freely

    network, learner = initial_network(*initial_params(variant), variant)
    single = least_squares(len(network.x), np.dtype(np.float32), variant.learning_rate)
    size, differences = len(network.x), []
    target = four_sines(n_samples, variant.generator("target")).numpy()
    for _ in range(epochs):
        for t in range(0, n_samples, update_every):
            learn_target(network, learner, target[t : t + update_every], update_every)
            single.regressor[:size] = network.rate
            learn(single, np.float32(single.weights[:size] @ single.regressor[:size] - target[t + update_every - 1]))
        double = network.readout
        differences.append(float(np.abs(single.weights[:size] - double).max() / np.abs(double).max()))
    free = [
        run_freely(network._replace(readout=weights), target, epochs).error
        for weights in (network.readout, single.weights[:size].astype(np.float64))
    ]
    return differences, *free


def report_speed(n_units: int, epochs: int, n_samples: int, per_gain: int, n_cores: int) -> None:
    """Print agreement and time for each network, and the time for all networks on several cores."""
    from lyapunov_pkg.reproduction.training.force import ForceSettings, train_one

    design = variants(n_units, GAINS, per_gain)
    agreement(design[0], 1, n_samples)  # The first call compiles.
    rows, ratios = [], []
    for variant in design:
        found = agreement(variant, epochs, n_samples)
        ratios.append(found["reference"] / found["ours"])
        numbers = [f"{found[name]:.1e}" for name in ("outputs", "weights", "training error")]
        rows.append([f"{variant.init_param}", *numbers, f"{found['ours']:.2f}", f"{found['reference']:.1f}"])
    header = ["g", "outputs, first epoch", "weights, end", "training error, end", "ours [s]", "NumPy [s]"]
    print(tables.table(header, rows))
    print(f"\nNumPy / ours: median {statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f})\n")
    settings = ForceSettings(
        epochs=epochs, n_samples=n_samples, update_every=2, free_epochs=epochs, kept_epochs=(), n_starts=10
    )
    start, before = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(n_cores) as pool:
        list(pool.map(lambda variant: train_one(variant, settings), design))
    wall, busy = time.perf_counter() - start, time.process_time() - before
    print(
        f"{len(design)} networks of {n_units} units trained for {epochs} epochs and run freely for {epochs}, on "
        f"{n_cores} cores: {wall / len(design):.2f} s per network, {busy / len(design):.2f} CPU seconds per network"
    )


def report_drift(n_units: int, epochs: int, n_samples: int, per_gain: int) -> None:
    """Print how far a float32 learner deviates from a float64 learner on the same path."""
    rows = []
    for variant in variants(n_units, GAINS, per_gain):
        differences, double, single = drift(variant, epochs, n_samples)
        shown = [f"{differences[epoch]:.1e}" for epoch in (0, epochs // 3, epochs - 1)]
        rows.append([f"{variant.init_param}", *shown, f"{double:.3f}", f"{single:.3f}"])
    header = ["g", *(f"weights, epoch {epoch + 1}" for epoch in (0, epochs // 3, epochs - 1))]
    print(tables.table([*header, "free run, float64", "free run, float32 weights"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drift", action="store_true", help="compare float32 with float64 instead of NumPy")
    parser.add_argument("--threads", type=int, default=2, help="cores (default 2)")
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--samples", type=int, default=1200, help="steps per epoch (default 1200)")
    parser.add_argument("--networks", type=int, default=2, help="networks of each gain")
    arguments = parser.parse_args()
    measure.use_cores(arguments.threads)
    print(measure.machine(arguments.threads), measure.versions(["numpy", "scipy", "numba"]), "\n")
    sizes = (arguments.units, arguments.epochs, arguments.samples, arguments.networks)
    if arguments.drift:
        report_drift(*sizes)
    else:
        report_speed(*sizes, arguments.threads)


if __name__ == "__main__":
    sys.exit(main())
