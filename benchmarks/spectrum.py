"""Speed and accuracy of lyapunov_pkg compared with its peers: `make benchmarks`; see benchmarks/README.md.

The program prints Markdown tables and writes a record of the run (`record.py`). All compared numbers are measured in
the same run, with the same systems and inputs.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cases
import measure
import networks
import record as records
import systems
import tables
import vectors

PEERS = ("automatic", "analytic", "jax", "lyapax", "clvlib")
PACKAGES = ("lyapunov-pkg", "torch", "numba", "llvmlite", "numpy", "scipy", "jax", "lyapax", "clvlib")


def all_cases(quick: bool) -> list[cases.Case]:
    """Return every case, the main ones first."""
    found = networks.all_cases(quick) + vectors.all_cases(quick) + systems.all_cases(quick)
    return [replace(case, rounds=2) for case in found] if quick else found


def available(names: list[str], n_cores: int) -> dict[str, Callable[..., Any]]:
    """Return {name: function that prepares the peer} for the requested peers that are installed."""
    import peers_torch

    found: dict[str, Callable[..., Any]] = {}
    for name in names:
        try:
            if name == "clvlib":
                import clvlib  # noqa: F401

                found |= {"clvlib": peers_torch.clvlib, "clvlib_vectors": peers_torch.clvlib_vectors}
            elif name in ("jax", "lyapax"):
                import peers_jax

                if name == "jax":
                    found |= {"jax": peers_jax.jitted_scan, "jax_finite_time": peers_jax.finite_time}
                else:
                    import lyapax  # noqa: F401

                    found |= {"lyapax": peers_jax.lyapax, "lyapax_of_system": peers_jax.lyapax_of_system}
            else:
                found[name] = getattr(peers_torch, name)
        except ImportError:
            print(f"{tables.HEADINGS[name]} is not installed, so it is not measured.\n")
    return {name: partial(prepare, n_cores=n_cores) for name, prepare in found.items()}


def best_product_rate() -> float:
    """Return the best rate of a matrix product in float32, in operations per second, over sizes and shapes."""
    import torch

    best = 0.0
    for batch, size in ((1, 512), (1, 1024), (1, 2048), (10, 512), (128, 64), (128, 128)):
        a, b = torch.randn(2, batch, size, size)
        product = (lambda a=a, b=b: torch.bmm(a, b)) if batch > 1 else (lambda a=a, b=b: torch.mm(a[0], b[0]))
        product()
        operations = 2 * batch * size**3
        for _ in range(max(10, int(2e10 / operations))):
            start = time.perf_counter()
            product()
            best = max(best, operations / (time.perf_counter() - start))
    return best


def main() -> int:
    """Parse the command line, run the cases, print their tables and write the record; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", default=["*"], metavar="PATTERN", help="e.g. 'lstm-64-*'; --list shows all"
    )
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS, help="default: all installed peers")
    parser.add_argument("--rounds", type=int, help="rounds of each case; default: that of the case, 3 to 7")
    parser.add_argument("--quick", action="store_true", help="two rounds and fewer steps")
    parser.add_argument("--threads", type=int, default=2, help="cores for each contestant (default 2)")
    parser.add_argument("--output", type=Path, default=Path("spectrum.json"), help="default: spectrum.json here")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    named = {case.name: case for case in all_cases(arguments.quick)}
    selected = [case for name, case in named.items() if any(fnmatch.fnmatch(name, p) for p in arguments.cases)]
    if not selected:
        parser.error(f"--cases: got {' '.join(arguments.cases)}, expected patterns of the names that --list prints")
    if arguments.list:
        print("\n".join(case.name for case in selected))
        return 0
    if arguments.rounds:
        selected = [replace(case, rounds=arguments.rounds) for case in selected]
    measure.use_cores(arguments.threads)
    os.environ["TQDM_DISABLE"] = "1"  # clvlib has no option to hide its progress bars.
    import torch

    torch.set_num_threads(arguments.threads)
    record = records.new("spectrum", arguments.threads, PACKAGES)
    record["facts"] = {"product_rate": best_product_rate()}
    peers = available(arguments.peers, arguments.threads)
    failures = cases.run_all(selected, peers, record, arguments.output)
    if record["cases"]:
        record["facts"] = {"product_rate": max(record["facts"]["product_rate"], best_product_rate())}
        records.write(record, arguments.output)
    return tables.conclude(record, failures, arguments.output)


if __name__ == "__main__":
    sys.exit(main())
