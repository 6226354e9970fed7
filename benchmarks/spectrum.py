"""Speed and accuracy of `lyapunov_spectrum` beside its peers: `make benchmarks`; see README.md here.

Prints Markdown tables. All that is compared was measured in this one run, on the same networks and inputs.
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    import numpy as np
    import torch

N_FEATURES = 28
OURS = "lyapunov_pkg"
PEERS = {
    "automatic": "(a) automatic Jacobians",
    "analytic": "(b) analytic Jacobians",
    "jax": "(c) JAX scan",
    "lyapax": "(d) lyapax",
    "clvlib": "(e) clvlib",
}
# These need minutes for all exponents of 512 units.
SHORTENED = ("automatic", "jax", "lyapax", "clvlib")
SHORT_STEPS = 20
INTERVALS = "intervals"
"""Name, among those of the cases, of the table of `orthonormalize_every`."""
VECTORS = "vectors"
"""Name of the table of finite-time exponents and covariant vectors."""
SYSTEMS = "systems"
"""Name of the table of the package's own systems."""


@dataclass(frozen=True)
class Case:
    """A network, its inputs, and which exponents are asked for.

    Attributes:
        module: class of `torch.nn`.
        units: H.
        sequences: B.
        steps: T.
        n_exponents: k; None: all.
        jacobian: "reduced" or "full"; the same but for LSTM.
        gain: the weights are PyTorch's initial ones times this.
        repetitions: rounds of measurement.
        shortened: whether slow peers run `SHORT_STEPS` steps, from which their time is extrapolated.
    """

    module: str
    units: int
    sequences: int
    steps: int
    n_exponents: int | None
    jacobian: str = "reduced"
    gain: float = 1.0
    repetitions: int = 5
    shortened: bool = False

    @property
    def name(self) -> str:
        """As --cases selects it, e.g. "lstm-64-hidden-all"."""
        parts = [self.module.lower(), str(self.units), self.jacobian, self._count]
        return "-".join(parts + ([f"gain{self.gain:g}"] if self.gain != 1 else []))

    @property
    def label(self) -> str:
        """As the tables say it, e.g. "LSTM 64 × 128 × 28, 64 × 64"."""
        weights = f", weights × {self.gain:g}" if self.gain != 1 else ""
        return f"{self.module} {self.units} × {self.sequences} × {self.steps}, J {self.rows} × {self.rows}{weights}"

    @property
    def rows(self) -> int:
        """Rows of the Jacobian, n."""
        return self.units * (2 if self.module == "LSTM" and self.jacobian == "full" else 1)

    @property
    def columns(self) -> int:
        """Tangent vectors, k."""
        return self.n_exponents or self.rows

    @property
    def operations(self) -> float:
        """Floating-point operations counted: 2 n²k for the product, 4 n k² - 4/3 k³ for QR with Q, a step."""
        n, k = self.rows, self.columns
        return self.sequences * self.steps * (2 * n * n * k + 4 * n * k * k - 4 / 3 * k**3)

    @property
    def _count(self) -> str:
        return str(self.n_exponents or "all")

    def build(self) -> tuple[torch.nn.RNNBase, torch.Tensor]:
        """Return the module and standard normal inputs (B, T, F), the same at every call."""
        import torch

        torch.manual_seed(0)
        module = getattr(torch.nn, self.module)(N_FEATURES, self.units, batch_first=True)
        with torch.no_grad():
            for weight in module.parameters():
                weight *= self.gain
        return module, torch.randn(self.sequences, self.steps, N_FEATURES)


def cases(quick: bool) -> list[Case]:
    """Every case, the main ones first."""
    found = []
    for n_exponents in (None, 10):
        small = Case("LSTM", 64, 128, 28, n_exponents)
        found += [small, replace(small, module="GRU"), replace(small, module="RNN"), replace(small, jacobian="full")]
        found += [replace(small, module=module, gain=2.0) for module in ("LSTM", "GRU", "RNN") if n_exponents is None]
    for n_exponents in (None, 10):
        large = Case("LSTM", 512, 10, 100, n_exponents, repetitions=3, shortened=n_exponents is None)
        found += [large, replace(large, module="GRU"), replace(large, module="RNN")]
    if quick:
        kept = [case for case in found if case.units == 64] + [replace(case, steps=5) for case in found[-6::3]]
        return [replace(case, repetitions=2, shortened=False) for case in kept]
    return found


