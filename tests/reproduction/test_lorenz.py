from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.configuration.systems import LongRun, ShortRun, StepsRun
from lyapunov_pkg.reproduction.lorenz import lorenz_experiment
from lyapunov_pkg.systems import Lorenz, trajectory

SHORT = ShortRun(step_size=0.005, transient=1.0, duration=3.0, orthonormalize_every=4)
LONG = LongRun(step_size=0.02, transient=20.0, duration=50.0, orthonormalize_every=5, n_trajectories=8)
STEPS = StepsRun(
    step_size=0.001,
    transient=0.01,
    duration=4.0,
    orthonormalize_every=1,
    method="euler",
    initial_std=0.01,
    n_trajectories=3,
)


def experiment(short: ShortRun = SHORT, long: LongRun = LONG, seed: int = 3) -> xr.Dataset:
    return lorenz_experiment([28.0, 5.0, 1.0], 10.0, 8 / 3, [1.0, 1.0, 1.0], short, STEPS, long, seed)


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return experiment()


def test_every_variable_has_units_and_exponents_decrease(dataset):
    for variable in dataset.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    for name in ("short_run_exponent", "long_run_exponent"):
        assert dataset[name].attrs["units"] == "nat/time unit"
        assert (np.diff(dataset[name].values) <= 0).all()
        np.testing.assert_allclose(dataset[name].sum("exponent"), -41 / 3, atol=0.01)


def test_the_trajectory_agrees_with_the_system(dataset):
    states = trajectory(Lorenz(28.0, step_size=0.005), torch.ones(3, dtype=torch.float64), 800)
    np.testing.assert_allclose(dataset["trajectory"].sel(rho=28), states[::4], atol=1e-9)
    np.testing.assert_allclose(dataset["time"], np.arange(201) * 0.02)


@pytest.mark.parametrize(("transient", "every"), [(0.0, 7), (0.515, 10)])
def test_times_of_stored_states_are_correct_if_intervals_do_not_divide_the_run(transient, every):
    dataset = experiment(SHORT.replaced(transient=transient, duration=1.0, orthonormalize_every=every))
    steps = np.rint(dataset["time"].values / 0.005).astype(int)
    states = trajectory(Lorenz(28.0, step_size=0.005), torch.ones(3, dtype=torch.float64), steps[-1])
    assert steps[-1] == round((transient + 1.0) / 0.005)
    np.testing.assert_allclose(dataset["trajectory"].sel(rho=28), states[steps], atol=1e-9)


def test_the_short_run_starts_from_unit_vectors_after_the_transient(dataset):
    """The reference is a single QR of the product of all Jacobians, in which rounding hides the last exponent."""
    system = Lorenz(5.0, step_size=0.005)
    product = torch.eye(3, dtype=torch.float64)
    for state in trajectory(system, torch.ones(3, dtype=torch.float64), 799)[200:]:
        product = system.jacobian(state) @ product
    expected = torch.linalg.qr(product).R.diagonal().abs().log().sort(descending=True).values / 3.0
    np.testing.assert_allclose(dataset["short_run_exponent"].sel(rho=5)[:2], expected[:2], atol=1e-6)


def test_the_long_run_converges_to_the_eigenvalues_at_a_stable_fixed_point(dataset):
    assert np.isnan(dataset["fixed_point_exponent"].sel(rho=28)).all()
    np.testing.assert_allclose(dataset["fixed_point_exponent"].sel(rho=1), [0, -8 / 3, -11], atol=1e-12)
    long, known = dataset["long_run_exponent"].sel(rho=5), dataset["fixed_point_exponent"].sel(rho=5)
    np.testing.assert_allclose(long, known, atol=0.01)
    assert dataset["long_run_exponent"].sel(rho=28)[0] == pytest.approx(0.906, abs=0.1)


def test_only_the_long_run_depends_on_the_seed(dataset):
    other = experiment(seed=4)
    xr.testing.assert_identical(experiment(), dataset)
    xr.testing.assert_identical(other["short_run_exponent"], dataset["short_run_exponent"])
    assert (other["long_run_exponent"] != dataset["long_run_exponent"]).any()


def test_exponents_by_euler_steps_have_the_signs_of_the_text_and_use_eulers_jacobians(dataset):
    exponents = dataset["steps_run_exponent"]
    assert exponents.sizes == {"rho": 3, "run": 3, "exponent": 3}
    largest = exponents.isel(exponent=0)
    assert (largest.sel(rho=[28, 5]) > 0).all() and (largest.sel(rho=1) < 0).all()
    np.testing.assert_allclose(exponents.sum("exponent"), -41 / 3, atol=0.1)
    state = 0.01 * torch.randn((3, 3), generator=torch.Generator().manual_seed(3), dtype=torch.float64)[0].numpy()
    q, sums = np.eye(3), np.zeros(3)
    for step in range(4010):
        x, y, z = state
        jacobian = np.array([[-10, 10, 0], [5 - z, -1, -x], [y, x, -8 / 3]])
        velocity = np.array([10 * (y - x), x * (5 - z) - y, x * y - 8 / 3 * z])
        if step >= 10:
            q, r = np.linalg.qr(q + 0.001 * jacobian @ q)
            sums += np.log(np.abs(np.diag(r)))
        state = state + 0.001 * velocity
    np.testing.assert_allclose(exponents.sel(rho=5)[0], np.sort(sums / 4)[::-1], atol=1e-9)
