"""Training throughput of this package's stacks of variants, compared with training one network after another.

    python benchmarks/training.py                 one thread, both sizes, all eight architectures
    python benchmarks/training.py --threads 2 --sizes smnist --architectures lstm lem
    python benchmarks/training.py --sizes smnist --architectures cornn --init-param 5 5    vanishing gradients

The benchmark needs only the package. The peers train the same networks one after another:

- rnn, lstm, gru: `torch.nn.RNN`, `LSTM`, `GRU` with `torch.nn.Linear` and Adam in a plain loop over batches;
- the five others, which PyTorch does not have: a module of PyTorch operations in a Python loop over time steps, with
  gradients by autograd. Terms that do not depend on the step are computed once per sequence.

First, both programs train one epoch from the same weights on the same batches and noise, and their losses must agree.
Weights are small, so that rounding errors stay small. Then the programs alternate, so that other work on the machine
slows both.

The table gives the time of an epoch of eight batches of 128 for all networks, and the ratio of the two times. Data are
uniform random numbers. The speed depends on p: see `--init-param`. `record.py` describes the record.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cases
import record as records
import tables
import torch
from cases import Case, Contest
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lyapunov_pkg.cells import Cell
from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.tasks.supervised import Part, Task
from lyapunov_pkg.reproduction.training.bptt import (
    VARIANTS_TOGETHER,
    TrainingSettings,
    initialise_network,
    sample_order,
    train_epoch,
)
from lyapunov_pkg.reproduction.training.optimizers import Adam
from lyapunov_pkg.reproduction.training.variants import Variant, design_variants

SIZES = {"smnist": (28, 28, 64), "digits": (8, 8, 32)}  # The numbers are steps, features and hidden units.
BATCH_SIZE = 128
N_BATCHES = 8  # This is the number of batches in one round.
LEARNING_RATE = 0.01
N_CLASSES = 10
SMALL = (0.05, 0.2)  # In this range of p, rounding errors stay small.


class TorchModule(nn.Module):
    """A torch.nn.RNN, LSTM or GRU that returns the last hidden units."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        module = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell.name]
        self.layer = module(cell.input_size, cell.hidden_size, bias=False, batch_first=True)
        self.input_weight, self.recurrent_weight = self.layer.weight_ih_l0, self.layer.weight_hh_l0

    def forward(self, x: Tensor, noise: None = None) -> Tensor:
        return self.layer(x)[0][:, -1]


