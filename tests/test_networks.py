from __future__ import annotations

import pytest
import torch
from torch.func import jacfwd, vmap

from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.cells.stepping import move_tangents
from lyapunov_pkg.networks import Network, from_torch

N_VARIANTS, N_SEQUENCES, N_STEPS, INPUT_SIZE, HIDDEN_SIZE, OUTPUT_SIZE = 2, 3, 4, 3, 5, 2
TORCH_MODULES = {
    "rnn tanh": (torch.nn.RNN, {"nonlinearity": "tanh"}),
    "rnn relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (torch.nn.LSTM, {}),
    "gru": (torch.nn.GRU, {}),
}


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def make_network(architecture, n_layers=1, seeds=(1, 2), init_param=(0.8, 1.2), dtype=torch.float64, **hyperparameters):
    network = Network.initialise(
        architecture, INPUT_SIZE, HIDDEN_SIZE, OUTPUT_SIZE, init_param, generators(*seeds), n_layers, **hyperparameters
    )
    return network.to(dtype=dtype)


def random_point(network):
    """Return a state and an input for every variant and sequence."""
    state = torch.randn(N_VARIANTS, N_SEQUENCES, network.state_size, dtype=torch.float64)
    return state, torch.randn(N_VARIANTS, N_SEQUENCES, INPUT_SIZE, dtype=torch.float64)


def differentiate(network, state, x):
    """Return the derivative (V, B, S, S) of `step` by the state, from forward mode."""

    def one(params, state, x):
        alone = network.with_params({name: value[None] for name, value in params.items()})
        return alone.step(state[None, None], x[None, None])[0, 0]

    by_sequence = vmap(jacfwd(one, argnums=1), in_dims=(None, 0, 0))
    return vmap(by_sequence)(network.params, state, x)


def hidden_rows(network):
    """Return the indices of the hidden units in the state of all layers."""
    starts = torch.tensor([0] + [cell.state_size for cell in network.cells]).cumsum(0)[:-1]
    return torch.cat([start + torch.arange(HIDDEN_SIZE) for start in starts])


