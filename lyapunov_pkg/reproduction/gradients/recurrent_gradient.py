"""Gradient of the loss by the recurrent weights for every possible end of the sequence (chapter 4, ΔV_t)."""

from __future__ import annotations

import torch
import xarray as xr
from torch import Tensor

from lyapunov_pkg.cells.rnn import RNN
from lyapunov_pkg.labels import Label
from lyapunov_pkg.networks import Network
from lyapunov_pkg.reproduction.tasks.supervised import validation_part

WEIGHTS = Label("1", "initial weights: the entry of the study's design")


def random_starts(
    dataset: xr.Dataset, n_states: int, std: float, hidden_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return random initial states, each with a validation sample, for measurements of the gradient.

    Args:
        dataset: the task's data, with one class per sequence. The first validation samples are used.
        n_states: number of states, B.
        std: standard deviation of the units.
        hidden_size: number of hidden units, H.
        generator: random generator of the states.

    Returns:
        Initial states (B, H) and inputs (B, T, F) in float64, labels (B,).

    Raises:
        ValueError: sequences do not have a class each.
    """
    part = validation_part(dataset)
    if f"{part}_label" not in dataset or dataset[f"{part}_label"].dtype.kind == "f":
        raise ValueError("the data have no class for each sequence; expected one, of which the gradient is taken")
    start = std * torch.randn((n_states, hidden_size), generator=generator, dtype=torch.float64)
    inputs, labels = (torch.from_numpy(dataset[name].values[:n_states]) for name in (f"{part}_input", f"{part}_label"))
    return start, inputs.double(), labels


@torch.no_grad()
def recurrent_gradients(
    network: Network, inputs: Tensor, labels: Tensor, initial_state: Tensor | None = None
) -> Tensor:
    """Return the gradient of the cross entropy by the recurrent weights, for each sequence and each possible end.

    With L_s the cross entropy of the outputs o_s = W h_s + b after step s alone (dissertation, eqs. 4.6, 4.7, T = s),

        ΔV_s = sum_{t <= s} diag(φ'(a_t)) δ_t h_{t-1}ᵀ,    δ_s = Wᵀ ∇_{o_s} L_s,    δ_{t-1} = J_tᵀ δ_t,

    where V = recurrent weights, a_t and φ are argument and nonlinearity of eq. 4.5 and J_t = diag(φ'(a_t)) V. One
    backward pass computes the δ of all ends s together, as rows of one matrix.

    Args:
        network: one layer of `rnn` with a readout, for V variants with H hidden units.
        inputs: (B, T, F), the same for all variants.
        labels: (B,), the class of each sequence.
        initial_state: (B, H) or (V, B, H), h_0; None: zero.

    Returns:
        ΔV_s, (V, B, T, H, H), in the dtype of the network: rows are units of h_t, columns units of h_{t-1}. ΔV_s has at
        most s nonzero singular values.

    Raises:
        ValueError: the network has another architecture, several layers, or no readout.
    """
    cell = network.cells[0]
    if len(network.cells) != 1 or not isinstance(cell, RNN) or network.output_size == 0:
        found = " and ".join(each.name for each in network.cells)
        raise ValueError(
            f"network has layers {found} and {network.output_size} outputs; expected one layer of rnn with a readout"
        )
    states, slopes = _linearize_along(network, inputs, initial_state)
    (recurrent_weight,) = cell.pre_activation_weights(cell.prepare(network.layer_params(0)))
    assert recurrent_weight is not None  # an RNN has one
    recurrent_weight = recurrent_weight[:, None]  # the same for all sequences
    at_ends = _output_gradients(network, states[..., 1:, :], labels) @ network.params["readout.weight"][:, None]

    n_steps = inputs.shape[1]
    adjoints = torch.zeros_like(at_ends)  # (V, B, s, H), δ_t of every end s; zero while t > s
    arguments = at_ends.new_zeros(*at_ends.shape[:2], n_steps, n_steps, network.hidden_size)  # (V, B, s, t, H)
    for t in reversed(range(n_steps)):
        adjoints[..., t, :] = at_ends[..., t, :]
        arguments[..., t, :] = slopes[..., t, None, :] * adjoints
        adjoints = arguments[..., t, :] @ recurrent_weight
    return arguments.mT @ states[..., None, :-1, :]


def participation_ratio(singular_values: Tensor) -> Tensor:
    """Return sum s² / (sum s)² along the last axis (chapter 4, appendix B).

    This is the inverse of an effective number of modes: 1 for one mode, 1/n for n equal modes, NaN for none.
    """
    return singular_values.square().sum(-1) / singular_values.sum(-1).square()


def _linearize_along(network: Network, inputs: Tensor, initial_state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return states (V, B, T + 1, H), from h_0 on, and slopes φ'(a_t) (V, B, T, H) along the sequences."""
    state = network.initial_state(len(inputs))
    if initial_state is not None:
        state = initial_state.to(state).expand_as(state)
    states, slopes = [state], []
    for x in inputs.unbind(1):
        state, (linearization,) = network.linearize(state, x)
        states.append(state)
        slopes.append(linearization.slopes[0, 0])
    return torch.stack(states, dim=-2), torch.stack(slopes, dim=-2)


def _output_gradients(network: Network, hidden: Tensor, labels: Tensor) -> Tensor:
    """Return ∇_o L (V, B, T, classes) at hidden units (V, B, T, H): softmax(o), minus 1 at the label."""
    outputs = network.read_out(hidden.flatten(1, 2)).unflatten(1, hidden.shape[1:3])
    return outputs.softmax(-1) - torch.nn.functional.one_hot(labels, outputs.shape[-1])[:, None].to(outputs)