class EagerLoop(nn.Module):
    """A cell that PyTorch does not have, in a Python loop over steps; returns the last hidden units."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        for name, shape in cell.parameter_shapes().items():
            setattr(self, name, nn.Parameter(torch.empty(shape)))

    def initial_state(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.new_zeros(len(x), self.cell.hidden_size),) * self.cell.n_states

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        matrices, state = self.matrices(), self.initial_state(x)
        for t in range(x.shape[1]):
            state = self.step(matrices, state, x[:, t] @ self.input_weight.T, None if noise is None else noise[:, t])
        return state[0]


class ASRNN(EagerLoop):
    def matrices(self) -> Tensor:
        return self.recurrent_weight - self.recurrent_weight.T - self.cell.gamma * torch.eye(self.cell.hidden_size)

    def step(self, a: Tensor, state: tuple[Tensor], drive: Tensor, noise: None) -> tuple[Tensor]:
        (h,) = state
        return (h + self.cell.eps * torch.tanh(h @ a.T + drive),)


class CoRNN(EagerLoop):
    def matrices(self) -> Tensor:
        return self.recurrent_weight

    def step(self, w: Tensor, state: tuple[Tensor, Tensor], drive: Tensor, noise: None) -> tuple[Tensor, Tensor]:
        y, z = state
        force = torch.tanh(torch.cat([y, z], dim=1) @ w.T + drive)
        z = z + self.cell.dt * (force - self.cell.gamma * y - self.cell.epsilon * z)
        return y + self.cell.dt * z, z


class Lipschitz(EagerLoop):
    def matrices(self) -> tuple[Tensor, Tensor]:
        cell, identity = self.cell, torch.eye(self.cell.hidden_size)

        def skewed(m: Tensor, beta: float, gamma: float) -> Tensor:
            return (1 - beta) * (m + m.T) + beta * (m - m.T) - gamma * identity

        m_a, m_w = self.recurrent_weight.chunk(2)
        return skewed(m_a, cell.beta_A, cell.gamma_A), skewed(m_w, cell.beta_W, cell.gamma_W)

    def rate(self, matrices: tuple[Tensor, Tensor], h: Tensor, drive: Tensor) -> Tensor:
        a, w = matrices
        return self.cell.alpha * (h @ a.T) + torch.tanh(h @ w.T + drive)

    def step(self, matrices: tuple[Tensor, Tensor], state: tuple[Tensor], drive: Tensor, noise: None) -> tuple[Tensor]:
        (h,) = state
        return (h + self.cell.dt * self.rate(matrices, h, drive),)


class Noisy(Lipschitz):
    def step(
        self, matrices: tuple[Tensor, Tensor], state: tuple[Tensor], drive: Tensor, noise: Tensor | None
    ) -> tuple[Tensor]:
        (h,) = state
        eta, xi = (torch.randn_like(h), torch.randn_like(h)) if noise is None else noise.unbind(1)
        factor = self.cell.multiplicative_noise * eta + (1 - self.cell.multiplicative_noise)
        return (h + self.cell.dt * factor * self.rate(matrices, h, drive) + self.cell.additive_noise * xi,)


class LEM(EagerLoop):
    def matrices(self) -> tuple[Tensor, Tensor]:
        return self.recurrent_weight.split([3 * self.cell.hidden_size, self.cell.hidden_size])

    def step(
        self, matrices: tuple[Tensor, Tensor], state: tuple[Tensor, Tensor], drive: Tensor, noise: None
    ) -> tuple[Tensor, Tensor]:
        on_y, on_z = matrices
        y, z = state
        x_1, x_2, x_z, x_y = drive.chunk(4, dim=1)
        y_1, y_2, y_z = (y @ on_y.T).chunk(3, dim=1)
        step_z, step_y = self.cell.dt * torch.sigmoid(x_1 + y_1), self.cell.dt * torch.sigmoid(x_2 + y_2)
        z = (1 - step_z) * z + step_z * torch.tanh(x_z + y_z)
        y = (1 - step_y) * y + step_y * torch.tanh(x_y + z @ on_z.T)
        return y, z


PEERS: dict[str, type[nn.Module]] = {"rnn": TorchModule, "lstm": TorchModule, "gru": TorchModule}
PEERS |= {"asrnn": ASRNN, "cornn": CoRNN, "lipschitz": Lipschitz, "noisy": Noisy, "lem": LEM}


class Peer:
    """One network and its optimiser, with the weights of one variant."""

    def __init__(self, network: Network, variant: int) -> None:
        self.recurrent = PEERS[network.cells[0].name](network.cells[0])
        self.readout = nn.Linear(network.hidden_size, network.output_size)
        with torch.no_grad():
            for name, value in network.layer_params(0).items():
                getattr(self.recurrent, name).copy_(value[variant])
            self.readout.weight.copy_(network.params["readout.weight"][variant])
            self.readout.bias.copy_(network.params["readout.bias"][variant])
        parameters = [*self.recurrent.parameters(), *self.readout.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)

    def train_epoch(self, task: Task, order: Tensor, noise: Callable[[int], Tensor | None] | None = None) -> float:
        """Train on each sample once and return the mean loss (nats)."""
        losses = []
        for batch in order.split(BATCH_SIZE):
            self.optimizer.zero_grad()
            hidden = self.recurrent(task.train.inputs[batch], noise and noise(len(batch)))
            loss = cross_entropy(self.readout(hidden), task.train.targets[batch])
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return statistics.fmean(losses)


class Bench:
    """The same variants for both programs, each in its usual fast form."""

    def __init__(self, architecture: str, size: str, width: int, init_param: Sequence[float]) -> None:
        n_steps, n_features, hidden_size = SIZES[size]
        generator = torch.Generator().manual_seed(0)
        inputs = torch.rand(N_BATCHES * BATCH_SIZE, n_steps, n_features, generator=generator)
        labels = torch.randint(0, N_CLASSES, (len(inputs),), generator=generator)
        part = Part(inputs, labels)
        self.task = Task(part, part, n_features, N_CLASSES, last_only=True)
        self.samples = torch.arange(len(inputs))
        settings = {"architecture": architecture, "hidden_size": hidden_size, "learning_rate": LEARNING_RATE}
        settings["init_param"] = {"uniform": list(init_param)}
        self.variants: Sequence[Variant] = design_variants("benchmark", architecture, settings, range(width), seed=0)
        self.settings = TrainingSettings(epochs=1, batch_size=BATCH_SIZE, loss_on="last", optimizer="adam")
        network = initialise_network(self.variants, self.task)
        self.peers = [Peer(network, variant) for variant in range(width)]
        params = {name: value.requires_grad_() for name, value in network.params.items()}
        self.network = network.with_params(params)
        self.optimizer = Adam(params, [LEARNING_RATE] * width)

    def ours(self, epoch: int) -> Tensor:
        """Train the stack for one epoch and return the loss of each variant."""
        return train_epoch(self.network, self.optimizer, self.variants, self.task, self.samples, self.settings, epoch)

    def theirs(self, epoch: int) -> None:
        """Train one network after another for one epoch."""
        orders = sample_order(self.variants, epoch, self.samples)
        for peer, order in zip(self.peers, orders, strict=True):
            peer.train_epoch(self.task, order)

    def check(self) -> float:
        """Train both programs for one epoch on the same batches with the same noise.

        Returns the largest relative difference of a loss.
        """
        orders = sample_order(self.variants, 0, self.samples)
        expected = []
        for index, variant in enumerate(self.variants):
            generator = variant.generator("noise", 0)
            own = self.network.select([index])

            def noise(n: int, own: Network = own, generator: torch.Generator = generator) -> Tensor | None:
                draws = own.draw_noise(n, self.task.train.inputs.shape[1], [generator])
                return None if draws is None else draws[0].detach()

            expected.append(self.peers[index].train_epoch(self.task, orders[index], noise))
        losses = torch.tensor(expected, dtype=torch.float64)
        return ((self.ours(0) - losses) / losses).abs().max().item()


def case(architecture: str, size: str, width: int, rounds: int, init_param: Sequence[float] = SMALL) -> Case:
    """Return the case of an architecture, a size and a range of p."""
    n_steps, n_features, hidden_size = SIZES[size]
    shapes: dict[str, int | str] = {"networks": width, "steps": n_steps, "features": n_features, "units": hidden_size}
    peer = "torch.nn" if PEERS[architecture] is TorchModule else "eager loop"

    def build(peers: Mapping[str, object]) -> Contest:
        bench, epoch = Bench(architecture, size, width, init_param), itertools.count(1)
        difference = bench.check()
        calls = {records.OURS: lambda: bench.ours(next(epoch)), "peer": lambda: bench.theirs(next(epoch))}
        facts = {"peer is": peer}
        return Contest(calls, lambda results: {records.OURS: {"loss": difference}}, {"loss": 2e-3}, lambda _: facts)

    label = f"{architecture} {width} × {hidden_size}, {n_steps} steps of {n_features}"
    return Case(f"{size}-{architecture}", "training", label, shapes, "float32", rounds, build)


def main() -> int:
    """Parse the command line, run the cases, print their table and write the record; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of PyTorch (default 1, like jobs of the workflow)"
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--architectures", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--width", type=int, default=VARIANTS_TOGETHER["cpu"], help="variants in a stack")
    parser.add_argument("--init-param", type=float, nargs=2, default=SMALL, metavar=("LOW", "HIGH"), help="range of p")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("training.json"), help="default: training.json here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record = records.new("training", arguments.threads, ("lyapunov-pkg", "torch", "numba", "numpy"))
    selected = [
        case(architecture, size, arguments.width, arguments.rounds, arguments.init_param)
        for size in arguments.sizes
        for architecture in arguments.architectures
    ]
    failures = cases.run_all(selected, {}, record, arguments.output)
    return tables.conclude(record, failures, arguments.output)


if __name__ == "__main__":
    sys.exit(main())