@pytest.mark.parametrize("architecture", CELLS)
@pytest.mark.parametrize("n_layers", [1, 3])
def test_jacobian_is_the_derivative_of_step(architecture, n_layers):
    network = make_network(architecture, n_layers)
    state, x = random_point(network)
    expected = differentiate(network, state, x)
    torch.testing.assert_close(network.jacobian(state, x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("architecture", CELLS)
@pytest.mark.parametrize("n_layers", [1, 3])
def test_reduced_jacobian_is_the_block_of_the_hidden_units(architecture, n_layers):
    network = make_network(architecture, n_layers)
    state, x = random_point(network)
    rows = hidden_rows(network)
    expected = differentiate(network, state, x)[..., rows, :][..., rows]
    torch.testing.assert_close(network.jacobian(state, x, jacobian="reduced"), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("architecture", CELLS)
def test_jacobian_of_layers_is_block_lower_triangular(architecture):
    network = make_network(architecture, n_layers=3)
    blocks = network.jacobian(*random_point(network), jacobian="reduced").unflatten(-1, (3, -1)).unflatten(-3, (3, -1))
    for row in range(3):
        for column in range(3):
            size = blocks[..., row, :, column, :].abs().max()
            assert (size == 0) == (column > row)


@pytest.mark.parametrize("reduced", [False, True])
def test_push_forward_is_the_jacobian_applied(reduced):
    network = make_network("lstm", n_layers=2)
    state, x = random_point(network)
    jacobian = network.jacobian(state, x, "reduced" if reduced else "full")
    tangents = torch.randn(N_VARIANTS, N_SEQUENCES, jacobian.shape[-1], 2, dtype=torch.float64)
    next_state, moved = network.push_forward(state, x, tangents)
    torch.testing.assert_close(moved, jacobian @ tangents, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(next_state, network.step(state, x), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("architecture", CELLS)
def test_the_linearization_of_layers_propagates_tangents_like_push_forward(architecture):
    network = make_network(architecture, n_layers=2)
    state, x = random_point(network)
    tangents = torch.randn(N_VARIANTS, N_SEQUENCES, network.state_size, 2, dtype=torch.float64)
    expected_state, expected = network.push_forward(state, x, tangents)

    next_state, linearizations = network.linearize(state, x)

    torch.testing.assert_close(next_state, expected_state, rtol=1e-13, atol=1e-13)
    rows = [cell.state_size for cell in network.cells]
    drive_tangents, moved = None, []
    for layer, (cell, own) in enumerate(zip(network.cells, tangents.split(rows, dim=-2), strict=True)):
        params = network.layer_params(layer)
        if layer > 0:
            drive_tangents = params["input_weight"][:, None] @ moved[-1][..., :HIDDEN_SIZE, :]
        moved.append(move_tangents(cell, cell.prepare(params), linearizations[layer], own, drive_tangents))
    torch.testing.assert_close(torch.cat(moved, dim=-2), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("architecture", CELLS)
@pytest.mark.parametrize("n_layers", [1, 2])
def test_forward_agrees_with_repeated_step_and_readout(architecture, n_layers):
    network = make_network(architecture, n_layers)
    inputs = torch.randn(N_VARIANTS, N_SEQUENCES, N_STEPS, INPUT_SIZE, dtype=torch.float64)
    outputs = network.forward(inputs)
    state = network.initial_state(N_SEQUENCES)
    last_hidden = hidden_rows(network)[-HIDDEN_SIZE:]
    for t in range(N_STEPS):
        state = network.step(state, inputs[:, :, t])
        readout = (
            state[..., last_hidden] @ network.params["readout.weight"].mT + network.params["readout.bias"][:, None]
        )
        torch.testing.assert_close(outputs[:, :, t], readout, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(network.forward(inputs, last_only=True), outputs[:, :, -1], rtol=1e-13, atol=1e-13)


def test_inputs_may_be_shared_by_all_variants():
    network = make_network("gru")
    inputs = torch.randn(N_SEQUENCES, N_STEPS, INPUT_SIZE, dtype=torch.float64)
    apart = network.forward(inputs.expand(N_VARIANTS, -1, -1, -1))
    torch.testing.assert_close(network.forward(inputs), apart, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", TORCH_MODULES)
@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_torch_module_and_its_network_give_the_same_outputs(kind, n_layers, bias):
    module_class, options = TORCH_MODULES[kind]
    module = module_class(
        INPUT_SIZE, HIDDEN_SIZE, n_layers, bias=bias, batch_first=True, dtype=torch.float64, **options
    )
    inputs = torch.randn(N_SEQUENCES, 6, INPUT_SIZE, dtype=torch.float64)
    outputs = from_torch(module).forward(inputs)[0]
    torch.testing.assert_close(outputs, module(inputs)[0].detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", TORCH_MODULES)
def test_jacobian_of_a_torch_module_with_biases(kind):
    module_class, options = TORCH_MODULES[kind]
    module = module_class(INPUT_SIZE, HIDDEN_SIZE, 3, dtype=torch.float64, **options)
    network = from_torch(module)
    state = torch.randn(1, N_SEQUENCES, network.state_size, dtype=torch.float64)
    x = torch.randn(1, N_SEQUENCES, INPUT_SIZE, dtype=torch.float64)
    expected = differentiate(network, state, x)
    torch.testing.assert_close(network.jacobian(state, x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("architecture", CELLS)
def test_a_variant_agrees_with_a_network_of_this_variant_alone(architecture):
    seeds, init_param = (7, 8, 9), (0.5, 1.0, 2.0)
    inputs = torch.randn(3, N_SEQUENCES, N_STEPS, INPUT_SIZE, dtype=torch.float64)
    together = make_network(architecture, 2, seeds, init_param)
    outputs = together.forward(inputs)
    for i in range(3):
        alone = make_network(architecture, 2, seeds[i : i + 1], init_param[i : i + 1])
        for name, value in alone.params.items():
            assert torch.equal(value[0], together.params[name][i])
        torch.testing.assert_close(outputs[i], alone.forward(inputs[i])[0], rtol=1e-12, atol=1e-12)


def test_weights_and_readout_are_drawn_from_their_intervals():
    network = Network.initialise("lstm", 20, 64, 10, [3.0], generators(0))
    for name in ("layer_0.input_weight", "layer_0.recurrent_weight"):
        assert 2.9 < network.params[name].abs().max() <= 3.0
    for name in ("readout.weight", "readout.bias"):
        assert network.params[name].abs().max() <= 1 / 8
    assert network.params["readout.weight"].shape == (1, 10, 64)
    assert network.params["readout.bias"].shape == (1, 10)


@pytest.mark.parametrize("architecture", CELLS)
def test_gradients_through_forward_are_finite_and_reach_every_parameter(architecture):
    network = make_network(architecture, 2, dtype=torch.float32)
    params = {name: value.requires_grad_() for name, value in network.params.items()}
    noise = network.draw_noise(N_SEQUENCES, N_STEPS, generators(1, 2))
    inputs = torch.randn(N_VARIANTS, N_SEQUENCES, N_STEPS, INPUT_SIZE)
    network.with_params(params).forward(inputs, noise, last_only=True).square().sum().backward()
    for value in params.values():
        assert torch.isfinite(value.grad).all()
        assert (value.grad != 0).any()


@pytest.mark.parametrize("architecture", ["lstm", "cornn", "lem", "noisy"])
def test_the_gradient_through_forward_agrees_with_finite_differences(architecture):
    network = make_network(architecture)
    names = list(network.params)
    inputs = torch.randn(1, N_STEPS, INPUT_SIZE, dtype=torch.float64)
    noise = network.draw_noise(1, N_STEPS, generators(1, 2))

    def loss(*values):
        params = dict(zip(names, values, strict=True))
        return network.with_params(params).forward(inputs, noise, last_only=True).square().sum()

    values = [network.params[name].requires_grad_() for name in names]
    assert torch.autograd.gradcheck(loss, values, fast_mode=True)


@pytest.mark.parametrize("architecture", CELLS)
@pytest.mark.parametrize("last_only", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_the_gradient_through_layers_agrees_with_autograd_through_steps(architecture, last_only, shared):
    network = make_network(architecture, n_layers=3)
    params = {name: value.requires_grad_() for name, value in network.params.items()}
    inputs = torch.randn(N_VARIANTS, N_SEQUENCES, N_STEPS, INPUT_SIZE, dtype=torch.float64)
    inputs = (inputs[0] if shared else inputs).requires_grad_()
    state, outputs = network.initial_state(N_SEQUENCES), []
    for t in range(N_STEPS):
        state = network.step(state, inputs[..., t, :])
        hidden = state[..., hidden_rows(network)[-HIDDEN_SIZE:]]
        outputs.append(hidden @ params["readout.weight"].mT + params["readout.bias"][:, None])
    expected = outputs[-1] if last_only else torch.stack(outputs, dim=-2)

    actual = network.forward(inputs, last_only=last_only)

    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    differentiated = [*params.values(), inputs]
    by_hand = torch.autograd.grad((weights * actual).sum(), differentiated)
    by_autograd = torch.autograd.grad((weights * expected).sum(), differentiated)
    torch.testing.assert_close(by_hand, by_autograd, rtol=1e-10, atol=1e-10)


def test_each_variant_has_its_own_noise_which_changes_the_outputs():
    network = make_network("noisy", n_layers=2)
    inputs = torch.randn(N_SEQUENCES, N_STEPS, INPUT_SIZE, dtype=torch.float64)
    noise = network.draw_noise(N_SEQUENCES, N_STEPS, generators(1, 2))
    # Each of the two layers has two noise variables.
    assert noise.shape == (N_VARIANTS, N_SEQUENCES, N_STEPS, 4, HIDDEN_SIZE)
    alone = network.select([1]).draw_noise(N_SEQUENCES, N_STEPS, generators(2))
    assert torch.equal(noise[1:], alone)
    assert (network.forward(inputs, noise) != network.forward(inputs)).all()
    assert make_network("lem").draw_noise(N_SEQUENCES, N_STEPS, generators(1, 2)) is None


@pytest.mark.parametrize("architecture", CELLS)
def test_a_network_is_recreated_from_its_parameters(architecture):
    network = make_network(architecture, n_layers=2)
    rebuilt = Network.from_params(architecture, network.params)
    assert rebuilt.cells == network.cells
    assert rebuilt.output_size == OUTPUT_SIZE


def test_parameters_of_another_architecture_are_refused():
    params = make_network("rnn").params
    with pytest.raises(ValueError, match=r"got layer_0.recurrent_weight of shape .*, expected \(5, 10\) for cornn"):
        Network.from_params("cornn", params)
    with pytest.raises(ValueError, match=r"expected 'layer_0\.input_weight'"):
        Network.from_params("rnn", {})


def test_select_keeps_the_requested_variants():
    network = make_network("asrnn", seeds=(1, 2, 3), init_param=(1.0, 1.0, 1.0))
    chosen = network.select([2, 0])
    assert chosen.n_variants == 2
    assert torch.equal(chosen.params["layer_0.input_weight"], network.params["layer_0.input_weight"][[2, 0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "elman"}, "architecture: got 'elman'"),
        ({"input_size": 0}, "input_size of lstm: got 0"),
        ({"hidden_size": -4}, "hidden_size of lstm: got -4"),
        ({"output_size": -1}, "output_size: got -1"),
        ({"n_layers": 0}, "n_layers: got 0"),
        ({"init_param": [0.1]}, "init_param and generators: got 1 and 2 entries"),
        ({"init_param": [0.1, -0.1]}, "init_param: got -0.1"),
        ({"dt": 0.1}, "hyperparameters: got 'dt' for lstm"),
    ],
)
def test_invalid_initialisations_are_refused(changes, message):
    arguments = {"architecture": "lstm", "input_size": 3, "hidden_size": 4, "output_size": 2, "init_param": [0.1, 0.2]}
    with pytest.raises(ValueError, match=message):
        Network.initialise(**(arguments | {"generators": generators(1, 2)} | changes))


def test_inputs_and_tangents_of_the_wrong_width_are_refused():
    network = make_network("lstm")
    state, x = random_point(network)
    with pytest.raises(ValueError, match="inputs: got 4 features, expected 3"):
        network.forward(torch.zeros(N_SEQUENCES, N_STEPS, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="inputs: got 2 features, expected 3"):
        network.step(state, x[..., :2])
    with pytest.raises(ValueError, match=r"tangents: got 7 rows, expected 10 \(full state\) or 5 \(hidden units\)"):
        network.push_forward(state, x, torch.zeros(N_VARIANTS, N_SEQUENCES, 7, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="jacobian: got 'hidden', expected 'full' or 'reduced'"):
        network.jacobian(state, x, jacobian="hidden")


def test_unsupported_torch_modules_are_refused():
    with pytest.raises(ValueError, match="module: got a bidirectional module, expected one direction"):
        from_torch(torch.nn.LSTM(3, 4, bidirectional=True))
    with pytest.raises(ValueError, match="module: got proj_size 2, expected 0"):
        from_torch(torch.nn.LSTM(3, 4, proj_size=2))
    with pytest.raises(TypeError, match=r"module: got Linear, expected torch\.nn\.RNN"):
        from_torch(torch.nn.Linear(3, 4))
