"""Properties of every cell except its derivative, and closed forms of single cells."""

from __future__ import annotations

import math

import pytest
import torch

from lyapunov_pkg.cells import CELLS, make_cell
from lyapunov_pkg.cells.functions import sigmoid_slope, tanh_slope
from lyapunov_pkg.cells.rank_one import closed_loop
from tests.cells.cell_settings import drawn_settings

HIDDEN_SIZE = 4
DRAWN = drawn_settings()


def state_of(cell, seed=0, n_sequences=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_sequences, cell.state_size, dtype=torch.float64, generator=generator)


def zero_params(cell):
    return {name: torch.zeros(shape, dtype=torch.float64) for name, shape in cell.parameter_shapes().items()}


@pytest.mark.parametrize("a", [0.0, 0.3, -2.0, 12.0, -12.0, 30.0])
def test_slopes_keep_relative_accuracy_in_float32(a):
    exact_tanh = 1 / math.cosh(a) ** 2
    exact_sigmoid = 1 / (4 * math.cosh(a / 2) ** 2)
    assert tanh_slope(torch.tensor(a, dtype=torch.float32)).item() == pytest.approx(exact_tanh, rel=1e-5)
    assert sigmoid_slope(torch.tensor(a, dtype=torch.float32)).item() == pytest.approx(exact_sigmoid, rel=1e-5)


@pytest.mark.parametrize("architecture", [name for name in CELLS if name != "rank_one"])
def test_weights_are_uniform_on_minus_p_to_p_without_biases(architecture):
    cell = make_cell(architecture, 30, 40)
    params = cell.draw_params(0.7, torch.Generator().manual_seed(3))
    assert {name: tuple(value.shape) for name, value in params.items()} == cell.parameter_shapes()
    for value in params.values():
        assert value.dtype == torch.float32
        assert value.abs().max() <= 0.7
        assert value.std().item() == pytest.approx(0.7 / math.sqrt(3), rel=0.1)


def test_normal_weights_of_asrnn_follow_the_text():
    cell = make_cell("asrnn", 30, 100, initialisation="normal")
    params = cell.draw_params(4.0, torch.Generator().manual_seed(3))
    assert params["input_weight"].std().item() == pytest.approx(1, rel=0.05)
    assert params["recurrent_weight"].std().item() == pytest.approx(4 / math.sqrt(100), rel=0.05)
    assert params["recurrent_weight"].abs().max() > 3 * 4 / math.sqrt(100)  # No uniform weight is as large as this.
    with pytest.raises(ValueError, match="initialisation of asrnn: got 'Normal', expected one of"):
        make_cell("asrnn", 30, 100, initialisation="Normal")


@pytest.mark.parametrize("architecture", ["lipschitz", "noisy"])
def test_normal_weights_of_lipschitz_rnns_follow_the_released_program(architecture):
    cell = make_cell(architecture, 25, 100, initialisation="normal")
    params = cell.draw_params(8.0, torch.Generator().manual_seed(3))
    assert params["input_weight"].abs().max() <= 1 / 5
    assert params["input_weight"].std().item() == pytest.approx(1 / 5 / math.sqrt(3), rel=0.05)
    assert params["recurrent_weight"].std().item() == pytest.approx(8 / 100, rel=0.05)
    assert params["recurrent_weight"].abs().max() > 3 * 8 / 100  # No uniform weight is as large as this.


def test_lipschitz_rnns_diverge_with_uniform_weights_and_not_with_normal_ones():
    """The inputs are the rows of an image, and p is the largest of the dissertation.

    Networks with normal weights stay bounded even with a time step of 0.1.
    """
    rows = torch.rand(28, 1, 28, generator=torch.Generator().manual_seed(2))
    largest = {}
    for name, dt in (("uniform", 0.03), ("normal", 0.1)):
        cell = make_cell("lipschitz", 28, 64, initialisation=name, dt=dt)
        params = cell.draw_params(20.0, torch.Generator().manual_seed(1))
        state = torch.zeros(1, 64)
        for row in rows:
            state = cell.step(params, state, row)
        largest[name] = state.abs().max().item()
    assert largest["uniform"] > 1e15
    assert largest["normal"] < 10


