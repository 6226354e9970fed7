"""What docs/differences.md says of the text's Jacobians, checked: each differs from the derivative in the way stated there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from text_versions import (
    TEXT_VERSIONS,
    asrnn_eq_3_1,
    cornn_appendix,
    gru_appendix,
    lem_appendix,
    lipschitz_appendix,
    random_cell,
)


def point(architecture, **hyperparameters):
    """A cell, its weights, a random state (3, S) and a random input (3, F)."""
    cell, params = random_cell(architecture, hidden_size=5)
    cell = replace(cell, **hyperparameters)
    state = torch.randn(3, cell.state_size, dtype=torch.float64)
    return cell, params, state, torch.randn(3, cell.input_size, dtype=torch.float64)


@pytest.mark.parametrize("architecture", TEXT_VERSIONS)
def test_text_is_not_the_derivative(architecture):
    cell, params, state, x = point(architecture)
    derivative = cell.jacobian(params, state, x, reduced=True)
    assert (TEXT_VERSIONS[architecture](cell, params, state, x) - derivative).abs().max() > 1e-4


def test_asrnn_of_eq_3_1_lacks_the_identity_and_the_step():
    cell, params, state, x = point("asrnn", gamma=0.0)
    from_text = torch.eye(5) + cell.eps * asrnn_eq_3_1(cell, params, state, x)
    torch.testing.assert_close(from_text, cell.jacobian(params, state, x))


def test_gru_of_the_appendix_is_right_where_the_candidate_is_linear():
    # sech² is 1 where the argument of n is 0: without inputs and with U_n = 0 only its place is lost, with dn/dh = 0.
    cell, params, state, x = point("gru")
    params["recurrent_weight"][10:] = 0
    text, derivative = (f(params, state, 0 * x) for f in (lambda *a: gru_appendix(cell, *a), cell.jacobian))
    torch.testing.assert_close(text, derivative)


def test_cornn_of_the_appendix_is_the_transpose_of_the_reduced_jacobian():
    cell, params, state, x = point("cornn")
    derivative = cell.jacobian(params, state, x, reduced=True)
    torch.testing.assert_close(cornn_appendix(cell, params, state, x), derivative.mT)


def test_lipschitz_of_the_appendix_is_the_transpose_for_transposed_matrices():
    # That is the Jacobian of h A + tanh(h W + ...) with rows, transposed: the form in which Noisy RNN is written.
    cell, params, state, x = point("lipschitz")
    m_a, m_w = params["recurrent_weight"].chunk(2)
    rows = params | {"recurrent_weight": torch.cat([m_a.mT, m_w.mT])}
    a, w = cell.prepare(params)["recurrent_weight"].chunk(2)
    drive = cell.drive(params, x)
    by_rows = state + cell.dt * (state @ a + torch.tanh(state @ w + drive))
    torch.testing.assert_close(cell.step(rows, state, x), by_rows)
    slope = 1 / torch.cosh(state @ w + drive) ** 2
    transposed = torch.eye(5) + cell.dt * (a + w * slope[..., None, :])
    torch.testing.assert_close(cell.jacobian(rows, state, x).mT, transposed)


def test_lipschitz_of_the_appendix_is_right_on_the_diagonal():
    cell, params, state, x = point("lipschitz")
    text, derivative = lipschitz_appendix(cell, params, state, x), cell.jacobian(params, state, x)
    torch.testing.assert_close(text.diagonal(dim1=-2, dim2=-1), derivative.diagonal(dim1=-2, dim2=-1))


def test_lem_of_the_appendix_lacks_the_nonlinearity_of_y():
    # tanh(a) is a to first order: with small weights on z and u the two agree to second order.
    cell, params, state, x = point("lem")
    params["input_weight"][15:] *= 1e-6
    params["recurrent_weight"][15:] *= 1e-6
    text, derivative = lem_appendix(cell, params, state, x), cell.jacobian(params, state, x, reduced=True)
    torch.testing.assert_close(text, derivative, rtol=1e-9, atol=1e-9)
