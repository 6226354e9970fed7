"""Correctness and time of training and spectra on a GPU, and the number of synchronizations with the host.

    python benchmarks/gpu.py                 on the GPU, at the size of the study of sequential MNIST
    python benchmarks/gpu.py --scale 0.1     a tenth of the networks of each architecture

The benchmark needs the extra `workflow` of the package. The study has 1,600 networks of 64 units, 200 of each
architecture. They are trained on 60,000 images of 28 x 28 for ten epochs in batches of 128. The study has 17,600
spectra: each network before training and after each epoch. Each spectrum uses 128 images, with 28 steps of warm-up and
28 measured steps.

Each case is checked first: the compiled kernels of the CPU compute two of the networks. Losses may differ by 1%.
Exponents may differ by 0.001 nats per step in the leading half of the spectrum and by 0.05 in all of it.

Networks are trained and analysed in stacks. A case times a few batches, or the spectra of one stack. The last column
extrapolates this time to the architecture's part of the study. Images are random numbers, on which the speed does not
depend.

Without a GPU, the CPU computes a hundredth of the networks. Spectra use the operations that a GPU would run, and
training uses compiled kernels. This checks the program and counts operations and synchronizations. It says nothing
about the speed of a GPU, so that no time is extrapolated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cases
import record as records
import tables
from cases import Case, Contest

if TYPE_CHECKING:
    import torch

    from lyapunov_pkg.networks import Network
    from lyapunov_pkg.reproduction.training.variants import Variant

N_STEPS = N_FEATURES = 28
N_CLASSES, BATCH_SIZE = 10, 128
N_NETWORKS, N_EPOCHS, N_IMAGES, N_SEQUENCES = 200, 10, 60_000, 128
"""Numbers of networks of each architecture, epochs, images, and sequences in the study."""
CHECKED = 2
"""Number of networks of each case that the CPU computes as a check."""
TOLERANCES = {"loss": 1e-2, "leading half": 1e-3, "all": 5e-2}


@dataclass(frozen=True)
class Size:
    """The computed part of the study.

    Attributes:
        networks: number of stacked networks of each architecture.
        units: number of hidden units.
        batches: number of batches that are timed together.
        sequences: number of sequences that drive each network.
    """

    networks: int
    units: int
    batches: int
    sequences: int

    @property
    def shapes(self) -> dict[str, int | str]:
        """Return the sizes in the form of records."""
        sizes = {"networks": self.networks, "units": self.units, "batches": self.batches, "sequences": self.sequences}
        return {**sizes, "steps": N_STEPS, "features": N_FEATURES}


def all_cases(size: Size, device: torch.device, architectures: list[str], rounds: int) -> list[Case]:
    """Return a case of training and one of spectra for each architecture."""
    found = []
    for name, make, label in (
        ("training", training, f"{size.networks} × {size.units} units, {size.batches} batches of {BATCH_SIZE}"),
        ("spectra", spectra, f"{size.networks} × {size.units} units × {size.sequences} × {2 * N_STEPS}"),
    ):
        for architecture in architectures:
            build = lambda peers, make=make, a=architecture: make(a, size, device)  # noqa: E731
            described = f"{architecture} {label}"
            found.append(
                Case(f"{name}-{architecture}", f"gpu-{name}", described, size.shapes, "float32", rounds, build)
            )
    return found


def variants_of(architecture: str, size: Size) -> list[Variant]:
    """Return the first variants of an architecture."""
    from lyapunov_pkg.reproduction.training.variants import design_variants

    settings = {"architecture": architecture, "hidden_size": size.units, "learning_rate": 0.01}
    settings["init_param"] = {"uniform": [0.05, 0.2]}
    return design_variants("benchmark", architecture, settings, range(size.networks), seed=0)


def training(architecture: str, size: Size, device: torch.device) -> Contest:
    """Train a stack for some batches in each call, and compare the losses of the first call."""
    import torch

    from lyapunov_pkg.reproduction.configuration.training import TrainingSettings
    from lyapunov_pkg.reproduction.tasks.supervised import Part, Task
    from lyapunov_pkg.reproduction.training.bptt import begin_training, train_epoch

    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(size.batches * BATCH_SIZE, N_STEPS, N_FEATURES, generator=generator)
    labels = torch.randint(0, N_CLASSES, (len(inputs),), generator=generator)
    settings = TrainingSettings(epochs=1, batch_size=BATCH_SIZE, loss_on="last", optimizer="adam")
    variants = variants_of(architecture, size)

    def epochs_of(of_variants: list[Variant], where: torch.device) -> Callable[[], torch.Tensor]:
        part = Part(inputs.to(where), labels.to(where))
        task = Task(part, part, N_FEATURES, N_CLASSES, last_only=True)
        network, optimizer = begin_training(of_variants, task, settings)
        samples, epoch = torch.arange(len(inputs)), iter(range(1, sys.maxsize))
        return lambda: train_epoch(network, optimizer, of_variants, task, samples, settings, next(epoch)).cpu()

    calls = {records.OURS: epochs_of(variants, device)}

    def differences(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        expected = epochs_of(variants[:CHECKED], torch.device("cpu"))()
        found = results[records.OURS][:CHECKED]
        return {records.OURS: {"loss": float(((found - expected) / expected).abs().max())}}

    whole = N_NETWORKS / size.networks * N_EPOCHS * -(-N_IMAGES // BATCH_SIZE) / size.batches
    return Contest(calls, differences, TOLERANCES, lambda results: counts(calls[records.OURS]) | {"share": 1 / whole})


def spectra(architecture: str, size: Size, device: torch.device) -> Contest:
    """Compute the spectra of a stack."""
    import torch

    from lyapunov_pkg.networks import Network
    from lyapunov_pkg.spectra.averaging import average_exponents

    variants = variants_of(architecture, size)
    network = Network.initialise(
        architecture,
        input_size=N_FEATURES,
        hidden_size=size.units,
        output_size=0,
        init_param=[variant.init_param for variant in variants],
        generators=[variant.generator("initialisation") for variant in variants],
    )
    images = torch.rand(size.sequences, N_STEPS, N_FEATURES, generator=torch.Generator().manual_seed(1))
    inputs = images.repeat(1, 2, 1)
    on_device, inputs_there = network.to(device=device), inputs.to(device)
    calls = {records.OURS: lambda: by_operations(on_device, inputs_there).cpu()}

    def differences(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        few = network.select(list(range(min(CHECKED, size.networks))))
        start, tangents = few.initial_state(size.sequences), few.initial_tangents("reduced")
        expected = average_exponents(few, inputs, start, tangents, warmup=N_STEPS).exponents
        difference = (results[records.OURS][: len(expected)] - expected).abs()
        leading = difference[..., : -(-difference.shape[-1] // 2)]
        return {records.OURS: {"leading half": float(leading.max()), "all": float(difference.max())}}

    whole = N_NETWORKS * (N_EPOCHS + 1) / size.networks * N_SEQUENCES / size.sequences
    return Contest(calls, differences, TOLERANCES, lambda results: counts(calls[records.OURS]) | {"share": 1 / whole})


def by_operations(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    """Return exponents (variant, sequence, k) from the PyTorch operations of a GPU, on any device."""
    import torch

    from lyapunov_pkg.spectra.torch_propagators import StepPropagator

    start, tangents = network.initial_state(len(inputs)), network.initial_tangents("reduced")
    propagator = StepPropagator(network, start, tangents.expand(*start.shape[:-1], *tangents.shape))
    propagator.asks_each_time = False
    with torch.no_grad():
        for half in inputs.split(N_STEPS, dim=-2):
            log_r, _ = propagator.follow(propagator.path(half), slice(None), [True] * N_STEPS)
    return log_r.mean(dim=0).sort(dim=-1, descending=True).values.to(tangents.dtype)


def counts(call: Callable[[], Any]) -> dict[str, Any]:
    """Return the number of PyTorch operations and of synchronizations with the host in a call, and counts from CUDA."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    has_gpu = torch.cuda.is_available()
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * has_gpu) as found:
        call()
    by_name = {event.key: event.count for event in found.key_averages()}
    counted = {
        "operations of PyTorch": sum(count for name, count in by_name.items() if name.startswith("aten::")),
        "synchronizations with the host": by_name.get("aten::_local_scalar_dense", 0) + by_name.get("aten::nonzero", 0),
    }
    if has_gpu:
        launches = sum(count for name, count in by_name.items() if name.startswith(("cudaLaunchKernel", "cuLaunch")))
        waits = sum(count for name, count in by_name.items() if "Synchronize" in name)
        counted |= {"kernels launched": launches, "waits for the device": waits}
    return counted