@pytest.mark.parametrize("setting", DRAWN)
def test_weights_depend_on_the_given_generator_alone(setting):
    """Every initialisation of every cell leaves PyTorch's global random numbers unused."""
    architecture, hyperparameters = DRAWN[setting]
    cell = make_cell(architecture, 3, 12, **hyperparameters)
    draws = []
    for of_all, own in ((1, 5), (2, 5), (2, 6)):
        torch.manual_seed(of_all)
        before = torch.get_rng_state()
        draws.append(cell.draw_params(1.0, torch.Generator().manual_seed(own)))
        assert torch.equal(torch.get_rng_state(), before)
    first, again, other = draws
    assert first.keys() == again.keys() == other.keys()
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_successive_draws_from_one_generator_differ():
    """A second cell drawn from the same generator has other weights, so the layers of a network differ."""
    for architecture, hyperparameters in DRAWN.values():
        cell, generator = make_cell(architecture, 3, 12, **hyperparameters), torch.Generator().manual_seed(5)
        first, second = cell.draw_params(1.0, generator), cell.draw_params(1.0, generator)
        assert all(not torch.equal(first[name], second[name]) for name in first)


def test_rnn_can_start_from_normal_weights_with_a_given_standard_deviation():
    cell = make_cell("rnn", 100, 300, initialisation="normal")
    weights = cell.draw_params(0.005, torch.Generator().manual_seed(5))
    for name in ("input_weight", "recurrent_weight"):
        assert weights[name].std().item() == pytest.approx(0.005, rel=0.02)
        assert abs(weights[name].mean().item()) < 1e-4


def test_rnn_can_start_from_xavier_normal_and_orthogonal_weights():
    size = 300
    draws = {
        name: make_cell("rnn", 100, size, initialisation=name).draw_params(0.9, torch.Generator().manual_seed(5))
        for name in ("xavier_normal", "orthogonal")
    }
    for weights in draws.values():
        assert weights["input_weight"].std().item() == pytest.approx(0.9 * (2 / 400) ** 0.5, rel=0.02)
    normal, orthogonal = (weights["recurrent_weight"] for weights in draws.values())
    assert normal.std().item() == pytest.approx(0.9 / size**0.5, rel=0.02)
    torch.testing.assert_close(orthogonal @ orthogonal.mT, 0.81 * torch.eye(size), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="initialisation of rnn: got 'zero'"):
        make_cell("rnn", 3, 4, initialisation="zero")


def test_lstm_state_is_hidden_then_cell():
    cell = make_cell("lstm", 1, HIDDEN_SIZE)
    state = state_of(cell)
    # With all weights zero, the gates are 1/2 and the candidate is 0: c halves and h = tanh(c) / 2.
    c = state[:, HIDDEN_SIZE:] / 2
    expected = torch.cat([torch.tanh(c) / 2, c], dim=-1)
    torch.testing.assert_close(cell.step(zero_params(cell), state, torch.zeros(3, 1).double()), expected)


def test_cornn_state_is_y_then_z():
    cell = make_cell("cornn", 1, HIDDEN_SIZE, dt=0.1, gamma=2.0, epsilon=3.0)
    state = state_of(cell)
    y, z = state.chunk(2, dim=-1)
    z_next = z + 0.1 * (-2.0 * y - 3.0 * z)
    expected = torch.cat([y + 0.1 * z_next, z_next], dim=-1)
    torch.testing.assert_close(cell.step(zero_params(cell), state, torch.zeros(3, 1).double()), expected)


def test_lem_state_is_y_then_z_and_y_is_updated_with_the_new_z():
    cell = make_cell("lem", 1, HIDDEN_SIZE)
    params, state = zero_params(cell), state_of(cell)
    w_y = torch.randn(HIDDEN_SIZE, HIDDEN_SIZE, dtype=torch.float64)
    params["recurrent_weight"][3 * HIDDEN_SIZE :] = w_y
    y, z = state.chunk(2, dim=-1)
    z_next = z / 2  # Both time steps are sigmoid(0) = 1/2, and z relaxes to tanh(0).
    expected = torch.cat([y / 2 + torch.tanh(z_next @ w_y.T) / 2, z_next], dim=-1)
    torch.testing.assert_close(cell.step(params, state, torch.zeros(3, 1).double()), expected)


@pytest.mark.parametrize(
    ("architecture", "moved"), [("lstm", [0]), ("gru", [0]), ("cornn", [0]), ("lem", [0, 1]), ("rank_one", [0, 1])]
)
def test_the_first_block_is_moved_with_the_blocks_that_it_needs_after_their_update(architecture, moved):
    cell = make_cell(architecture, 3, 4)
    assert cell.blocks_to_move(1) == moved
    assert cell.blocks_to_move(cell.n_states) == list(range(cell.n_states))


