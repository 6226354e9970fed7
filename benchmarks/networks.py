"""Cases of `spectrum.py` whose system is a network of torch.nn, read as a module or given as a step function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import record as records
from cases import Case, Contest

if TYPE_CHECKING:
    import numpy as np
    import torch

N_FEATURES = 28
# These peers need minutes for all exponents of 512 units.
SHORTENED = ("automatic", "jax", "lyapax", "clvlib")
SHORT_STEPS = 20
TOLERANCES = {"leading half": 1e-3, "all": 1e-1}
"""In nats per step. In float32, every QR algorithm has the rounding error of the largest diagonal entry.

The difference of an extreme among many sequences is large where its smallest diagonal entry is small by chance. For an
LSTM of 64 units, 128 sequences and all 128 exponents, LAPACK's own float32 result has 0.03, but 0.0002 in the median.
"""


@dataclass(frozen=True)
class Driven:
    """A network, its inputs, and the requested exponents.

    Attributes:
        module: class of `torch.nn`.
        units: H.
        sequences: B.
        steps: T.
        n_exponents: k; None means all.
        jacobian: "reduced" or "full", which differ only for LSTM.
        gain: factor of the weights relative to PyTorch's initial weights.
        rounds: number of rounds of the measurement.
        shortened: whether slow peers run only `SHORT_STEPS` steps, from which their time is extrapolated.
    """

    module: str
    units: int
    sequences: int
    steps: int
    n_exponents: int | None
    jacobian: str = "reduced"
    gain: float = 1.0
    rounds: int = 5
    shortened: bool = False

    @property
    def name(self) -> str:
        """Return the name, such as "lstm-64-reduced-all"."""
        parts = [self.module.lower(), str(self.units), self.jacobian, str(self.n_exponents or "all")]
        return "-".join(parts + ([f"gain{self.gain:g}"] if self.gain != 1 else []))

    @property
    def label(self) -> str:
        """Return the label, such as "LSTM 64 × 128 × 28, J 64 × 64"."""
        weights = f", weights × {self.gain:g}" if self.gain != 1 else ""
        return f"{self.module} {self.units} × {self.sequences} × {self.steps}, J {self.rows} × {self.rows}{weights}"

    @property
    def rows(self) -> int:
        """Return the number of rows of the Jacobian, n."""
        return self.units * (2 if self.module == "LSTM" and self.jacobian == "full" else 1)

    @property
    def columns(self) -> int:
        """Return the number of tangent vectors, k."""
        return self.n_exponents or self.rows

    @property
    def operations(self) -> float:
        """Return the counted floating-point operations.

        Each step of a sequence has 2 n²k for the product and 4 n k² - 4/3 k³ for QR with Q.
        """
        n, k = self.rows, self.columns
        return self.sequences * self.steps * (2 * n * n * k + 4 * n * k * k - 4 / 3 * k**3)

    @property
    def shapes(self) -> dict[str, int | str]:
        """Return the sizes in the form of records."""
        sizes: dict[str, int | str] = {"units": self.units, "sequences": self.sequences, "steps": self.steps}
        return sizes | {"rows": self.rows, "exponents": self.columns, "gain": f"{self.gain:g}"}

    def steps_of(self, contestant: str) -> int:
        """Return the number of steps of a contestant's run."""
        return min(self.steps, SHORT_STEPS) if self.shortened and contestant in SHORTENED else self.steps

    def build(self) -> tuple[torch.nn.RNNBase, torch.Tensor]:
        """Return the module and standard normal inputs (B, T, F), which are the same at every call."""
        import torch

        torch.manual_seed(0)
        module = getattr(torch.nn, self.module)(N_FEATURES, self.units, batch_first=True)
        with torch.no_grad():
            for weight in module.parameters():
                weight *= self.gain
        return module, torch.randn(self.sequences, self.steps, N_FEATURES)

    def case(self, table: str, contest: Callable[[Driven, Mapping[str, Any]], Contest], **more: Any) -> Case:
        """Return a case of a table."""
        name, label = more.pop("name", self.name), more.pop("label", self.label)
        build = lambda peers: contest(self, peers)  # noqa: E731
        return Case(name, table, label, self.shapes, "float32", self.rounds, build, **more)


def all_cases(quick: bool) -> list[Case]:
    """Return the cases of networks, the main ones first."""
    found = [driven.case("networks", spectrum_of_module) for driven in _stacks(quick)]
    single = [
        (Driven("RNN", 200, 1, 40 if quick else 400, None), 5.0),
        (Driven("RNN", 512, 1, 10 if quick else 100, None), 3.5),
        (Driven("RNN", 1024, 1, 3 if quick else 30, None, rounds=3), 2.3),
    ]
    for driven, aim in single:
        found.append(
            driven.case("single", spectrum_of_module, name=f"single-{driven.name}", aims={"analytic": aim, "jax": 1.0})
        )
    own_steps = [
        (Driven("LSTM", 16, 1, 200 if quick else 2_000, None, "full"), {"jax": 0.5}),
        (Driven("LSTM", 64, 1, 50 if quick else 500, None, "full"), {"jax": 1.0}),
        (Driven("LSTM", 64, 128, 3 if quick else 28, None, "full"), {"module": 0.5}),
    ]
    for driven, aims in own_steps:
        name = f"step-{driven.name}-{'one' if driven.sequences == 1 else 'many'}"
        found.append(driven.case("steps", spectrum_of_step, name=name, aims=aims))
    return found


