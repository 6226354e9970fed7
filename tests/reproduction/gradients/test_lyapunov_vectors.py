"""Eq. 4.14 as it follows from eq. 4.7, and as it is printed in the dissertation (docs/differences.md)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from lyapunov_pkg.reproduction.gradients.lyapunov_vectors import q_vectors
from tests.reproduction.gradients.networks import tanh_network, task

N_STEPS, HIDDEN_SIZE = 12, 12


@pytest.fixture(scope="module")
def trajectory():
    """Return a trajectory and its derivatives.

    They are J_t and Wᵀ ∇_{o_t} L_t at every step, and ∇_{h_t} of the loss summed over all steps, from autograd.
    """
    network = tanh_network(hidden_size=HIDDEN_SIZE, init_param=0.6)
    inputs, labels, start = task(network, n_steps=N_STEPS)
    states, jacobians = [start.requires_grad_()], []
    for x in inputs.unbind(1):
        jacobians.append(network.jacobian(states[-1].detach(), x))
        states.append(network.step(states[-1], x))
    outputs = network.read_out(torch.stack(states[1:], dim=-2).flatten(1, 2)).unflatten(1, (len(inputs), N_STEPS))
    each = labels[:, None].expand(outputs.shape[:-1])
    loss = cross_entropy(outputs.flatten(0, 2), each.flatten(), reduction="sum")
    by_hidden = torch.autograd.grad(loss, states[1:])
    by_outputs = outputs.detach().softmax(-1) - one_hot(each, network.output_size)
    from_outputs = (by_outputs @ network.params["readout.weight"][:, None]).unbind(-2)
    return network, inputs, start.detach(), jacobians, from_outputs, by_hidden


def factors(network, inputs, start, jacobians, convention):
    """Return Q_0 ... Q_T and R_1 ... R_T in a convention, after a check that each Q_t R_t is the moved frame."""
    frames = torch.from_numpy(q_vectors(network, inputs, start, convention)["q"].values).unbind(2)
    frames = [torch.eye(HIDDEN_SIZE, dtype=torch.float64).expand_as(frames[0]), *frames]
    triangles = []
    for step, jacobian in enumerate(jacobians):
        moved = (jacobian if convention == "tangent" else jacobian.mT) @ frames[step]
        triangles.append((frames[step + 1].mT @ moved).triu())
        torch.testing.assert_close(frames[step + 1] @ triangles[-1], moved, rtol=0, atol=1e-12)
    return frames, triangles


def hidden_gradient(frames, triangles, from_outputs, t, transposed):
    """Return the sum over s >= t of Q_s R_s ... R_{t+1} Q_tᵀ, or of its transpose, times Wᵀ ∇_{o_s} L."""
    product = torch.eye(HIDDEN_SIZE, dtype=torch.float64)
    total = from_outputs[t - 1].clone()
    for s in range(t + 1, N_STEPS + 1):
        product = triangles[s - 1] @ product
        moved = frames[s] @ product @ frames[t].mT
        total += ((moved.mT if transposed else moved) @ from_outputs[s - 1][..., None])[..., 0]
    return total


@pytest.mark.parametrize("convention", ["tangent", "dissertation"])
def test_r_values_without_q_are_the_same(trajectory, convention):
    network, inputs, start, *_ = trajectory
    whole = q_vectors(network, inputs, start, convention, 2, n_exponents=3)
    without_q = q_vectors(network, inputs, start, convention, 2, n_exponents=3, return_q=False)
    assert "q" not in without_q
    np.testing.assert_array_equal(without_q["finite_time_exponent"], whole["finite_time_exponent"])


def test_gradient_is_the_corrected_product_of_q_and_r(trajectory):
    *driven, from_outputs, by_hidden = trajectory
    frames, triangles = factors(*driven, "tangent")
    for t in range(1, N_STEPS + 1):
        found = hidden_gradient(frames, triangles, from_outputs, t, transposed=True)
        torch.testing.assert_close(found, by_hidden[t - 1], rtol=0, atol=1e-8)


def test_eq_4_14_multiplies_the_jacobians_in_reverse_order(trajectory):
    *driven, from_outputs, by_hidden = trajectory
    frames, triangles = factors(*driven, "dissertation")
    jacobians = driven[-1]
    errors = []
    for t in range(1, N_STEPS + 1):
        printed = hidden_gradient(frames, triangles, from_outputs, t, transposed=False)
        reverse, product = from_outputs[t - 1].clone(), torch.eye(HIDDEN_SIZE, dtype=torch.float64)
        for s in range(t + 1, N_STEPS + 1):
            product = jacobians[s - 1].mT @ product
            reverse += (product @ from_outputs[s - 1][..., None])[..., 0]
        torch.testing.assert_close(printed, reverse, rtol=0, atol=1e-8)
        size = torch.linalg.vector_norm(by_hidden[t - 1], dim=-1)
        errors.append((torch.linalg.vector_norm(printed - by_hidden[t - 1], dim=-1) / size).mean().item())
    # docs/differences.md states these errors: large far from the end, and zero where one Jacobian is left.
    assert errors[0] == pytest.approx(0.82, abs=0.01)
    assert min(errors[:-2]) > 0.2
    assert max(errors[-2:]) < 1e-12


def test_an_unknown_convention_is_refused(trajectory):
    network, inputs, start = trajectory[:3]
    with pytest.raises(KeyError, match="covariant"):
        q_vectors(network, inputs, start, "covariant")
