from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.gradients.recurrent_gradient import (
    participation_ratio,
    random_starts,
    recurrent_gradients,
)
from tests.reproduction.gradients.networks import loss_at, tanh_network, task


@pytest.mark.parametrize("from_zero", [False, True])
@pytest.mark.parametrize("init_param", [0.3, 2.0])
def test_the_gradient_at_every_step_agrees_with_autograd(init_param, from_zero):
    network = tanh_network(init_param=init_param)
    inputs, labels, states = task(network)
    gradients = recurrent_gradients(network, inputs, labels, None if from_zero else states)
    assert gradients.shape == (2, 3, 6, 7, 7)
    for variant in range(network.n_variants):
        own = network.select([variant])
        weight = own.params["layer_0.recurrent_weight"].requires_grad_()
        own = own.with_params(own.params | {"layer_0.recurrent_weight": weight})
        for sequence in range(len(inputs)):
            start = states[variant, None, sequence, None] * (0 if from_zero else 1)
            for end in range(1, inputs.shape[1] + 1):
                loss = loss_at(own, inputs[sequence, None], labels[sequence, None], start, end)
                (expected,) = torch.autograd.grad(loss, weight)
                torch.testing.assert_close(gradients[variant, sequence, end - 1], expected[0], rtol=0, atol=1e-10)


def test_rank_is_at_most_the_number_of_steps():
    network = tanh_network(hidden_size=12)
    inputs, labels, states = task(network, n_steps=5)
    singular_values = torch.linalg.svdvals(recurrent_gradients(network, inputs, labels, states))
    for step in range(5):
        assert (singular_values[..., step, step + 1 :] < 1e-12 * singular_values[..., step, :1]).all()


def test_relu_networks_have_the_same_closed_form():
    network = tanh_network(1)
    relu = type(network)((type(network.cells[0])(3, 7, "relu"),), network.output_size, network.params)
    inputs, labels, states = task(relu, n_sequences=1)
    weight = relu.params["layer_0.recurrent_weight"].requires_grad_()
    loss = loss_at(relu, inputs, labels, states, inputs.shape[1])
    (expected,) = torch.autograd.grad(loss, weight)
    torch.testing.assert_close(recurrent_gradients(relu, inputs, labels, states)[0, 0, -1], expected[0])


def test_participation_ratio_counts_modes():
    ratios = participation_ratio(torch.tensor([[3.0, 0, 0, 0], [2, 2, 2, 2], [2, 1, 0, 0], [0, 0, 0, 0]]))
    torch.testing.assert_close(ratios, torch.tensor([1, 1 / 4, 5 / 9, torch.nan]), equal_nan=True)


@pytest.mark.parametrize(("architecture", "n_layers", "n_classes"), [("gru", 1, 4), ("rnn", 2, 4), ("rnn", 1, 0)])
def test_networks_without_this_closed_form_are_refused(architecture, n_layers, n_classes):
    network = tanh_network(architecture=architecture, n_layers=n_layers, n_classes=n_classes)
    with pytest.raises(ValueError, match=r"network has layers .* expected one layer of rnn with a readout"):
        recurrent_gradients(network, torch.zeros(2, 3, 3, dtype=torch.float64), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("part", ["test", "validation"])
def test_random_starts_use_validation_samples_that_have_a_class(part):
    inputs = np.random.default_rng(0).random((4, 5, 2), dtype=np.float32)
    sample = f"{part}_sample"
    dataset = xr.Dataset(
        {f"{part}_input": ((sample, "time", "feature"), inputs), f"{part}_label": (sample, np.array([1, 0, 2, 1]))}
    )
    start, found, labels = random_starts(dataset, 3, 1.0, 6, torch.Generator())
    np.testing.assert_array_equal(found, inputs[:3].astype(float))
    assert start.shape == (3, 6) and labels.tolist() == [1, 0, 2]
    dataset[f"{part}_label"] = dataset[f"{part}_label"].astype(float)
    for without in (dataset, dataset.drop_vars(f"{part}_label")):
        with pytest.raises(ValueError, match="the data have no class for each sequence"):
            random_starts(without, 3, 1.0, 6, torch.Generator())