def _stacks(quick: bool) -> list[Driven]:
    found = []
    for n_exponents in (None, 10):
        small = Driven("LSTM", 64, 128, 28, n_exponents)
        found += [small, replace(small, module="GRU"), replace(small, module="RNN"), replace(small, jacobian="full")]
        found += [replace(small, module=module, gain=2.0) for module in ("LSTM", "GRU", "RNN") if n_exponents is None]
    for n_exponents in (None, 10):
        large = Driven("LSTM", 512, 10, 100, n_exponents, rounds=3, shortened=n_exponents is None)
        found += [large, replace(large, module="GRU"), replace(large, module="RNN")]
    if quick:
        return [replace(driven, shortened=False, steps=5 if driven.units > 64 else 28) for driven in found]
    return found


def spectrum_of_module(driven: Driven, peers: Mapping[str, Any]) -> Contest:
    """Compare `lyapunov_spectrum` of the module with the peers."""
    from lyapunov_pkg import lyapunov_spectrum

    module, inputs = driven.build()
    arguments = {"jacobian": driven.jacobian, "initial_tangents": _first_tangents(driven)}

    def ours() -> np.ndarray:
        return lyapunov_spectrum(module, inputs, **arguments)["lyapunov_exponent"].values

    return _contest(driven, {records.OURS: ours}, peers, ("automatic", "analytic", "jax", "lyapax", "clvlib"))


def spectrum_of_step(driven: Driven, peers: Mapping[str, Any]) -> Contest:
    """Compare `lyapunov_spectrum` of an LSTM as a step function with that of the module, and with JAX.

    The step also runs through PyTorch, as a step does that cannot be converted to a program.
    """
    import torch

    from lyapunov_pkg import lyapunov_spectrum
    from lyapunov_pkg.systems import tracing

    module, inputs = driven.build()
    w_ih, w_hh, b_ih, b_hh = (weight.detach() for weight in module._flat_weights)

    def step(state: tuple[torch.Tensor, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h, c = state
        i, f, g, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    start = tuple(torch.zeros(driven.sequences, driven.units) for _ in range(2))
    tangents = _first_tangents(driven)

    def ours() -> np.ndarray:
        found = lyapunov_spectrum(step, inputs, initial_state=start, initial_tangents=tangents)
        return found["lyapunov_exponent"].values

    def of_module() -> np.ndarray:
        return lyapunov_spectrum(module, inputs, initial_tangents=tangents)["lyapunov_exponent"].values

    def through_torch() -> np.ndarray:
        with mock.patch.object(tracing, "program_of", lambda *arguments: None):
            return ours()

    own = {records.OURS: ours, "module": of_module, "through_torch": through_torch}
    return _contest(driven, own, peers, ("jax",))


def _first_tangents(driven: Driven) -> np.ndarray:
    """Return the initial tangent vectors of all contestants, the first columns of the identity."""
    import numpy as np

    return np.eye(driven.rows, driven.columns)


def _contest(
    driven: Driven, own: dict[str, Callable[[], np.ndarray]], peers: Mapping[str, Any], names: tuple[str, ...]
) -> Contest:
    """Return the contest of exponents (B, k) between `own` computations and the named peers that are installed."""
    module, inputs = driven.build()
    calls, scales = dict(own), {}
    for name in names:
        if name in peers:
            n_steps = driven.steps_of(name)
            calls[name] = peers[name](module, inputs[:, :n_steps], driven.rows, driven.columns)
            scales[name] = driven.steps / n_steps
    facts = lambda results: {"operations": driven.operations}  # noqa: E731
    return Contest(calls, lambda results: errors(driven, results), TOLERANCES, facts, scales)


def errors(driven: Driven, results: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the largest difference from the float64 reference, nats per step: in the leading half, and in all."""
    import numpy as np
    import peers_torch
    import torch

    module, inputs = driven.build()
    weights = peers_torch.Weights.read(module, inputs, torch.float64)
    logs = peers_torch.log_growth(weights, driven.rows, driven.columns)
    found = {}
    for name, exponents in results.items():
        reference = -np.sort(-logs[:, : driven.steps_of(name)].mean(dim=1).numpy(), axis=-1)
        # The difference is -inf less -inf if both programs find a singular Jacobian.
        with np.errstate(invalid="ignore"):
            difference = np.where(exponents == reference, 0.0, np.abs(exponents - reference))
        leading = difference[:, : math.ceil(driven.columns / 2)]
        found[name] = {"leading half": float(leading.max()), "all": float(difference.max())}
    return found
