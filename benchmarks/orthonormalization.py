"""Speed-up of exponents with longer intervals T_ON between QR decompositions (dissertation, chapter 2).

    python benchmarks/orthonormalization.py            LSTM of 128 and 256 units, all exponents
    python benchmarks/orthonormalization.py --units 64 --intervals 1 10

Two programs are timed. `lyapunov_pkg` is `lyapunov_spectrum` with the reduced Jacobian. `PyTorch` is the algorithm of
the text, implemented like the dissertation's programs. In each step it multiplies the tangent vectors by a batch of
Jacobians. Every T_ON steps it calls `torch.linalg.qr`. Its Jacobians are computed beforehand and not timed. Times are
CPU times on one core, so that other work on the machine has little effect.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import measure


def cpu_seconds(call: Callable[[], object], repetitions: int) -> float:
    """Return the median CPU time of the calls after the first, in seconds."""
    call()
    seconds = []
    for _ in range(repetitions):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def programs(n_units: int, n_sequences: int, n_steps: int) -> dict[str, Callable[[int], object]]:
    """Return both programs by name, as functions of T_ON."""
    import torch

    from lyapunov_pkg import lyapunov_spectrum

    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    network = torch.nn.LSTM(28, n_units, batch_first=True)
    inputs = torch.randn(n_sequences, n_steps, 28, generator=generator)
    jacobian = torch.randn(n_sequences, n_units, n_units, generator=generator) / n_units**0.5

    def plain(orthonormalize_every: int) -> object:
        q = torch.eye(n_units).expand(n_sequences, -1, -1)
        total = torch.zeros(n_sequences, n_units)
        for step in range(1, n_steps + 1):
            q = jacobian @ q
            if step % orthonormalize_every == 0:
                q, r = torch.linalg.qr(q)
                total += r.diagonal(dim1=-2, dim2=-1).abs().log()
        return total / n_steps

    def ours(orthonormalize_every: int) -> object:
        return lyapunov_spectrum(network, inputs, jacobian="reduced", orthonormalize_every=orthonormalize_every)

    return {"lyapunov_pkg": ours, "PyTorch": plain}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of speeds relative to T_ON = 1."""
    parser = argparse.ArgumentParser(description="speed by T_ON")
    parser.add_argument("--units", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--intervals", type=int, nargs="+", default=[1, 2, 5, 10, 20])
    parser.add_argument("--sequences", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args(arguments)
    measure.use_cores(1)
    names = ["lyapunov_pkg", "PyTorch"]
    print(f"| units | T_ON | {' | '.join(f'{name} [s] | speed-up' for name in names)} |")
    print("| --- " * (2 + 2 * len(names)) + "|")
    for n_units in options.units:
        timed = programs(n_units, options.sequences, options.steps)
        whole = {}
        for interval in options.intervals:
            cells = []
            for name in names:
                call = timed[name]
                seconds = cpu_seconds(lambda call=call, interval=interval: call(interval), options.repetitions)
                whole.setdefault(name, seconds)
                cells.append(f"{seconds:.3f} | {whole[name] / seconds:.2f}")
            print(f"| {n_units} | {interval} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
