"""Cases of `spectrum.py`: maps and flows of the package, a user-defined `Flow`, and step functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

import record as records
from cases import Case, Contest

if TYPE_CHECKING:
    import numpy as np
    import torch

STEP_SIZES = {"Lorenz": 0.01, "Rossler": 0.05}
LONG_RUN, SHORT_RUN = 2e-2, 1e-6
"""Tolerances in nats per time unit. In a long run, trajectories of a chaotic system that differ in rounding separate,
and exponents agree as far as they have converged. In a short run they agree to what rounding has grown to."""


def all_cases(quick: bool) -> list[Case]:
    """Return all cases."""
    n_long, n_short, n_many = (5_000, 200, 20) if quick else (100_000, 2_000, 200)
    found = [
        _case(f"built-in-{name}", "systems", f"{name}, built in", name, _built_in, 1, n_long, {"lyapax": 1.0})
        for name in ("Henon", "Lorenz", "Rossler")
    ]
    found += [
        _case("flow-rossler", "systems", "Rossler, your own `Flow`", "Rossler", _own_flow, 1, n_short, {}),
        _case(
            "step-rossler-one", "systems", "Rossler, a step function", "Rossler", _step, 1, n_short, {"lyapax": 1 / 3}
        ),
        _case(
            "step-rossler-long", "systems", "Rossler, a step function", "Rossler", _step, 1, n_long, {"lyapax": 1 / 3}
        ),
        _case(
            "step-rossler-many",
            "systems",
            "Rossler, a step function",
            "Rossler",
            _step,
            1_000,
            n_many,
            {"lyapax": 1.0},
        ),
    ]
    return found


def _case(
    name: str,
    table: str,
    label: str,
    system: str,
    make: Callable[[str], Any],
    n_trajectories: int,
    n_steps: int,
    aims: Mapping[str, float],
) -> Case:
    shapes: dict[str, int | str] = {"trajectories": n_trajectories, "steps": n_steps}
    size = 2 if system == "Henon" else 3
    build = lambda peers: _contest(system, make(system), n_trajectories, n_steps, peers)  # noqa: E731
    shown = f"{label}, {n_trajectories:,} × {n_steps:,}"
    return Case(name.lower(), table, shown, shapes | {"exponents": size}, "float64", 7, build, aims)


def _built_in(name: str) -> Any:
    import lyapunov_pkg.systems

    return getattr(lyapunov_pkg.systems, name)()


def _own_flow(name: str) -> Any:
    from lyapunov_pkg.systems import Flow

    return Flow(_rossler, step_size=STEP_SIZES[name])


def _step(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    h = STEP_SIZES[name]

    def step(state: torch.Tensor) -> torch.Tensor:
        first = _rossler(state)
        second = _rossler(state + h / 2 * first)
        third = _rossler(state + h / 2 * second)
        return state + h / 6 * (first + 2 * (second + third) + _rossler(state + h * third))

    return step


def _rossler(state: torch.Tensor) -> torch.Tensor:
    import torch

    x, y, z = state.unbind(-1)
    return torch.stack((-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)), dim=-1)


def _starts(name: str, n_trajectories: int) -> np.ndarray:
    """Return initial states (trajectory, S): the first is that of the system, and the others are close to it."""
    import numpy as np

    first = {"Henon": [0.0, 0.0], "Lorenz": [1.0, 1.0, 1.0], "Rossler": [1.0, 1.0, 0.0]}[name]
    others = np.random.default_rng(0).uniform(0, 0.1, (n_trajectories, len(first)))
    others[0] = 0
    return np.array(first) + others


def _contest(name: str, system: Any, n_trajectories: int, n_steps: int, peers: Mapping[str, Any]) -> Contest:
    """Compare the exponents per step (trajectory, k) of a system with lyapax."""
    import numpy as np

    from lyapunov_pkg import lyapunov_spectrum

    starts = _starts(name, n_trajectories)
    # lyapax gives exponents per time unit, as our flows do. A step function has no time.
    time_per_step = STEP_SIZES.get(name, 1.0) if isinstance(system, FunctionType) else 1.0
    identity = np.eye(starts.shape[1])

    def ours() -> np.ndarray:
        found = lyapunov_spectrum(system, n_steps=n_steps, initial_state=starts, initial_tangents=identity)
        return found["lyapunov_exponent"].values / time_per_step

    calls = {records.OURS: ours}
    if "lyapax_of_system" in peers:
        calls["lyapax"] = peers["lyapax_of_system"](name, starts, n_steps)

    def differences(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        if "lyapax" not in results:
            return {}
        return {records.OURS: {"from lyapax": float(np.abs(results[records.OURS] - results["lyapax"]).max())}}

    return Contest(calls, differences, {"from lyapax": SHORT_RUN if n_steps <= 3_000 else LONG_RUN})
