"""What every benchmark needs: a fixed number of cores, timings that drift cannot bias, and tables."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def use_cores(n_cores: int) -> None:
    """Confine this process to `n_cores`; call it before NumPy, PyTorch, Numba or JAX is imported.

    The affinity is what XLA and Numba size their thread pools by, the variables what OpenMP, MKL and OpenBLAS read.
    A core type that the environment forces on OpenBLAS is dropped: it would slow the peers that use OpenBLAS.
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
    """One contestant: how long its first call took, what it returned, and how long each later call took, in seconds."""

    first_call: float
    result: Any
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the later calls, in seconds."""
        return statistics.median(self.seconds)


def interleaved(contestants: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, Timing]:
    """Call each contestant once, which compiles it, and then all in turn, `repetitions` times.

    A machine that slows down slows them alike within a round, so that ratios within a round do not drift.
    """
    timings = {}
    for name, call in contestants.items():
        start = time.perf_counter()
        result = call()
        timings[name] = Timing(time.perf_counter() - start, result)
        print(f"{name}: first call {timings[name].first_call:.2f} s", file=sys.stderr, flush=True)
    for _ in range(repetitions):
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            timings[name].seconds.append(time.perf_counter() - start)
    return timings


def ratio(timing: Timing, to: Timing, scale: float = 1.0) -> str:
    """Return "median (least to greatest)" of `scale` * timing / to, round by round."""
    ratios = [scale * a / b for a, b in zip(timing.seconds, to.seconds, strict=True)]
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(n_cores: int, packages: Sequence[str]) -> str:
    """Return one line that says what was measured on: processor, cores, other work, versions of those packages."""
    versions = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    load = f"load average {os.getloadavg()[0]:.1f} before; " if hasattr(os, "getloadavg") else ""
    return f"{_processor()}, {n_cores} core{'s' * (n_cores > 1)}; {load}{', '.join(versions)}"


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    if description.exists():
        for line in description.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
