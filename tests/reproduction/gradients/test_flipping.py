from __future__ import annotations

import torch

from lyapunov_pkg.reproduction.gradients.flipping import descending, flip, input_gradients, share_among_first
from tests.reproduction.gradients.networks import loss_at, tanh_network, task


def test_flips_follow_algorithm_3():
    inputs = torch.tensor([[0.0, 0.25, 1.0, 0.0], [0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)[..., None]
    places = torch.tensor([[[0, 1], [0, 3]], [[2, 3], [1, 2]]])
    expected = [[[1, 0, 1, 0], [0, 0, 0, 1]], [[0, 0.25, 0, 1], [0.5, 1, 1, 0]]]
    assert flip(inputs, places)[..., 0].tolist() == expected
    assert inputs[0, 0, 0] == 0  # The original images are unchanged.


def test_order_is_descending_and_ties_are_random():
    scores = torch.tensor([[0.0, 2, 0, 1, 0, 0]]).repeat(200, 1)
    order = descending(scores, torch.Generator().manual_seed(0))
    assert (order[:, 0] == 1).all() and (order[:, 1] == 3).all()
    assert (order.sort().values == torch.arange(6)).all()
    third = order[:, 2].bincount(minlength=6)
    assert (third[[0, 2, 4, 5]] > 30).all()


def test_fraction_of_flips_in_the_first_steps():
    assert share_among_first(torch.tensor([[1, 0, 2, 3], [3, 1, 0, 2]]), 2) == 0.75


def test_input_gradients_agree_with_autograd_over_single_steps():
    network = tanh_network(1, input_size=1)
    inputs, labels, _ = task(network)
    start = network.initial_state(1)
    for sequence, found in enumerate(input_gradients(network, inputs, labels)):
        own = inputs[sequence, None].clone().requires_grad_()
        loss = loss_at(network, own, labels[sequence, None], start, inputs.shape[1])
        torch.testing.assert_close(found, torch.autograd.grad(loss, own)[0][0, :, 0], rtol=0, atol=1e-12)


def test_only_the_generator_breaks_ties():
    orders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        orders.append(descending(torch.zeros(3, 40), torch.Generator().manual_seed(5)))
    assert torch.equal(*orders)
