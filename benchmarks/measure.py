"""Measurement for all benchmarks: a fixed number of cores, and timings without bias from drift."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def use_cores(n_cores: int) -> None:
    """Restrict this process to `n_cores`. Call it before NumPy, PyTorch, Numba or JAX is imported.

    XLA and Numba size their thread pools by the affinity. OpenMP, MKL and OpenBLAS read the variables. A core type that
    the environment sets for OpenBLAS is removed, because it would slow the peers that use OpenBLAS.
    """
    os.environ.pop("OPENBLAS_CORETYPE", None)
    for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        os.environ[f"{library}_NUM_THREADS"] = str(n_cores)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < n_cores:
            raise SystemExit(f"--threads: got {n_cores}, expected at most the {len(allowed)} cores of this process")
        os.sched_setaffinity(0, allowed[:n_cores])


@dataclass
class Timing:
    """Times of one contestant in seconds: its first call and each later call, and its result."""

    first_call: float
    result: Any
    seconds: list[float] = field(default_factory=list)


def first_calls(contestants: Mapping[str, Callable[[], Any]]) -> dict[str, Timing]:
    """Call each contestant once, which compiles it."""
    timings = {}
    for name, call in contestants.items():
        start = time.perf_counter()
        result = call()
        timings[name] = Timing(time.perf_counter() - start, result)
        print(f"  {name}: first call {timings[name].first_call:.2f} s", file=sys.stderr, flush=True)
    return timings


def take_turns(contestants: Mapping[str, Callable[[], Any]], timings: Mapping[str, Timing], rounds: int) -> None:
    """Call all contestants in turn, round after round, and record the time of each call.

    A machine that slows down affects all contestants of a round, so that ratios within a round do not drift.
    """
    for _ in range(rounds):
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            timings[name].seconds.append(time.perf_counter() - start)


def yardstick() -> Callable[[], Any]:
    """Return a fixed computation of PyTorch on one thread, about 20 ms: QR decompositions of 100 matrices of 48 x 48.

    It is timed in every round of every case. `compare.py` divides by it, so that a slower or busier machine cancels.
    """
    import torch

    matrices = torch.randn(100, 48, 48, generator=torch.Generator().manual_seed(0))

    def call() -> torch.Tensor:
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return torch.linalg.qr(matrices)[1]
        finally:
            torch.set_num_threads(n_threads)

    return call


def machine(n_cores: int) -> dict[str, Any]:
    """Return a description of the machine: processor, instruction sets, cores, and the load before the run."""
    import torch
    from numba.core.codegen import get_host_cpu_features

    features = {name[1:] for name in get_host_cpu_features().split(",") if name.startswith("+")}
    return {
        "processor": _processor(),
        "instruction_sets": sorted(features & {"avx", "avx2", "avx512f", "fma", "neon", "sse4.2", "sve"}),
        "cores": n_cores,
        "load_before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of the installed ones among `packages`."""
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    if description.exists():
        for line in description.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
