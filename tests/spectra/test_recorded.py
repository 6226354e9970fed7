"""User-defined steps that run as programs give the same results as through PyTorch; other steps run through PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg import covariant_vectors, finite_time_exponents, lyapunov_spectrum
from lyapunov_pkg.spectra import recorded
from lyapunov_pkg.spectra.averaging import average_of
from lyapunov_pkg.spectra.driven import driven_system
from lyapunov_pkg.spectra.propagator_choice import make_propagator
from lyapunov_pkg.spectra.recorded import ProgramPropagator, RecordedPropagator
from lyapunov_pkg.spectra.torch_propagators import StepPropagator
from lyapunov_pkg.systems import Flow, tracing
from lyapunov_pkg.systems.steps import DifferentiatedStep

GENERATOR = torch.Generator().manual_seed(1)
INPUT_WEIGHTS = torch.randn(3, 24, dtype=torch.float64, generator=GENERATOR)
WEIGHTS = torch.randn(6, 24, dtype=torch.float64, generator=GENERATOR)
INPUTS = torch.randn(3, 40, 3, dtype=torch.float64, generator=GENERATOR)
START = (torch.zeros(3, 6, dtype=torch.float64), torch.zeros(3, 6, dtype=torch.float64))


def lstm(state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Step an LSTM in the dtype of its state."""
    h, c = state
    gates = x @ INPUT_WEIGHTS.to(x.dtype) + h @ WEIGHTS.to(h.dtype)
    i, f, g, o = gates.chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def rossler(state: Tensor) -> Tensor:
    """Step Rössler's flow by the classical Runge-Kutta method."""

    def field(state: Tensor) -> Tensor:
        x, y, z = state.unbind(-1)
        return torch.stack((-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)), dim=-1)

    h = 0.05
    k1 = field(state)
    k2 = field(state + h / 2 * k1)
    k3 = field(state + h / 2 * k2)
    k4 = field(state + h * k3)
    return state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the class name of the propagator of each path."""
    taken: list[str] = []
    plain = RecordedPropagator.path

    def path(self: RecordedPropagator, inputs: Tensor) -> Any:
        found = plain(self, inputs)
        taken.append(type(self._now).__name__)
        return found

    monkeypatch.setattr(RecordedPropagator, "path", path)
    return taken


def both(compute: Callable[[], xr.Dataset], monkeypatch: pytest.MonkeyPatch) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the default result and the result of PyTorch alone."""
    found = compute()
    with monkeypatch.context() as patched:
        patched.setattr(tracing, "program_of", lambda *arguments: None)
        return found, compute()


