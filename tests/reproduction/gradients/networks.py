"""Networks, inputs and gradients by automatic differentiation for the tests of chapter 4."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import cross_entropy

from lyapunov_pkg.networks import Network


def tanh_network(
    n_variants: int = 2,
    hidden_size: int = 7,
    input_size: int = 3,
    n_classes: int = 4,
    init_param: float = 0.8,
    architecture: str = "rnn",
    n_layers: int = 1,
) -> Network:
    """Return random networks in float64, with nonzero biases like those of trained networks."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(n_variants)]
    network = Network.initialise(
        architecture, input_size, hidden_size, n_classes, [init_param] * n_variants, generators, n_layers
    ).to(dtype=torch.float64)
    bias = torch.linspace(-0.3, 0.3, hidden_size, dtype=torch.float64).expand(n_variants, -1)
    return network.with_params(network.params | {"layer_0.bias": bias}) if architecture == "rnn" else network


def task(network: Network, n_sequences: int = 3, n_steps: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs (B, T, F), labels (B,) and initial states (V, B, H)."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(n_sequences, n_steps, network.input_size, generator=generator, dtype=torch.float64)
    labels = torch.randint(network.output_size, (n_sequences,), generator=generator)
    shape = (network.n_variants, n_sequences, network.state_size)
    return inputs, labels, torch.randn(shape, generator=generator, dtype=torch.float64)


def loss_at(network: Network, inputs: Tensor, label: Tensor, state: Tensor, end: int) -> Tensor:
    """Return the cross entropy of one sequence (1, T, F) of one network after `end` single steps, for autograd."""
    for x in inputs[:, :end].unbind(1):
        state = network.step(state, x)
    return cross_entropy(network.read_out(state)[0], label)


def training_store(networks: list[Network], validation_loss: np.ndarray | None = None) -> xr.Dataset:
    """Return a training store with the variants in `networks`, one network for each epoch, and artificial losses."""
    n_variants, n_epochs = networks[0].n_variants, len(networks)
    losses = np.linspace(2, 1, n_variants * n_epochs).reshape(n_variants, n_epochs)
    store = xr.Dataset(
        {
            "validation_loss": (("variant", "epoch"), losses if validation_loss is None else validation_loss),
            "validation_accuracy": (("variant", "epoch"), 1 - losses / 2.5),
            "diverged": ("variant", np.zeros(n_variants, bool)),
            "kept_epoch": (("variant", "kept"), np.tile(np.arange(n_epochs), (n_variants, 1))),
        },
        coords={
            "variant": np.arange(n_variants),
            "epoch": np.arange(n_epochs),
            "architecture": ("variant", ["rnn"] * n_variants),
            "hidden_size": ("variant", [networks[0].hidden_size] * n_variants),
        },
    )
    for name in networks[0].params:
        values = torch.stack([network.params[name] for network in networks], dim=1).numpy()
        axes = [f"{name}.{axis}" for axis in ("row", "column")][: values.ndim - 2]
        store[name] = (("variant", "kept", *axes), values)
    return store