def contestants(case: Case, peers: Mapping[str, Any], n_cores: int) -> dict[str, Callable[[], np.ndarray]]:
    """Return the computation of the exponents (B, k) by each; the steps of shortened ones are the first."""
    import numpy as np

    from lyapunov_pkg import lyapunov_spectrum

    module, inputs = case.build()
    tangents = np.eye(case.rows, case.columns)  # as the peers start

    def ours() -> np.ndarray:
        spectrum = lyapunov_spectrum(module, inputs, jacobian=case.jacobian, initial_tangents=tangents)
        return spectrum["lyapunov_exponent"].values

    calls = {OURS: ours}
    for name, prepare in peers.items():
        calls[name] = prepare(module, inputs[:, : steps_of(case, name)], case.rows, case.columns, n_cores)
    return calls


def steps_of(case: Case, peer: str) -> int:
    """Return how many steps that contestant is timed on."""
    return min(case.steps, SHORT_STEPS) if case.shortened and peer in SHORTENED else case.steps


def available(names: list[str]) -> dict[str, Any]:
    """Return what prepares each peer; one that is not installed is left out, and said so."""
    import peers_torch

    found: dict[str, Any] = {"automatic": peers_torch.automatic, "analytic": peers_torch.analytic}
    try:
        import clvlib  # noqa: F401

        found["clvlib"] = peers_torch.clvlib
    except ImportError:
        pass
    try:
        import peers_jax

        found["jax"] = peers_jax.jitted_scan
        import lyapax  # noqa: F401

        found["lyapax"] = peers_jax.lyapax
    except ImportError:
        pass
    for name in names:
        if name not in found:
            print(f"{PEERS[name]} is not installed and left out.\n")
    return {name: found[name] for name in names if name in found}


