"""Untrained networks of chapter 2: the Jacobian of a layered network, and the regimes of a recurrent network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.labels import EXPONENT, LYAPUNOV_EXPONENT, TIME, Label, describe
from lyapunov_pkg.networks import Network
from lyapunov_pkg.spectra.averaging import average_of
from lyapunov_pkg.spectra.driven import driven_system
from lyapunov_pkg.systems.maps import orthogonal_map

JACOBIAN_DESCRIPTIONS = {
    "jacobian": Label("1", "derivative of a hidden unit by a hidden unit one step before"),
    "layer": Label("1", "layer of the unit"),
    "previous_layer": Label("1", "layer of the unit one step before"),
}


def layered_jacobian(
    architecture: str, n_layers: int, hidden_size: int, init_param: float, n_steps: int, seed: int
) -> xr.Dataset:
    """Return the Jacobian of the hidden units of a layered network (dissertation, eq. 2.6 and fig. 2.1).

    Args:
        architecture: a key of `lyapunov_pkg.cells.CELLS`.
        n_layers: number of layers.
        hidden_size: number of hidden units of each layer, and of input features.
        init_param: weights are uniform on [-p, p].
        n_steps: number of steps under standard normal inputs from the zero state. The Jacobian is that of the last
            step.
        seed: seed of weights and inputs.

    Returns:
        Dataset with `jacobian(unit, previous_unit)`, the derivative of each unit at a step by each unit a step before,
        and the coordinates `layer(unit)` and `previous_layer(previous_unit)`, both counted from 1.
    """
    generator = torch.Generator().manual_seed(seed)
    network = Network.initialise(architecture, hidden_size, hidden_size, 0, [init_param], [generator], n_layers)
    state = network.initial_state(1)
    inputs = torch.randn(n_steps, 1, hidden_size, generator=generator)
    for x in inputs[:-1]:
        state = network.step(state, x)
    jacobian = network.jacobian(state, inputs[-1], jacobian="reduced")[0, 0]
    layer = np.repeat(np.arange(1, n_layers + 1), hidden_size)
    dataset = xr.Dataset(
        {"jacobian": (("unit", "previous_unit"), jacobian)},
        coords={"layer": ("unit", layer), "previous_layer": ("previous_unit", layer)},
    )
    return describe(dataset, JACOBIAN_DESCRIPTIONS)


@torch.no_grad()
def stability_regimes(
    gains: Mapping[str, float],
    hidden_size: int,
    input_variance: float,
    initial_variance: float,
    n_inputs: int,
    n_initial_states: int,
    warmup: int,
    n_steps: int,
    seed: int,
) -> xr.Dataset:
    """Return exponents of a tanh RNN h_t = tanh(g Q h_{t-1} + x_t) that is stable, marginal or chaotic (fig. 2.3).

    Q is one random orthogonal matrix, so that the systems differ only in their gain g. The mean square of the recurrent
    weights is g^2 / hidden_size. All systems have the same inputs and initial states.

    Args:
        gains: {name of the regime: g}.
        hidden_size: number of hidden units, and of input features.
        input_variance: variance of the Gaussian inputs, which are independent in time.
        initial_variance: variance of the Gaussian initial states.
        n_inputs: number of realisations of the inputs.
        n_initial_states: number of initial states for each realisation.
        warmup: number of steps before exponents are measured.
        n_steps: number of measured steps.
        seed: seed of all random numbers.

    Returns:
        Dataset with `lyapunov_exponent(regime, input, initial_state, exponent)` in nats per step, decreasing, and
        `activation(regime, input, initial_state, time)`, the first hidden unit from time 0 on; coordinates `regime`
        and its `gain`.
    """
    generator = torch.Generator().manual_seed(seed)
    orthogonal = orthogonal_map(hidden_size, generator).matrix
    network = _driven_by_identity(torch.tensor(list(gains.values()), dtype=torch.float64), orthogonal)
    shape = (n_inputs, 1, warmup + n_steps, hidden_size)
    inputs = input_variance**0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    states = torch.randn(1, n_initial_states, hidden_size, generator=generator, dtype=torch.float64)
    inputs = inputs.expand(-1, n_initial_states, -1, -1).flatten(0, 1)  # sequences: input by input, state by state
    states = (initial_variance**0.5 * states).expand(n_inputs, -1, -1).flatten(0, 1)
    spectra = average_of(driven_system(network, inputs, initial_state=states), warmup=warmup).exponents.numpy()
    activation = _first_unit(network, inputs, states)
    of_sequence = (len(gains), n_inputs, n_initial_states, -1)
    dims = ("regime", "input", "initial_state")
    dataset = xr.Dataset(
        {
            "lyapunov_exponent": ((*dims, "exponent"), spectra.reshape(of_sequence)),
            "activation": ((*dims, "time"), activation.reshape(of_sequence)),
        },
        coords={
            "regime": list(gains),
            "gain": ("regime", list(gains.values())),
            "exponent": np.arange(1, hidden_size + 1),
            "time": np.arange(activation.shape[-1]),
        },
    )
    return describe(dataset, REGIME_DESCRIPTIONS)


REGIME_DESCRIPTIONS = {
    "lyapunov_exponent": LYAPUNOV_EXPONENT.of("under one input from one initial state"),
    "activation": Label("1", "activation of the first hidden unit"),
    "regime": Label("1", "regime that the gain was chosen for"),
    "gain": Label("1", "factor of the orthogonal recurrent weights"),
    "exponent": EXPONENT,
    "time": TIME,
}


def _driven_by_identity(gains: Tensor, orthogonal: Tensor) -> Network:
    """Return a tanh RNN for each gain (V,), with recurrent weights g times `orthogonal` (H, H) and input weights I."""
    recurrent = gains[:, None, None] * orthogonal
    identity = torch.eye(len(orthogonal), dtype=torch.float64).expand_as(recurrent)
    return Network.from_params("rnn", {"layer_0.input_weight": identity, "layer_0.recurrent_weight": recurrent})


def _first_unit(network: Network, inputs: Tensor, states: Tensor) -> Tensor:
    """Return the activation (V, B, T + 1) of the first unit from initial states (B, H), under inputs (B, T, F)."""
    states = states.expand(network.n_variants, -1, -1)
    activations = [states[..., 0]]
    for x in inputs.unbind(1):
        states = network.step(states, x)
        activations.append(states[..., 0])
    return torch.stack(activations, dim=-1)