def test_rank_one_weights_are_sparse_normal_and_feedback_uniform():
    cell = make_cell("rank_one", 1, 200, density=0.05)
    params = cell.draw_params(1.5, torch.Generator().manual_seed(3))
    connections = params["recurrent_weight"][params["recurrent_weight"] != 0]
    assert len(connections) == 0.05 * 200**2
    assert connections.std().item() == pytest.approx(1.5 / math.sqrt(0.05 * 200), rel=0.05)
    feedback = params["input_weight"]
    assert feedback.shape == (200, 1)
    assert feedback.abs().max() <= 1
    assert feedback.std().item() == pytest.approx(1 / math.sqrt(3), rel=0.1)


def test_rank_one_ignores_the_previous_rate_and_leaks():
    cell = make_cell("rank_one", 1, HIDDEN_SIZE, dt=0.2)
    params, state = zero_params(cell), state_of(cell)
    m = params["recurrent_weight"] = torch.randn(HIDDEN_SIZE, HIDDEN_SIZE, dtype=torch.float64)
    params["input_weight"] = torch.ones(HIDDEN_SIZE, 1, dtype=torch.float64)
    x = state[:, :HIDDEN_SIZE]
    expected = 0.8 * x + 0.2 * (torch.tanh(x) @ m.T + 0.7)
    found = cell.step(params, state, torch.full((3, 1), 0.7).double())
    torch.testing.assert_close(found, torch.cat([expected, torch.tanh(x)], dim=-1))


def test_the_closed_loop_is_the_network_driven_by_its_own_output():
    """The dissertation's Jacobian (1 - dt) I + dt (M + w_f w_o) diag(sech² x) agrees with automatic differentiation."""
    cell = make_cell("rank_one", 1, 12, density=0.5)
    params = {name: value.double() for name, value in cell.draw_params(1.5, torch.Generator().manual_seed(0)).items()}
    readout, state = torch.randn(12, dtype=torch.float64), state_of(cell)[:1]
    closed = closed_loop(params, readout)

    def step(x):
        return cell.step(params, torch.cat([x, x]), (torch.tanh(x) @ readout).reshape(1))[:12]

    x = state[0, :12]
    by_autograd = torch.autograd.functional.jacobian(step, x)
    connections = params["recurrent_weight"] + torch.outer(params["input_weight"][:, 0], readout)
    written = 0.9 * torch.eye(12) + 0.1 * connections / torch.cosh(x).square()
    # The closed loop ignores its inputs.
    assert torch.equal(closed["input_weight"], torch.zeros(12, 1, dtype=torch.float64))
    for value in (0.0, 3.0):
        anything = torch.full((1, 1), value).double()
        torch.testing.assert_close(cell.step(closed, state, anything)[0, :12], step(x))
        torch.testing.assert_close(cell.jacobian(closed, state, anything, jacobian="reduced")[0], by_autograd)
    torch.testing.assert_close(by_autograd, written)


@pytest.mark.parametrize("g", [0.0, -1.0, math.inf, math.nan])
def test_rank_one_refuses_a_gain_out_of_range(g):
    with pytest.raises(ValueError, match=r"as the gain g of rank_one, expected a finite number above 0"):
        make_cell("rank_one", 1, 20).draw_params(g, torch.Generator())


def test_rank_one_refuses_a_density_without_connections():
    with pytest.raises(ValueError, match=r"density: got 0\.1, which leaves none of 2 x 2 connections"):
        make_cell("rank_one", 1, 2).draw_params(1.5, torch.Generator())
    with pytest.raises(ValueError, match="density of rank_one: got 0, expected a finite number above 0 and at most 1"):
        make_cell("rank_one", 1, 20, density=0)


def test_asrnn_without_diffusion_at_rest_has_the_identity_plus_a_skew_matrix_as_jacobian():
    cell = make_cell("asrnn", 1, HIDDEN_SIZE, eps=0.1, gamma=0.0)
    params = {name: value.double() for name, value in cell.draw_params(1.0, torch.Generator().manual_seed(0)).items()}
    jacobian = cell.jacobian(params, torch.zeros(1, HIDDEN_SIZE).double(), torch.zeros(1, 1).double())[0]
    skew = (jacobian - torch.eye(HIDDEN_SIZE)) / 0.1
    torch.testing.assert_close(skew, -skew.mT)
    torch.testing.assert_close(skew, params["recurrent_weight"] - params["recurrent_weight"].mT)