def main() -> int:
    """Parse the command line, run the cases, print their tables and write the record; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, help="share of the networks; default 1 on a GPU, 0.01 on the CPU")
    parser.add_argument("--architectures", nargs="+", metavar="NAME", help="default: all architectures of the study")
    parser.add_argument("--batches", type=int, help="batches timed together; default 20 on a GPU, 2 on the CPU")
    parser.add_argument("--sequences", type=int, help="driving sequences; default 128 on a GPU, 8 on the CPU")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), help="default: gpu.json here")
    arguments = parser.parse_args()
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    small = device.type == "cpu"
    study = ("rnn", "lstm", "gru", "asrnn", "cornn", "lipschitz", "noisy", "lem")
    architectures = arguments.architectures or list(study)
    if unknown := set(architectures) - set(study):
        parser.error(f"--architectures: got {sorted(unknown)}, expected some of {', '.join(study)}")
    size = Size(
        networks=max(1, round(N_NETWORKS * (arguments.scale or (0.01 if small else 1.0)))),
        units=arguments.units,
        batches=arguments.batches or (2 if small else 20),
        sequences=arguments.sequences or (8 if small else N_SEQUENCES),
    )
    if small:
        print("There is no GPU: this checks the program on the CPU. Its times say nothing about a GPU.\n")
    record = records.new("gpu", torch.get_num_threads(), ("lyapunov-pkg", "torch", "numba", "numpy"))
    failures = cases.run_all(all_cases(size, device, architectures, arguments.rounds), {}, record, arguments.output)
    return tables.conclude(record, failures, arguments.output)


if __name__ == "__main__":
    sys.exit(main())
