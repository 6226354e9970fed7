"""Flows agree with values of the literature, closed forms and independent integrators."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lyapunov_pkg import covariant_vectors, finite_time_exponents, kaplan_yorke_dimension, lyapunov_spectrum
from lyapunov_pkg.systems import DampedOscillator, Flow, HenonHeiles, Lorenz, Lorenz96, Rossler

FLOWS = [Rossler(), Lorenz96(6), DampedOscillator(), HenonHeiles()]


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lorenz_field(state: Tensor, rho: Tensor) -> Tensor:
    x, y, z = state.unbind(-1)
    return torch.stack((10 * (y - x), x * (rho - z) - y, x * y - 8 / 3 * z), dim=-1)


def lorenz(rho: object = 28.0, **settings: object) -> Flow:
    return Flow(lorenz_field, 0.01, parameters={"rho": rho}, initial_state=[1.0, 1.0, 1.0], **settings)


class TestTheMap:
    @pytest.mark.parametrize("flow", FLOWS)
    def test_steps_agree_with_scipy(self, flow):
        integrate = pytest.importorskip("scipy.integrate")
        start = flow.initial_state(1)[0] + 0.1 * random(flow.state_size)

        def field(_, state: np.ndarray) -> np.ndarray:
            parameters = {name: value.double() for name, value in flow.parameters.items()}
            return flow.field(torch.from_numpy(state)[None], **parameters)[0].numpy()

        exact = integrate.solve_ivp(field, (0, flow.step_size), start.numpy(), rtol=1e-12, atol=1e-13).y[:, -1]
        np.testing.assert_allclose(flow.step(start[None])[0], exact, atol=1e-4)

    @pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
    def test_the_order_of_the_methods(self, method, order):
        def after(n_steps: int) -> Tensor:
            flow = Flow(lorenz_field, 0.5 / n_steps, method, parameters={"rho": 28.0})
            state = torch.tensor([[1.0, 2.0, 20.0]], dtype=torch.float64)
            for _ in range(n_steps):
                state = flow.step(state)
            return state

        errors = [(after(n) - _exact()).norm() for n in (200, 400)]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)

    @pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
    @pytest.mark.parametrize("k", [1, 3])
    def test_tangent_vectors_are_propagated_by_the_derivative_of_the_step(self, method, k):
        flow, states, tangents = lorenz(method=method), 5 * random(4, 3), random(4, 3, k)
        after, moved = flow.push_forward(states, None, tangents)
        torch.testing.assert_close(after, flow.step(states), rtol=0, atol=0)
        for index, state in enumerate(states):
            jacobian = torch.autograd.functional.jacobian(lambda point: flow.step(point[None])[0], state)
            torch.testing.assert_close(moved[index], jacobian @ tangents[index], rtol=0, atol=1e-12)

    def test_large_systems_propagate_few_vectors_by_the_same_derivative(self):
        flow, states = Lorenz96(40), 8 + random(2, 40)
        tangents = random(2, 40, 2)
        _, moved = flow.push_forward(states, None, tangents)
        jacobians = flow.jacobians(states[None], torch.zeros(1, 2, 0))[0]
        torch.testing.assert_close(moved, jacobians @ tangents, rtol=0, atol=1e-11)

    def test_single_steps_and_blocks_of_steps_agree(self):
        settings = {"n_steps": 60, "warmup": 7}
        spectrum = lyapunov_spectrum(lorenz(), **settings)["lyapunov_exponent"]
        local = finite_time_exponents(lorenz(), **settings)["finite_time_exponent"].mean("time")
        np.testing.assert_allclose(np.sort(local)[:, ::-1], spectrum, atol=1e-10)

    def test_exponents_agree_with_the_closed_form_of_lorenz(self):
        found = lyapunov_spectrum(lorenz(), duration=5.0)
        expected = lyapunov_spectrum(Lorenz(), duration=5.0)
        np.testing.assert_allclose(found["lyapunov_exponent"], expected["lyapunov_exponent"], atol=1e-8)
        assert found["lyapunov_exponent"].attrs == expected["lyapunov_exponent"].attrs

    def test_inputs_are_constant_during_a_step(self):
        """The solution of dx/dt = -x + u is known exactly."""
        flow = Flow(lambda state, u: u - state, 0.1, input_size=1)
        inputs, states = random(2, 30, 1), random(2, 1)
        spectrum = lyapunov_spectrum(flow, inputs, initial_state=states)
        np.testing.assert_allclose(spectrum["lyapunov_exponent"], -1.0, atol=1e-5)
        expected = states
        for u in inputs.unbind(1):
            expected = u + (expected - u) * math.exp(-0.1)
        np.testing.assert_allclose(spectrum["final_state"], expected, atol=1e-6)

    def test_each_trajectory_has_its_own_parameters(self):
        rho = torch.tensor([28.0, 14.0, 0.5])
        together = lyapunov_spectrum(lorenz(rho), n_steps=200, initial_state=np.ones((3, 3)))["lyapunov_exponent"]
        for index, value in enumerate(rho.tolist()):
            alone = lyapunov_spectrum(lorenz(value), n_steps=200)["lyapunov_exponent"]
            np.testing.assert_allclose(together[index], alone[0], atol=1e-8)

    def test_gradients_flow_to_parameters(self):
        gamma = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
        flow = DampedOscillator(gamma=gamma, step_size=0.01)
        lyapunov_spectrum(flow, n_steps=50, differentiable=True).sum().backward()
        assert gamma.grad.item() == pytest.approx(-2.0, abs=1e-4)


def _exact() -> Tensor:
    flow, state = Flow(lorenz_field, 1 / 2048, parameters={"rho": 28.0}), torch.tensor([[1.0, 2.0, 20.0]]).double()
    for _ in range(1024):
        state = flow.step(state)
    return state


class TestKnownExponents:
    def test_rossler(self):
        """The exponents are 0.0714, 0 and -5.3943 (Sprott 2003)."""
        # The starts cover all phases. The flow rotates uniformly, so an incomplete rotation would otherwise affect all
        # trajectories in the same way.
        phases = torch.linspace(0, 2 * math.pi, 41, dtype=torch.float64)[:40]
        starts = torch.stack((5 * phases.cos(), 5 * phases.sin(), 0 * phases), dim=-1)
        settings = {"duration": 160.0, "warmup": 1200, "orthonormalize_every": 4, "initial_state": starts}
        spectrum = lyapunov_spectrum(Rossler(), **settings)["lyapunov_exponent"]
        mean = spectrum.mean("sequence").values
        for found, expected, tolerance in zip(mean, (0.0714, 0.0, -5.3943), (0.006, 0.004, 0.06), strict=True):
            assert found == pytest.approx(expected, abs=tolerance)
        assert spectrum.attrs["units"] == "nat/time unit"
        assert kaplan_yorke_dimension(mean) == pytest.approx(2.013, abs=0.002)

    def test_lorenz_96(self):
        """The largest exponent is 1.67 to 1.69, 13 are positive, and the dimension is 27.1.

        The sources are Lorenz and Emanuel (1998) and Karimi and Paul (2010).
        """
        flow = Lorenz96()
        starts = flow.initial_state(8) + 0.1 * random(8, 40)
        settings = {"duration": 60.0, "warmup": 400, "orthonormalize_every": 2, "initial_state": starts}
        spectrum = lyapunov_spectrum(flow, **settings)["lyapunov_exponent"]
        mean = spectrum.mean("sequence").values
        assert mean[0] == pytest.approx(1.68, abs=0.06)
        np.testing.assert_allclose(spectrum.sum("exponent"), -40.0, atol=0.05)
        assert abs(np.count_nonzero(mean > 0.03) - 13) <= 1
        assert kaplan_yorke_dimension(mean) == pytest.approx(27.1, abs=0.4)

    @pytest.mark.parametrize(("omega", "gamma"), [(1.0, 0.1), (2.0, 0.3), (1.0, 1.5)])
    def test_the_damped_oscillator(self, omega, gamma):
        flow = DampedOscillator(omega, gamma)
        root = math.sqrt(max(gamma**2 - omega**2, 0.0))
        spectrum = lyapunov_spectrum(flow, duration=80.0, warmup=400)["lyapunov_exponent"][0]
        np.testing.assert_allclose(spectrum.sum(), -2 * gamma, atol=1e-4)
        # Tangent vectors grow and shrink within a rotation, and the effect on the average decreases as 1 / duration.
        np.testing.assert_allclose(spectrum, [-gamma + root, -gamma - root], atol=0.02)

    def test_henon_heiles_is_symmetric_in_time(self):
        flow = HenonHeiles(step_size=0.1)
        spectrum = lyapunov_spectrum(flow, duration=300.0, orthonormalize_every=4)["lyapunov_exponent"][0]
        np.testing.assert_allclose(spectrum.sum(), 0.0, atol=1e-4)
        np.testing.assert_allclose(spectrum + spectrum.values[::-1], 0.0, atol=0.02)
        assert spectrum[0] > 0.03 and abs(spectrum[1]) < 0.02

    def test_henon_heiles_conserves_energy(self):
        def energy(state: np.ndarray) -> np.ndarray:
            x, y, p_x, p_y = np.moveaxis(state, -1, 0)
            return (p_x**2 + p_y**2 + x**2 + y**2) / 2 + x**2 * y - y**3 / 3

        end = lyapunov_spectrum(HenonHeiles(), duration=50.0, n_exponents=1)["final_state"].values
        assert energy(end)[0] == pytest.approx(energy(HenonHeiles().initial_state(1).numpy())[0], abs=1e-5)

    def test_the_flow_direction_is_a_covariant_vector(self):
        """The velocity is propagated by the Jacobians, and on average it neither grows nor shrinks."""
        flow = lorenz()
        states = [torch.tensor([[1.0, 1.0, 1.0]]).double()]
        for _ in range(1500):
            states.append(flow.step(states[-1]))
        # The closed form takes the same steps and is faster here.
        vectors = covariant_vectors(Lorenz(), n_steps=1500, warmup=700, backward_warmup=700)["covariant_vector"][0]
        steps = np.rint(vectors["time"].values / 0.01).astype(int)
        velocity = lorenz_field(torch.cat(states)[steps], torch.tensor(28.0)).numpy()
        velocity /= np.linalg.norm(velocity, axis=-1, keepdims=True)
        cosine = np.abs((vectors.sel(exponent=2).values * velocity).sum(-1))
        assert np.quantile(cosine, 0.1) > 1 - 1e-3


class TestTime:
    def test_times_of_a_flow_are_in_time_units(self):
        local = finite_time_exponents(lorenz(), duration=0.2, orthonormalize_every=5)
        np.testing.assert_allclose(local["time"], [0.05, 0.1, 0.15, 0.2])
        np.testing.assert_allclose(local["interval"], 0.05)
        assert local["time"].attrs["units"] == "time unit"
        assert local["finite_time_exponent"].attrs["units"] == "nat/time unit"
        steps = finite_time_exponents(lorenz(), n_steps=20, orthonormalize_every=5)
        np.testing.assert_array_equal(steps["finite_time_exponent"], local["finite_time_exponent"])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"duration": 0.001}, "duration: got 0.001, expected a number of time units, at least 0.01"),
            ({"duration": math.inf}, "duration: got inf"),
            ({"duration": 1.0, "n_steps": 5}, "got n_steps and duration, expected one of them"),
            ({}, "inputs: got None, expected inputs, or n_steps of an autonomous system"),
        ],
    )
    def test_the_length_of_a_run_must_be_given_exactly_once(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            lyapunov_spectrum(lorenz(), **arguments)

    def test_maps_have_no_duration(self):
        with pytest.raises(ValueError, match=r"duration: got 1\.0 for a system that is not a flow"):
            lyapunov_spectrum(lambda state: state, duration=1.0)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"field": 3}, TypeError, "field: got int, expected a function"),
            ({"step_size": 0.0}, ValueError, "step_size: got 0.0, expected more than 0 time units"),
            ({"method": "rk45"}, ValueError, "method: got 'rk45', expected one of"),
        ],
    )
    def test_arguments(self, arguments, error, message):
        with pytest.raises(error, match=message):
            Flow(**({"field": lorenz_field, "step_size": 0.1} | arguments))

    def test_a_field_of_another_shape(self):
        with pytest.raises(ValueError, match=r"field: got a result of shape \(1, 2\) for a state of shape \(1, 3\)"):
            Flow(lambda state: state[..., :2], 0.1).step(torch.ones(1, 3))

    def test_a_field_that_branches_on_values(self):
        def field(state: Tensor) -> Tensor:
            return state if state.sum() > 0 else -state

        with pytest.raises(ValueError, match="field: got a function that cannot be differentiated"):
            Flow(field, 0.1).push_forward(torch.ones(1, 3), None, torch.eye(3)[None])

    def test_lorenz_96_needs_four_sites(self):
        with pytest.raises(ValueError, match="n: got 3 sites"):
            Lorenz96(3)