def test_lipschitz_matrices_follow_the_text():
    cell = make_cell("lipschitz", 1, HIDDEN_SIZE, beta_A=0.6, beta_W=0.9, gamma_A=0.2, gamma_W=0.1, alpha=0.5)
    m = torch.randn(2 * HIDDEN_SIZE, HIDDEN_SIZE, dtype=torch.float64)
    m_a, m_w = m.chunk(2)
    identity = torch.eye(HIDDEN_SIZE, dtype=torch.float64)
    a = 0.4 * (m_a + m_a.T) + 0.6 * (m_a - m_a.T) - 0.2 * identity
    w = 0.1 * (m_w + m_w.T) + 0.9 * (m_w - m_w.T) - 0.1 * identity
    torch.testing.assert_close(cell.prepare({"recurrent_weight": m})["recurrent_weight"], torch.cat([0.5 * a, w]))


def test_relu_slope_at_zero_is_one():
    cell = make_cell("rnn", 1, HIDDEN_SIZE, nonlinearity="relu")
    params = {name: torch.randn(shape, dtype=torch.float64) for name, shape in cell.parameter_shapes().items()}
    jacobian = cell.jacobian(params, torch.zeros(1, HIDDEN_SIZE).double(), torch.zeros(1, 1).double())[0]
    torch.testing.assert_close(jacobian, params["recurrent_weight"])


def noisy_step(noise, **hyperparameters):
    cell = make_cell("noisy", 2, HIDDEN_SIZE, **hyperparameters)
    params = {name: value.double() for name, value in cell.draw_params(1.0, torch.Generator().manual_seed(0)).items()}
    state, x = state_of(cell), torch.ones(3, 2, dtype=torch.float64)
    return state, cell.step(params, state, x), cell.advance(cell.prepare(params), state, cell.drive(params, x), noise)


def test_noise_multiplies_the_update_and_adds_to_the_state():
    eta, xi = torch.randn(2, 3, HIDDEN_SIZE, dtype=torch.float64)
    noise = torch.stack([eta, xi], dim=-2)
    state, quiet, noisy = noisy_step(noise, multiplicative_noise=0.3, additive_noise=0.2)
    expected = state + (0.3 * eta + 0.7) * (quiet - state) + 0.2 * xi
    torch.testing.assert_close(noisy, expected)


def test_noise_of_strength_zero_has_no_effect():
    noise = torch.randn(3, 2, HIDDEN_SIZE, dtype=torch.float64)
    _, quiet, noisy = noisy_step(noise, multiplicative_noise=0.0, additive_noise=0.0)
    torch.testing.assert_close(noisy, quiet)


def test_an_unknown_architecture_error_lists_the_known_ones():
    with pytest.raises(
        ValueError, match=r"architecture: got 'transformer'.*rnn, lstm, gru, asrnn, cornn, lipschitz, noisy, lem"
    ):
        make_cell("transformer", 3, 4)


def test_an_unknown_hyperparameter_error_lists_the_known_ones():
    with pytest.raises(ValueError, match="hyperparameters: got 'eps' for cornn, expected one of dt, gamma, epsilon"):
        make_cell("cornn", 3, 4, eps=0.1)
    with pytest.raises(ValueError, match="hyperparameters: got 'dt' for gru, expected none"):
        make_cell("gru", 3, 4, dt=0.1)


@pytest.mark.parametrize("init_param", [-0.1, float("inf")])
def test_init_param_out_of_range_is_refused(init_param):
    with pytest.raises(ValueError, match="init_param: got"):
        make_cell("rnn", 3, 4).draw_params(init_param, torch.Generator())


@pytest.mark.parametrize("kind", ["hidden", True, None])
def test_a_jacobian_is_full_or_reduced(kind):
    cell = make_cell("lstm", 1, HIDDEN_SIZE)
    with pytest.raises(ValueError, match=f"jacobian: got {kind!r}, expected 'full' or 'reduced'"):
        cell.jacobian(zero_params(cell), state_of(cell), torch.zeros(3, 1).double(), jacobian=kind)
