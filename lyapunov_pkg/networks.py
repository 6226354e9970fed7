"""Stacked networks of recurrent layers and a linear readout, and conversion of torch.nn modules.

Symbols: V variants, B sequences, T steps, H hidden units, F input features, k tangent vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lyapunov_pkg.cells import Cell, cell_class, make_cell
from lyapunov_pkg.cells.base import Linearization, Params, is_reduced
from lyapunov_pkg.cells.sequences import run_sequence
from lyapunov_pkg.drawing import draw_mask, draw_normal, draw_params

TORCH_ARCHITECTURES: dict[str, tuple[str, dict[str, float | str]]] = {
    "RNN_TANH": ("rnn", {"nonlinearity": "tanh"}),
    "RNN_RELU": ("rnn", {"nonlinearity": "relu"}),
    "LSTM": ("lstm", {}),
    "GRU": ("gru", {}),
}
"""Architecture of this package, with hyperparameters, for each `mode` of a torch.nn module."""

RecurrentModule: TypeAlias = torch.nn.RNNBase | torch.nn.RNNCell | torch.nn.LSTMCell | torch.nn.GRUCell


@dataclass(frozen=True)
class Network:
    """Layers of a recurrent cell and a linear readout, for V variants at once.

    The input of each layer after the first is the hidden units of the layer before it at the same step. The state of a
    network consists of the states of its layers in order (dissertation, eq. 2.5). Its Jacobian is therefore block lower
    triangular (eq. 2.6, fig. 2.1).

    Attributes:
        cells: the cell of each layer.
        output_size: number of outputs of the readout. 0: there is no readout, and the outputs are the hidden units of
            the last layer.
        params: parameters by name, each with a leading axis of variants: "layer_0.recurrent_weight": (V, rows, columns)
            and so on, "readout.weight": (V, output_size, H), "readout.bias": (V, output_size).
    """

    cells: tuple[Cell, ...]
    output_size: int
    params: Params

    @classmethod
    def initialise(
        cls,
        architecture: str,
        input_size: int,
        hidden_size: int,
        output_size: int,
        init_param: Sequence[float],
        generators: Sequence[torch.Generator],
        n_layers: int = 1,
        **hyperparameters: float | str,
    ) -> Network:
        """Return a network with random parameters for each variant, in float32 on the CPU.

        The parameters of a variant depend only on its generator, not on other variants. The order of the draws is:

        1. for each layer, the cell's parameters in the order of `Cell.parameter_shapes`, uniform on [-p, p]. Biases are
        not drawn;
        2. the weight and the bias of the readout, uniform on [-1/sqrt(H), 1/sqrt(H)], as in torch.nn.Linear.

        Args:
            architecture: a key of `lyapunov_pkg.cells.CELLS`.
            input_size: F.
            hidden_size: H, the same for every layer.
            output_size: number of outputs of the readout, 0 for no readout.
            init_param: p of each variant: its weights are drawn from [-p, p].
            generators: random generator of each variant, on the CPU.
            n_layers: number of layers.
            hyperparameters: hyperparameters of the cell.

        Raises:
            ValueError: the architecture or a hyperparameter is unknown, a size or init_param is out of range, or there
                are not as many init_param as generators.
        """
        if len(init_param) != len(generators) or len(init_param) == 0:
            raise ValueError(
                f"init_param and generators: got {len(init_param)} and {len(generators)} entries, expected one of "
                "each per variant"
            )
        for name, value, lowest in (("n_layers", n_layers, 1), ("output_size", output_size, 0)):
            if value < lowest:
                raise ValueError(f"{name}: got {value}, expected {lowest} or above")
        input_sizes = [input_size] + [hidden_size] * (n_layers - 1)
        cells = tuple(make_cell(architecture, size, hidden_size, **hyperparameters) for size in input_sizes)
        return cls(cells, output_size, draw_params(cells, output_size, init_param, generators))

    @classmethod
    def from_params(cls, architecture: str, params: Params, **hyperparameters: float | str) -> Network:
        """Return the network with given parameters. Sizes and the number of layers follow from their shapes.

        Args:
            architecture: a key of `lyapunov_pkg.cells.CELLS`.
            params: as the attribute `params` of a network, each with the leading axis of variants.
            hyperparameters: hyperparameters of the cell.

        Raises:
            ValueError: the architecture or a hyperparameter is unknown, `params` has no layer, or a weight is missing
                or has the wrong shape.
        """
        n_gates = cell_class(architecture).n_gates
        n_layers = sum(name.endswith(".input_weight") for name in params)
        if n_layers == 0:
            raise ValueError(f"params: got {sorted(params)}, expected 'layer_0.input_weight' and so on")
        cells = []
        for layer in range(n_layers):
            rows, input_size = params[f"layer_{layer}.input_weight"].shape[-2:]
            cells.append(make_cell(architecture, input_size, rows // n_gates, **hyperparameters))
            for name, shape in cells[-1].parameter_shapes().items():
                value = params.get(f"layer_{layer}.{name}")
                found = None if value is None else tuple(value.shape[-2:])
                if found != shape:
                    raise ValueError(
                        f"params: got layer_{layer}.{name} of shape {found}, expected {shape} for {architecture}"
                    )
        output_size = params["readout.weight"].shape[-2] if "readout.weight" in params else 0
        return cls(tuple(cells), output_size, params)

    @property
    def n_variants(self) -> int:
        """Number of variants, V."""
        return self.params["layer_0.input_weight"].shape[0]

    @property
    def input_size(self) -> int:
        """Number of input features, F."""
        return self.cells[0].input_size

    @property
    def hidden_size(self) -> int:
        """Number of hidden units of the last layer, H."""
        return self.cells[-1].hidden_size

    @property
    def state_size(self) -> int:
        """Number of state variables of all layers."""
        return sum(cell.state_size for cell in self.cells)

    @property
    def reduced_size(self) -> int:
        """Number of hidden units of all layers, which is the number of rows of the dissertation's reduced Jacobian."""
        return sum(cell.hidden_size for cell in self.cells)

    @property
    def n_noise(self) -> int:
        """Number of standard normal draws per hidden unit and step in the `noise` of `forward`, over all layers."""
        return sum(cell.n_noise for cell in self.cells)

    def layer_params(self, layer: int) -> Params:
        """Return the parameters of one layer, under the cell's own names."""
        prefix = f"layer_{layer}."
        return {name.removeprefix(prefix): value for name, value in self.params.items() if name.startswith(prefix)}

    def with_params(self, params: Params) -> Network:
        """Return this network with other parameters."""
        return replace(self, params=params)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Network:
        """Return this network on another device or in another dtype; None leaves them as they are."""
        return self.with_params({name: value.to(device=device, dtype=dtype) for name, value in self.params.items()})

    def select(self, indices: Sequence[int] | slice | Tensor) -> Network:
        """Return a network of the selected variants."""
        return self.with_params({name: value[indices] for name, value in self.params.items()})

    def initial_state(self, n_sequences: int) -> Tensor:
        """Return the state (V, B, state_size) of zeros."""
        weight = self.params["layer_0.input_weight"]
        return weight.new_zeros(self.n_variants, n_sequences, self.state_size)

    def initial_tangents(self, jacobian: Literal["full", "reduced"] = "full") -> Tensor:
        """Return the initial tangent vectors (rows, rows) for the computation of all exponents.

        They are the columns of the identity. The last layer's columns come first, then those of the layer before it,
        and so on. The Jacobian is block lower triangular, so that the spans of the last layer's columns, of the last
        two layers' columns, and so on are invariant. Rounding errors of the lower layers' tangent vectors then do not
        disturb the vectors of a layer. In float32 this makes trailing exponents of stacked networks 40 to 1,000 times
        more accurate.

        Args:
            jacobian: "full", or "reduced" for tangent vectors of the hidden units only.
        """
        sizes = [cell.hidden_size if is_reduced(jacobian) else cell.state_size for cell in self.cells]
        weight = self.params["layer_0.input_weight"]
        identity = torch.eye(sum(sizes), dtype=weight.dtype, device=weight.device)
        return torch.cat(torch.split(identity, sizes, dim=-1)[::-1], dim=-1)

    def draw_noise(self, n_sequences: int, n_steps: int, generators: Sequence[torch.Generator]) -> Tensor | None:
        """Return the argument `noise` of `forward` for training. Each variant uses its own generator.

        Returns:
            Standard normal draws (V, B, T, n_noise, H) on the CPU; None for cells without noise.
        """
        if self.n_noise == 0:
            return None
        draws = draw_normal((n_sequences, n_steps, self.n_noise, self.hidden_size), generators)
        return draws.to(self.params["layer_0.input_weight"])

    def draw_dropout(
        self,
        n_sequences: int,
        n_steps: int,
        rates: Sequence[float],
        generators: Sequence[torch.Generator],
        last_only: bool = False,
    ) -> list[Tensor] | None:
        """Return the argument `dropout` of `forward` for training. Each variant uses its own generator.

        Args:
            n_sequences: B.
            n_steps: T.
            rates: share of dropped hidden units for each variant, below 1.
            generators: random generator of each variant, on the CPU.
            last_only: as in `forward`.

        Returns:
            A mask (V, T, B, H) for each layer, or (V, B, H) for the last layer with last_only. An entry is 0 if the
            unit is dropped, otherwise 1 / (1 - rate). None if nothing is dropped.
        """
        if not any(rates):
            return None
        masks = []
        for layer, cell in enumerate(self.cells):
            steps = () if last_only and layer == len(self.cells) - 1 else (n_steps,)
            mask = draw_mask((*steps, n_sequences, cell.hidden_size), rates, generators)
            masks.append(mask.to(self.params["layer_0.input_weight"]))
        return masks

    def forward(
        self,
        inputs: Tensor,
        noise: Tensor | None = None,
        dropout: Sequence[Tensor] | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Return the outputs for whole sequences, starting from the zero state.

        Autograd can differentiate the outputs once with respect to `params` and `inputs`.

        Args:
            inputs: (V, B, T, F), or (B, T, F) for all variants.
            noise: standard normal draws (V, B, T, n_noise, H) of a noisy cell in training; None: no noise.
            dropout: masks from `draw_dropout`. They multiply the hidden units of each layer on the way to the next
                layer or the readout, but not to the next step. None: no dropout.
            last_only: whether to return only the outputs of the last step.

        Returns:
            Outputs (V, B, T, output_size), or (V, B, output_size) with last_only.

        Raises:
            ValueError: inputs have the wrong number of features.
        """
        self._check_features(inputs)
        hidden = inputs.transpose(-3, -2).expand(self.n_variants, -1, -1, -1)  # time first
        draws = [None] * len(self.cells) if noise is None else torch.split(noise, [c.n_noise for c in self.cells], -2)
        for layer, (cell, draw) in enumerate(zip(self.cells, draws, strict=True)):
            last = last_only and layer == len(self.cells) - 1
            hidden = run_sequence(cell, self.layer_params(layer), hidden, draw, last)
            if dropout is not None:
                hidden = hidden * dropout[layer]
        if last_only:
            return self.read_out(hidden)
        outputs = self.read_out(hidden.flatten(-3, -2))
        return torch.unflatten(outputs, -2, hidden.shape[-3:-1]).transpose(-3, -2)

    def step(self, state: Tensor, x: Tensor) -> Tensor:
        """Return the next state (V, B, state_size) under the input x (V, B, F) or (B, F)."""
        self._check_features(x)
        states = []
        for layer, (cell, own) in enumerate(zip(self.cells, self._split_state(state), strict=True)):
            states.append(cell.step(self.layer_params(layer), own, x))
            x = states[-1][..., : cell.hidden_size]
        return torch.cat(states, dim=-1)

    def linearize(self, state: Tensor, x: Tensor) -> tuple[Tensor, list[Linearization]]:
        """Return the next state (V, B, state_size) and the derivative of each layer's step at `state` and `x`.

        The input of a layer is the hidden units of the layer before it, after this step. The derivative of its drive by
        them is its input weight. See `lyapunov_pkg.cells.base.Linearization`.

        Args:
            state: (V, B, state_size).
            x: (V, B, F) or (B, F).

        Raises:
            ValueError: inputs have the wrong number of features.
        """
        self._check_features(x)
        states, linearizations = [], []
        for layer, (cell, own) in enumerate(zip(self.cells, self._split_state(state), strict=True)):
            params = self.layer_params(layer)
            own, linearization = cell.linearize(cell.prepare(params), own, cell.drive(params, x))
            x = own[..., : cell.hidden_size]
            states.append(own)
            linearizations.append(linearization)
        return torch.cat(states, dim=-1), linearizations

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next state, and the Jacobian of all layers times tangent vectors (dissertation, eq. 2.6).

        Args:
            state: (V, B, state_size).
            x: (V, B, F) or (B, F).
            tangents: (V, B, state_size, k), layers in order. Or (V, B, reduced_size, k), tangent vectors of the hidden
                units of all layers, for the dissertation's reduced Jacobian. The result has as many rows.

        Raises:
            ValueError: inputs have the wrong number of features, or tangents the wrong number of rows.
        """
        self._check_features(x)
        rows = self._tangent_rows(tangents)
        states, moved, input_tangents = [], [], None
        parts = zip(self.cells, self._split_state(state), torch.split(tangents, rows, dim=-2), strict=True)
        for layer, (cell, own, own_tangents) in enumerate(parts):
            params = self.layer_params(layer)
            own, own_tangents = cell.push_forward(params, own, x, own_tangents, input_tangents)
            x, input_tangents = own[..., : cell.hidden_size], own_tangents[..., : cell.hidden_size, :]
            states.append(own)
            moved.append(own_tangents)
        if len(states) == 1:
            return states[0], moved[0]
        return torch.cat(states, dim=-1), torch.cat(moved, dim=-2)

    def jacobian(self, state: Tensor, x: Tensor, jacobian: Literal["full", "reduced"] = "full") -> Tensor:
        """Return d state_t / d state_{t-1}: (V, B, state_size, state_size), or (V, B, reduced_size, reduced_size).

        Raises:
            ValueError: inputs have the wrong number of features, or `jacobian` is neither "full" nor "reduced".
        """
        size = self.reduced_size if is_reduced(jacobian) else self.state_size
        identity = torch.eye(size, dtype=state.dtype, device=state.device).expand(*state.shape[:-1], size, size)
        return self.push_forward(state, x, identity)[1]

    def read_out(self, hidden: Tensor) -> Tensor:
        """Return the outputs (V, N, output_size) of hidden units (V, N, H) of the last layer."""
        if self.output_size == 0:
            return hidden
        return hidden @ self.params["readout.weight"].mT + self.params["readout.bias"].unsqueeze(-2)

    def _split_state(self, state: Tensor) -> tuple[Tensor, ...]:
        return torch.split(state, [cell.state_size for cell in self.cells], dim=-1)

    def _tangent_rows(self, tangents: Tensor) -> list[int]:
        """Return the number of rows of the tangents for each layer."""
        if tangents.shape[-2] == self.state_size:
            return [cell.state_size for cell in self.cells]
        if tangents.shape[-2] == self.reduced_size:
            return [cell.hidden_size for cell in self.cells]
        raise ValueError(
            f"tangents: got {tangents.shape[-2]} rows, expected {self.state_size} (full state) or "
            f"{self.reduced_size} (hidden units)"
        )

    def _check_features(self, inputs: Tensor) -> None:
        if inputs.shape[-1] != self.input_size:
            raise ValueError(f"inputs: got {inputs.shape[-1]} features, expected {self.input_size}")


def from_torch(module: RecurrentModule, detach: bool = True, dtype: torch.dtype | None = None) -> Network:
    """Return a recurrent module or cell of torch.nn as a network of one variant without readout.

    The network shares its weights with the module, except those that have to be added or converted. Dropout between
    layers is ignored, as in the module's evaluation mode. Weights have their present values. If a hook computes a
    weight, the value is that of the hook's last call.

    Args:
        module: torch.nn.RNN, LSTM or GRU of any depth, or RNNCell, LSTMCell or GRUCell.
        detach: True detaches the weights from the module's graph. False: gradients flow back to the module's own
            weights.
        dtype: dtype of the network; None: that of the module. Weights are converted before the two biases of a layer
            are added, so that the sums are rounded to this dtype.

    Returns:
        A network. Its inputs are (sequence, time, feature), independent of the module's `batch_first`.

    Raises:
        TypeError: `module` is of another kind.
        ValueError: the module is bidirectional or has proj_size.

    Example:
        >>> network = from_torch(torch.nn.LSTM(3, 8, num_layers=2))
        >>> network.state_size
        32
    """
    if not isinstance(module, RecurrentModule):
        raise TypeError(
            f"module: got {type(module).__name__}, expected torch.nn.RNN, LSTM or GRU, or RNNCell, LSTMCell or GRUCell"
        )
    if getattr(module, "bidirectional", False):
        raise ValueError(
            "module: got a bidirectional module, expected one direction; a Network cannot read future inputs"
        )
    if getattr(module, "proj_size", 0):
        raise ValueError(f"module: got proj_size {module.proj_size}, expected 0; a Network has no projections")
    architecture, hyperparameters = TORCH_ARCHITECTURES[torch_mode(module)]
    cells: list[Cell] = []
    params: Params = {}
    for layer in range(getattr(module, "num_layers", 1)):
        input_size = module.input_size if layer == 0 else module.hidden_size
        cells.append(make_cell(architecture, input_size, module.hidden_size, **hyperparameters))
        suffix = f"_l{layer}" if isinstance(module, torch.nn.RNNBase) else ""
        read = _read_torch_layer(module, suffix, dtype)
        params |= {f"layer_{layer}.{name}": value.unsqueeze(0) for name, value in read.items()}
    if detach:
        params = {name: value.detach() for name, value in params.items()}
    return Network(tuple(cells), 0, params)


def torch_mode(module: RecurrentModule) -> str:
    """Return the key of `TORCH_ARCHITECTURES` for a module, or for a cell (that of a module with one layer)."""
    if isinstance(module, torch.nn.RNNBase):
        return module.mode
    if isinstance(module, torch.nn.LSTMCell):
        return "LSTM"
    if isinstance(module, torch.nn.GRUCell):
        return "GRU"
    return f"RNN_{module.nonlinearity.upper()}"


def _read_torch_layer(module: RecurrentModule, suffix: str, dtype: torch.dtype | None) -> Params:
    """Return the weights of one layer. The two biases are separate for GRU and added for the others."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if module.bias else ("weight_ih", "weight_hh")
    weights = {name: getattr(module, name + suffix) for name in names}
    weights = {name: weight if dtype is None else weight.to(dtype) for name, weight in weights.items()}
    params = {"input_weight": weights["weight_ih"], "recurrent_weight": weights["weight_hh"]}
    if not module.bias:
        return params
    bias, recurrent_bias = weights["bias_ih"], weights["bias_hh"]
    if torch_mode(module) == "GRU":
        return params | {"bias": bias, "recurrent_bias": recurrent_bias}
    return params | {"bias": bias + recurrent_bias}