def errors(case: Case, results: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Return the largest difference from the float64 reference, nats per step: in the leading half, and in all."""
    import numpy as np
    import peers_torch
    import torch

    module, inputs = case.build()
    logs = peers_torch.log_growth(peers_torch.Weights.read(module, inputs, torch.float64), case.rows, case.columns)
    found = {}
    for name, exponents in results.items():
        reference = -np.sort(-logs[:, : steps_of(case, name)].mean(dim=1).numpy(), axis=-1)
        with np.errstate(invalid="ignore"):  # -inf less -inf, where both find a singular Jacobian
            difference = np.where(exponents == reference, 0.0, np.abs(exponents - reference))
        found[name] = difference[:, : math.ceil(case.columns / 2)].max(), difference.max()
    return found


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


def compare(selected: list[Case], peers: Mapping[str, Any], n_cores: int) -> None:
    """Check the agreement of all contestants, time them in turn, and print the tables."""
    speed, agreement, first_calls = [], [], []
    rate = best_product_rate()
    for case in selected:
        print(case.name, file=sys.stderr)
        timings = measure.interleaved(contestants(case, peers, n_cores), case.repetitions)
        rate = max(rate, best_product_rate())
        row = [case.label, str(case.columns)]
        found = errors(case, {name: timing.result for name, timing in timings.items()})
        agreement.append([*row, *(f"{leading:.0e} / {largest:.0e}" for leading, largest in found.values())])
        first_calls.append([*row, *(f"{max(0, t.first_call - t.median):.1f}" for t in timings.values())])
        speed.append((case, timings))
    header = ["units × sequences × steps", "exponents"]
    peer_names = [PEERS[name] for name in peers]

    print("### Agreement\n\nLargest difference from a float64 LAPACK reference, nats per step: leading half / all.\n")
    print(measure.table([*header, OURS, *peer_names], agreement))
    print(
        "\n### Speed\n\nTime of each over that of lyapunov_pkg: median (least to greatest) of rounds. "
        f"†: timed on {SHORT_STEPS} steps, times {100 // SHORT_STEPS}.\n"
        f"Matrix product of this machine: {rate / 1e9:.0f} GFLOP/s in float32.\n"
    )
    rows = []
    for case, timings in speed:
        ours = timings[OURS]
        row = [case.label, str(case.columns), f"{ours.median * 1e3:.0f} ms"]
        row.append(f"{case.operations / ours.median / rate:.0%}")
        for name in peers:
            scale = case.steps / steps_of(case, name)
            row.append(measure.ratio(timings[name], ours, scale) + ("†" if scale != 1 else ""))
        rows.append(row)
    print(measure.table([*header, OURS, "of the product rate", *peer_names], rows))
    print("\n### First call\n\nSeconds that the first call took longer than a later one (compilation and loading).\n")
    print(measure.table([*header, OURS, *peer_names], first_calls))


def compare_intervals(interval: str | int, quick: bool) -> None:
    """Print what `orthonormalize_every=interval` gains over 1, for narrow spectra and for wide ones."""
    import torch

    from lyapunov_pkg import lyapunov_spectrum
    from lyapunov_pkg.networks import Network

    rows = []
    for architecture, jacobian, init_param in (
        ("asrnn", "reduced", 0.1),
        ("cornn", "reduced", 0.1),
        ("cornn", "full", 0.1),
        ("lstm", "reduced", 0.5),
        ("rnn", "reduced", 0.5),
    ):
        generator = torch.Generator().manual_seed(0)
        network = Network.initialise(architecture, N_FEATURES, 64, 0, [init_param], [generator])
        inputs = torch.randn(16 if quick else 128, 112, N_FEATURES, generator=generator)

        def spectrum(every: str | int, dtype: torch.dtype, network=network, inputs=inputs, jacobian=jacobian) -> Any:
            return lyapunov_spectrum(network, inputs, jacobian=jacobian, orthonormalize_every=every, dtype=dtype)

        calls = {every: lambda every=every: spectrum(every, torch.float32) for every in (1, interval)}
        timings = measure.interleaved(calls, 2 if quick else 7)
        reference = spectrum(1, torch.float64)["lyapunov_exponent"]
        found = [abs(timings[every].result["lyapunov_exponent"] - reference).max().item() for every in (1, interval)]
        rows.append(
            [
                f"{architecture}, {jacobian}",
                f"{reference.max().item():.2f} to {reference.min().item():.2f}",
                "{n_orthonormalizations}, {longest_interval}".format(**timings[interval].result.attrs),
                measure.ratio(timings[1], timings[interval]),
                *(f"{error:.0e}" for error in found),
            ]
        )
    print(
        f"\n### orthonormalize_every={interval!r}\n\n64 units, 112 steps. Speed-up over 1: median (least to greatest). "
        "Errors: largest difference from float64 at every step.\n"
    )
    header = [
        "network, state",
        "exponents, nat/step",
        "QRs in 112 steps, longest interval",
        "speed-up",
        "error at 1",
        f"error at {interval!r}",
    ]
    print(measure.table(header, rows))


def compare_vectors(quick: bool) -> None:
    """Print what finite-time exponents and covariant vectors cost beside the exponents of the same call."""
    import numpy as np
    import torch

    from lyapunov_pkg import covariant_vectors, finite_time_exponents, lyapunov_spectrum

    torch.manual_seed(0)
    module, rows = torch.nn.LSTM(N_FEATURES, 64, batch_first=True), []
    for sequences, steps, k, dtype in (
        (128, 28, 64, torch.float32),
        (10, 500, 64, torch.float32),
        (10, 500, 10, torch.float64),
    ):
        inputs = torch.randn(sequences, steps, N_FEATURES)
        call = {"jacobian": "reduced", "n_exponents": k, "dtype": dtype}

        def computed(function: Callable, inputs=inputs, call=call, **more: Any) -> Callable[[], Any]:
            return lambda: function(module, inputs, **call, **more)

        timings = measure.interleaved(
            {
                OURS: computed(lyapunov_spectrum),
                "finite-time": computed(finite_time_exponents),
                "with Q": computed(finite_time_exponents, return_q=True),
                "covariant": computed(covariant_vectors),
            },
            2 if quick else 9,
        )
        spectrum, finite_time = (timings[name].result for name in (OURS, "finite-time"))
        mean = finite_time["finite_time_exponent"].mean("time").values
        exponents = spectrum["lyapunov_exponent"].values
        own, local, *_, covariant = timings.values()
        rows.append(
            [
                f"LSTM 64 × {sequences} × {steps}",
                str(k),
                str(dtype).removeprefix("torch."),
                f"{abs(np.sort(mean)[..., ::-1] - exponents).max():.0e}",
                f"{own.median * 1e3:.0f} ms",
                measure.ratio(local, own),
                measure.ratio(timings["with Q"], own),
                measure.ratio(covariant, local),
            ]
        )
    print("\n### Finite-time exponents and covariant vectors\n\nRatios: median (least to greatest) of rounds.\n")
    header = [
        "units × sequences × steps",
        "exponents",
        "dtype",
        "largest difference of the mean from lyapunov_spectrum",
    ]
    header += ["lyapunov_spectrum", "finite-time over it", "with Q over it", "covariant over finite-time"]
    print(measure.table(header, rows))


def compare_systems(peers: list[str], quick: bool) -> None:
    """Print the time of a step of the package's own systems, one trajectory in float64, beside lyapax."""
    import numpy as np

    from lyapunov_pkg import lyapunov_spectrum
    from lyapunov_pkg.systems import Henon, Lorenz, Rossler

    by_lyapax = None
    if "lyapax" in peers:
        try:
            from peers_jax import lyapax_of_system as by_lyapax
        except ImportError:
            print("lyapax is not installed and left out.\n")
    n_steps, rows = 2_000 if quick else 100_000, []
    for system in (Henon(), Lorenz(), Rossler()):
        name = type(system).__name__

        def ours(system=system) -> np.ndarray:
            return lyapunov_spectrum(system, n_steps=n_steps, warmup=1_000)["lyapunov_exponent"].values[0]

        calls = {OURS: ours} | ({"lyapax": by_lyapax(name, n_steps)} if by_lyapax else {})
        timings = measure.interleaved(calls, 2 if quick else 7)
        found = [f"{name}, S = {system.state_size}", f"{timings[OURS].median / n_steps * 1e6:.2f} µs"]
        for timing in list(timings.values())[1:]:
            difference = np.abs(timing.result - timings[OURS].result).max()
            found += [measure.ratio(timing, timings[OURS]), f"{difference:.0e}"]
        rows.append(found)
    print("\n### Systems of the package\n\nOne trajectory, all exponents, float64; time of a step.\n")
    header = ["system", OURS] + (["lyapax over it", "difference of the exponents"] if by_lyapax else [])
    print(measure.table(header, rows))


def main() -> None:
    """Parse the command line and print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", default=["*"], metavar="PATTERN", help="e.g. 'lstm-64-*'; --list shows all"
    )
    parser.add_argument(
        "--peers", nargs="*", default=list(PEERS), choices=PEERS, help="default: all that are installed"
    )
    parser.add_argument("--repetitions", type=int, help="rounds of each case")
    parser.add_argument("--quick", action="store_true", help="few rounds, and 5 steps of the large networks: a minute")
    parser.add_argument("--threads", type=int, default=2, help="cores for all contestants alike (default 2)")
    parser.add_argument(
        "--interval",
        default="auto",
        type=lambda text: int(text) if text.isdigit() else text,
        help="orthonormalize_every of the last table (default auto)",
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    named = {case.name: case for case in cases(arguments.quick)} | dict.fromkeys((INTERVALS, VECTORS, SYSTEMS))
    names = [name for name in named if any(fnmatch.fnmatch(name, pattern) for pattern in arguments.cases)]
    if not names:
        parser.error(f"--cases: got {' '.join(arguments.cases)}, expected patterns of the names that --list prints")
    if arguments.list:
        print("\n".join(names))
        return
    selected = [case for name in names if (case := named[name]) is not None]
    if arguments.repetitions:
        selected = [replace(case, repetitions=arguments.repetitions) for case in selected]
    measure.use_cores(arguments.threads)
    os.environ["TQDM_DISABLE"] = "1"  # clvlib's progress bars, which it cannot be asked to leave out
    import torch

    torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    packages = ("lyapunov-pkg", "torch", "numba", "numpy", "scipy", "jax", "lyapax", "clvlib")
    print(f"## Lyapunov spectra\n\n{measure.machine(arguments.threads, packages)}.\n")
    if selected:
        compare(selected, available(arguments.peers), arguments.threads)
    if INTERVALS in names:
        compare_intervals(arguments.interval, arguments.quick)
    if VECTORS in names:
        compare_vectors(arguments.quick)
    if SYSTEMS in names:
        compare_systems(arguments.peers, arguments.quick)
    print(f"\nThe whole run took {(time.perf_counter() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
