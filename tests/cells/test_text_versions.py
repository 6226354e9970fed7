"""The Jacobians of the text differ from the derivative as docs/differences.md states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.cells.text_versions import (
    TEXT_VERSIONS,
    asrnn_eq_3_1,
    cornn_appendix,
    gru_appendix,
    lem_appendix,
    lipschitz_appendix,
    random_cell,
)


def point(architecture, **hyperparameters):
    """Return a cell, its weights, a random state (3, S) and a random input (3, F)."""
    cell, params = random_cell(architecture, hidden_size=5)
    cell = replace(cell, **hyperparameters)
    state = torch.randn(3, cell.state_size, dtype=torch.float64)
    return cell, params, state, torch.randn(3, cell.input_size, dtype=torch.float64)


@pytest.mark.parametrize("architecture", TEXT_VERSIONS)
def test_text_is_not_the_derivative(architecture):
    cell, params, state, x = point(architecture)
    derivative = cell.jacobian(params, state, x, jacobian="reduced")
    assert (TEXT_VERSIONS[architecture](cell, params, state, x) - derivative).abs().max() > 1e-4


def test_asrnn_of_eq_3_1_lacks_the_identity_and_the_step():
    cell, params, state, x = point("asrnn", gamma=0.0)
    from_text = torch.eye(5) + cell.eps * asrnn_eq_3_1(cell, params, state, x)
    torch.testing.assert_close(from_text, cell.jacobian(params, state, x))


def test_gru_of_the_appendix_lacks_the_slope_of_the_candidate_in_one_term():
    cell, params, state, x = point("gru")
    u_r, u_z, u_n = params["recurrent_weight"].chunk(3)
    x_r, x_z, x_n = cell.drive(params, x).chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + state @ u_r.mT), torch.sigmoid(x_z + state @ u_z.mT)
    slope = 1 / torch.cosh(x_n + r * (state @ u_n.mT)) ** 2
    surplus = ((1 - z) * (1 - slope) * r)[..., None] * u_n
    torch.testing.assert_close(gru_appendix(cell, params, state, x) - surplus, cell.jacobian(params, state, x))


def test_cornn_of_the_appendix_is_the_transposed_reduced_jacobian():
    cell, params, state, x = point("cornn")
    derivative = cell.jacobian(params, state, x, jacobian="reduced")
    torch.testing.assert_close(cornn_appendix(cell, params, state, x), derivative.mT)


def test_noisy_of_the_appendix_is_transposed_because_its_states_are_rows():
    cell, params, state, x = point("noisy")
    a, w = cell.prepare(params)["recurrent_weight"].chunk(2)
    drive = cell.drive(params, x)
    m_a, m_w = params["recurrent_weight"].chunk(2)
    transposed = params | {"recurrent_weight": torch.cat([m_a.mT, m_w.mT])}
    with_rows = state + cell.dt * (state @ a + torch.tanh(state @ w + drive))
    torch.testing.assert_close(cell.step(transposed, state, x), with_rows)
    slope = 1 / torch.cosh(state @ w + drive) ** 2
    text = torch.eye(5) + cell.dt * (a + w * slope[..., None, :])
    torch.testing.assert_close(text, cell.jacobian(transposed, state, x).mT)


def test_lipschitz_of_the_appendix_is_correct_on_the_diagonal():
    cell, params, state, x = point("lipschitz")
    text, derivative = lipschitz_appendix(cell, params, state, x), cell.jacobian(params, state, x)
    torch.testing.assert_close(text.diagonal(dim1=-2, dim2=-1), derivative.diagonal(dim1=-2, dim2=-1))


def test_lem_of_the_appendix_lacks_the_nonlinearity_of_y():
    # tanh(a) equals a to first order: with small weights of z and u, the two Jacobians agree to second order.
    cell, params, state, x = point("lem")
    params["input_weight"][15:] *= 1e-6
    params["recurrent_weight"][15:] *= 1e-6
    text, derivative = lem_appendix(cell, params, state, x), cell.jacobian(params, state, x, jacobian="reduced")
    torch.testing.assert_close(text, derivative, rtol=1e-9, atol=1e-9)
