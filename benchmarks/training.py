"""Training throughput: this package's stacks of variants against one network after another.

    python benchmarks/training.py                 one thread, both sizes, all eight architectures
    python benchmarks/training.py --threads 2 --sizes smnist --architectures lstm lem

Needs the package alone. The peers train the same networks, one after another:

- rnn, lstm, gru: `torch.nn.RNN`, `LSTM`, `GRU` with `torch.nn.Linear` and Adam, a plain loop over batches;
- the five others, which PyTorch does not have: the cell written as a module of PyTorch operations, a loop over time
  steps, gradients by autograd (an eager loop). What does not depend on the step is computed once per sequence.

First both sides train one epoch from the same weights (small ones, that rounding stays small) on the same batches and
noise, and
their losses have to agree. Then they take turns, so that whatever else the machine does meets both. The table gives
networks per second through one batch of 128 and the median, over the rounds, of the ratio of the two. Data are uniform
random numbers: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lyapunov_pkg.cells import CELLS, Cell
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

SIZES = {"smnist": (28, 28, 64), "digits": (8, 8, 32)}  # steps, features, hidden units
BATCH_SIZE = 128
N_BATCHES = 8  # of one round
LEARNING_RATE = 0.01
N_CLASSES = 10


class TorchModule(nn.Module):
    """torch.nn.RNN, LSTM or GRU; returns the last hidden units."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        module = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell.name]
        self.layer = module(cell.input_size, cell.hidden_size, bias=False, batch_first=True)
        self.input_weight, self.recurrent_weight = self.layer.weight_ih_l0, self.layer.weight_hh_l0

    def forward(self, x: Tensor, noise: None = None) -> Tensor:
        return self.layer(x)[0][:, -1]


class EagerLoop(nn.Module):
    """A cell that PyTorch does not have, stepped in Python; returns the last hidden units."""

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
    """One network and its optimizer, with the weights of one variant."""

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
        """Train on each sample once; return the mean loss (nats)."""
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
    """The same variants on both sides, each side as fast as it is normally run."""

    def __init__(self, architecture: str, size: str, width: int) -> None:
        n_steps, n_features, hidden_size = SIZES[size]
        generator = torch.Generator().manual_seed(0)
        inputs = torch.rand(N_BATCHES * BATCH_SIZE, n_steps, n_features, generator=generator)
        labels = torch.randint(0, N_CLASSES, (len(inputs),), generator=generator)
        part = Part(inputs, labels)
        self.task = Task(part, part, n_features, N_CLASSES, last_only=True)
        self.samples = torch.arange(len(inputs))
        settings = {"architecture": architecture, "hidden_size": hidden_size, "learning_rate": LEARNING_RATE}
        settings["init_param"] = {"uniform": [0.05, 0.2]}
        self.variants: Sequence[Variant] = design_variants("benchmark", architecture, settings, range(width), seed=0)
        self.settings = TrainingSettings(epochs=1, batch_size=BATCH_SIZE, loss_on="last", optimizer="adam")
        network = initialise_network(self.variants, self.task)
        self.peers = [Peer(network, variant) for variant in range(width)]
        params = {name: value.requires_grad_() for name, value in network.params.items()}
        self.network = network.with_params(params)
        self.optimizer = Adam(params, [LEARNING_RATE] * width)

    def ours(self, epoch: int) -> Tensor:
        """Train the stack for one epoch; return the loss of each variant."""
        return train_epoch(self.network, self.optimizer, self.variants, self.task, self.samples, self.settings, epoch)

    def theirs(self, epoch: int) -> None:
        """Train one network after another for one epoch."""
        orders = sample_order(self.variants, epoch, self.samples)
        for peer, order in zip(self.peers, orders, strict=True):
            peer.train_epoch(self.task, order)

    def check(self) -> None:
        """Train both for one epoch on the same batches with the same noise.

        Raises:
            AssertionError: their losses differ by more than rounding.
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
        torch.testing.assert_close(self.ours(0).float(), torch.tensor(expected), rtol=1e-3, atol=1e-3)


def measure(bench: Bench, rounds: int) -> tuple[float, float, float]:
    """Return seconds per network and batch of both sides (medians), and the median ratio theirs / ours."""
    times: list[tuple[float, float]] = []
    for epoch in range(1, rounds + 1):
        start = time.perf_counter()
        bench.theirs(epoch)
        middle = time.perf_counter()
        bench.ours(epoch)
        times.append((middle - start, time.perf_counter() - middle))
    n = len(bench.variants) * N_BATCHES
    theirs, ours = (statistics.median(side) / n for side in zip(*times, strict=True))
    return theirs, ours, statistics.median(their / our for their, our in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1, as a workflow job has)")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--architectures", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--width", type=int, default=VARIANTS_TOGETHER["cpu"], help="variants stacked")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"PyTorch {torch.__version__}, {arguments.threads} thread(s), {arguments.width} variants stacked")
    print("networks per second through one batch of 128\n")
    print("| size | architecture | peer | peer's | ours | ratio |\n| --- | --- | --- | ---: | ---: | ---: |")
    for size in arguments.sizes:
        n_steps, n_features, hidden_size = SIZES[size]
        for architecture in arguments.architectures:
            bench = Bench(architecture, size, arguments.width)
            bench.check()
            theirs, ours, ratio = measure(bench, arguments.rounds)
            peer = "torch.nn" if PEERS[architecture] is TorchModule else "eager loop"
            label = f"{n_steps}x{n_features}, {hidden_size}"
            print(
                f"| {label} | {architecture} | {peer} | {1 / theirs:.0f} | {1 / ours:.0f} | {ratio:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