SETTINGS: dict[str, dict[str, Any]] = {
    "all": {},
    "some": {"n_exponents": 4, "warmup": 7},
    "intervals": {"orthonormalize_every": 3, "warmup": 5, "n_exponents": 6},
    "of their own length": {"orthonormalize_every": "auto"},
    "one trajectory": {"inputs": INPUTS[:1], "initial_state": tuple(part[:1] for part in START)},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_spectra_agree(name: str, ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64, results agree up to rounding."""
    arguments: dict[str, Any] = {"inputs": INPUTS, "initial_state": START} | SETTINGS[name]
    found, expected = both(lambda: lyapunov_spectrum(lstm, **arguments), monkeypatch)
    assert "ProgramPropagator" in ways
    for variable in ("lyapunov_exponent", "final_state"):
        np.testing.assert_allclose(found[variable], expected[variable], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(abs(found["final_tangents"]), abs(expected["final_tangents"]), rtol=1e-6, atol=1e-6)
    assert (found["n_lost"] == expected["n_lost"]).all()


def test_float32(ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding decides: each of the two results has a similar distance from float64."""
    arguments: dict[str, Any] = {"inputs": INPUTS, "initial_state": START, "warmup": 5}
    exact = lyapunov_spectrum(lstm, **arguments)["lyapunov_exponent"]
    found, expected = both(lambda: lyapunov_spectrum(lstm, dtype=torch.float32, **arguments), monkeypatch)
    assert "ProgramPropagator" in ways
    assert found["lyapunov_exponent"].dtype == np.float32
    error, usual = (float(abs(result["lyapunov_exponent"] - exact).max()) for result in (found, expected))
    assert error < 2 * usual + 1e-5


def test_an_autonomous_flow(ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Chaos amplifies rounding errors, so the run is short enough to compare results."""
    start = torch.tensor([[1.0, 1.0, 0.0], [2.0, -1.0, 0.1]], dtype=torch.float64)
    found, expected = both(lambda: lyapunov_spectrum(rossler, n_steps=300, initial_state=start), monkeypatch)
    assert set(ways) == {"ProgramPropagator", "StepPropagator"}
    np.testing.assert_allclose(found["lyapunov_exponent"], expected["lyapunov_exponent"], atol=1e-10)


def test_finite_time_exponents_and_covariant_vectors(ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded factors and vectors agree as well as exponents."""
    arguments: dict[str, Any] = {"inputs": INPUTS, "initial_state": START}
    found, expected = both(lambda: finite_time_exponents(lstm, return_q=True, **arguments), monkeypatch)
    for name in ("finite_time_exponent", "q", "final_state"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9)
    found, expected = both(lambda: covariant_vectors(lstm, n_exponents=3, **arguments), monkeypatch)
    for name in ("covariant_vector", "covariant_exponent"):
        if name in found:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, atol=1e-8)
    assert "ProgramPropagator" in ways


def test_resumed_runs_have_the_bits_of_one_long_run(ways: list[str]) -> None:
    """Resumed runs of programs give the same bits as those of other systems."""
    first = lyapunov_spectrum(lstm, INPUTS[:, :23], initial_state=START)
    both_parts = lyapunov_spectrum(lstm, INPUTS[:, 23:], initial_state=START, resume=first)
    once = lyapunov_spectrum(lstm, INPUTS, initial_state=START)
    assert set(ways) == {"ProgramPropagator"}
    assert (both_parts["lyapunov_exponent"] == once["lyapunov_exponent"]).all()


def test_results_do_not_depend_on_threads_or_other_trajectories() -> None:
    """A trajectory computed alone has the same bits."""
    together = lyapunov_spectrum(lstm, INPUTS, initial_state=START)["lyapunov_exponent"]
    alone = lyapunov_spectrum(lstm, INPUTS[:1], initial_state=tuple(part[:1] for part in START))["lyapunov_exponent"]
    assert (together[0] == alone[0]).all()
    n_threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        again = lyapunov_spectrum(lstm, INPUTS, initial_state=START)["lyapunov_exponent"]
    finally:
        torch.set_num_threads(n_threads)
    assert (again == together).all()


def test_user_defined_modules(ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A module is also a step. It runs in evaluation mode with its weights at the time of the call."""

    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.norm, self.dropout = torch.nn.GRUCell(3, 5), torch.nn.LayerNorm(5), torch.nn.Dropout(0.5)

        def forward(self, x: Tensor, state: Tensor) -> Tensor:
            return self.norm(self.dropout(self.cell(x, state)))

    torch.manual_seed(0)
    module = Own().double()
    arguments: dict[str, Any] = {"inputs": INPUTS, "initial_state": torch.zeros(3, 5, dtype=torch.float64)}
    found, expected = both(lambda: lyapunov_spectrum(module, n_exponents=4, **arguments), monkeypatch)
    np.testing.assert_allclose(found["lyapunov_exponent"], expected["lyapunov_exponent"], rtol=1e-10, atol=1e-10)
    assert ways == ["ProgramPropagator", "StepPropagator"]
    with torch.no_grad():
        module.cell.weight_hh.mul_(2)
    changed = lyapunov_spectrum(module, n_exponents=4, **arguments)["lyapunov_exponent"]
    assert abs(changed - found["lyapunov_exponent"]).max() > 1e-3


def test_closures_that_change_between_calls() -> None:
    """A later call uses the current values of the closure."""
    factor = torch.tensor(0.5, dtype=torch.float64)
    start = torch.ones(1, 2, dtype=torch.float64)
    for value in (0.5, 0.25):
        factor.fill_(value)
        found = lyapunov_spectrum(lambda state: factor * state, n_steps=9, initial_state=start)
        np.testing.assert_allclose(found["lyapunov_exponent"], np.log(value), rtol=1e-12)


def test_both_branches_of_a_step_are_followed(ways: list[str]) -> None:
    """The map has two pieces. A program traced in the first piece would never reach the second."""

    def step(state: Tensor) -> Tensor:
        return state * 0.5 if state.sum() > 0.1 else state * 0.9

    found = lyapunov_spectrum(step, n_steps=40, initial_state=torch.ones(1, 1, dtype=torch.float64))
    assert set(ways) == {"StepPropagator"}
    expected = (4 * np.log(0.5) + 36 * np.log(0.9)) / 40
    np.testing.assert_allclose(found["lyapunov_exponent"], expected, rtol=1e-12)


@pytest.mark.parametrize("what", ["values", "tangents"])
def test_a_program_that_becomes_wrong_is_abandoned(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step changes after some states, so the second path runs through PyTorch."""
    late = {"is": False}

    def step(state: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(state * (2.0 if late["is"] else 1.5))

    start = torch.tensor([[0.3, 0.4]], dtype=torch.float64)
    system, inputs = DifferentiatedStep(_own(step)), torch.zeros(1, 600, 1, dtype=torch.float64)
    propagator = RecordedPropagator(
        system, StepPropagator, start, torch.eye(2, dtype=torch.float64)[None], inputs[:, 0]
    )
    propagator.follow(propagator.path(inputs), slice(0, 600), [True] * 600)
    assert isinstance(propagator._now, ProgramPropagator)
    state, tangents = propagator.state, propagator.current_tangents()
    if what == "values":
        late["is"] = True
    else:
        monkeypatch.setattr(recorded, "CHECKED_EVERY", 500)
        monkeypatch.setattr(recorded, "_moved", lambda system, states, x, tangents: 2 * tangents)
    path = propagator.path(inputs)
    assert isinstance(propagator._now, StepPropagator)
    plain = StepPropagator(system, state, tangents)
    for found, expected in zip(
        propagator.follow(path, slice(0, 5), [True] * 5), plain.follow(inputs, slice(0, 5), [True] * 5), strict=True
    ):
        assert torch.equal(found, expected)


def _own(step: Callable[[Tensor, Tensor], Tensor]) -> Any:
    from lyapunov_pkg.systems.states import StateLayout
    from lyapunov_pkg.systems.steps import Order, OwnStep

    return OwnStep(step, Order.STATE_FIRST, StateLayout(torch.zeros(1, 2, dtype=torch.float64)))


@pytest.mark.parametrize("system", [rossler, Flow(lambda state: torch.stack((state[:, 1], -state[:, 0]), -1), 0.1)])
def test_a_program_of_one_trajectory_needs_no_forward_mode(
    system: Any, ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is traced once, and its derivatives are compared in reverse mode, because forward mode is slow."""
    n_traces = []
    program_of = tracing.program_of
    monkeypatch.setattr(tracing, "program_of", lambda *arguments: n_traces.append(1) or program_of(*arguments))
    monkeypatch.setattr(torch.func, "jvp", None)
    arguments: dict[str, Any] = {"n_steps": 30, "initial_state": torch.ones(1, 3 if system is rossler else 2).double()}
    first = lyapunov_spectrum(system, **arguments)
    assert (ways, len(n_traces)) == (["ProgramPropagator"], 1)
    assert lyapunov_spectrum(system, **arguments).equals(first)
    assert len(n_traces) == 2


def test_flows_that_change_between_calls() -> None:
    """A later call traces the field again."""
    rate = torch.tensor(-0.5, dtype=torch.float64)
    flow = Flow(lambda state: rate * state, 0.01)
    for value in (-0.5, -0.25):
        rate.fill_(value)
        found = lyapunov_spectrum(flow, n_steps=9, initial_state=torch.ones(1, 2, dtype=torch.float64))
        np.testing.assert_allclose(found["lyapunov_exponent"], value, rtol=1e-6)


def test_derivatives_that_are_infinite_but_not_chosen() -> None:
    """Reverse mode gives NaN for them, so that forward mode is used."""
    system = DifferentiatedStep(lambda s, x: torch.where(s > 0, torch.sqrt(s), 0.1 * s))
    states = torch.tensor([[0.0, 1.0], [4.0, 0.0]], dtype=torch.float64)
    tangents = torch.ones(2, 2, 1, dtype=torch.float64)
    found = recorded._moved(system, states, states[:, :0], tangents)
    np.testing.assert_allclose(found[..., 0], [[0.1, 0.5], [0.25, 0.1]])


@pytest.mark.parametrize("k", [1, 3])
def test_reverse_mode_gives_the_same_tangent_vectors(k: int) -> None:
    """The comparison sees the same derivatives in both modes."""
    system = DifferentiatedStep(lambda s, x: torch.tanh(s @ WEIGHTS[:, :6] + x @ INPUT_WEIGHTS[:, :6]))
    generator = torch.Generator().manual_seed(3)
    states, tangents = (torch.randn(*shape, generator=generator).double() for shape in ((5, 6), (5, 6, k)))
    found = recorded._moved(system, states, INPUTS[0, :5], tangents)
    expected = system.push_forward(states, INPUTS[0, :5], tangents)[1]
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def _rossler_field(state: Tensor, a: Tensor, c: float) -> Tensor:
    x, y, z = state.unbind(-1)
    return torch.stack((-y - z, x + a * y, 0.2 + z * (x - c)), dim=-1)


@pytest.mark.parametrize("method", ["rk4", "euler"])
@pytest.mark.parametrize("way", ["ProgramPropagator", "FlowPropagator"])
def test_user_defined_flows(method: str, way: str, ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A field is traced within the integrator.

    A field with different parameters per trajectory runs through PyTorch.
    """
    start = torch.tensor([[1.0, 1.0, 0.0], [2.0, -1.0, 0.1]], dtype=torch.float64)
    a = 0.2 if way == "ProgramPropagator" else torch.tensor([0.2, 0.1], dtype=torch.float64)
    flow = Flow(_rossler_field, 0.05, method, parameters={"a": a, "c": 5.7})
    found, expected = both(lambda: lyapunov_spectrum(flow, n_steps=200, initial_state=start), monkeypatch)
    assert ways[0] == way and ways[-1] == "FlowPropagator"
    np.testing.assert_allclose(found["lyapunov_exponent"], expected["lyapunov_exponent"], atol=1e-9)
    found, expected = both(lambda: finite_time_exponents(flow, n_steps=50, initial_state=start), monkeypatch)
    np.testing.assert_allclose(found["finite_time_exponent"], expected["finite_time_exponent"], atol=1e-8)


def test_trajectories_that_diverge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Infinite states agree with PyTorch, and their exponents are NaN."""

    def step(state: Tensor) -> Tensor:
        return state * state + state

    start = torch.tensor([[2.0, 0.1], [-0.5, -0.1]], dtype=torch.float64)
    found, expected = both(lambda: lyapunov_spectrum(step, n_steps=30, initial_state=start), monkeypatch)
    np.testing.assert_allclose(found["lyapunov_exponent"], expected["lyapunov_exponent"], rtol=1e-9)
    assert np.isnan(found["lyapunov_exponent"][0]).all()


def test_lost_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinate that does not depend on its previous value gives -inf in both results."""

    def step(state: Tensor) -> Tensor:
        return torch.stack((torch.sin(state[:, 0]), 0 * state[:, 1] + state[:, 0]), dim=-1)

    start = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    found, expected = both(lambda: lyapunov_spectrum(step, n_steps=30, initial_state=start), monkeypatch)
    np.testing.assert_allclose(found["lyapunov_exponent"], expected["lyapunov_exponent"], rtol=1e-9)
    assert np.isneginf(found["lyapunov_exponent"][0, 1])


def test_differentiable_exponents_have_a_graph() -> None:
    """PyTorch computes differentiable exponents."""
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    start = torch.ones(1, 1, dtype=torch.float64)
    found = lyapunov_spectrum(lambda state: weight * state, n_steps=4, initial_state=start, differentiable=True)
    found.sum().backward()
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad, 2.0)


@pytest.mark.parametrize("every", [1, 7, "auto"])
@pytest.mark.parametrize(("is_program", "n_steps"), [(True, 5000), (False, 600)])
def test_no_step_of_a_long_run_is_skipped(every, is_program, n_steps):
    """The determinant of every step is -0.3, for programs and through PyTorch. Both runs are longer than two paths."""

    def henon(state, _):
        x, y = state.unbind(-1)
        after = torch.stack((1 - 1.4 * x * x + y, 0.3 * x), -1)
        return after if is_program else after + 0 * torch.cumsum(state, -1)

    start = np.array([0.1, 0.1])
    driven = driven_system(henon, n_steps=n_steps, initial_state=start)
    propagator = make_propagator(driven.system, driven.initial_state, driven.initial_tangents[None], driven.inputs)
    assert isinstance(propagator._now, ProgramPropagator) == is_program
    exponents = average_of(driven, orthonormalize_every=every).exponents
    assert exponents.sum() == pytest.approx(np.log(0.3), abs=1e-9)
    found = lyapunov_spectrum(henon, n_steps=n_steps, initial_state=start, orthonormalize_every=every)
    assert float(found["lyapunov_exponent"].sum()) == pytest.approx(np.log(0.3), abs=1e-9)
