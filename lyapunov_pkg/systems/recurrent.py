"""Readers of the recurrent modules and cells of torch.nn, as networks if their own forward agrees with these.

Symbols: L layers, B sequences, T steps, F input features, H hidden units, P hidden units after a projection.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lyapunov_pkg.networks import Network, RecurrentModule, from_torch, torch_mode
from lyapunov_pkg.systems.base import INPUT_DIMS, Placement, PreparedSystem, Reader, placed
from lyapunov_pkg.systems.checks import NOT_DETERMINISTIC, agree, check_tangent_map, random_numbers_kept
from lyapunov_pkg.systems.evaluation import FrozenModule, evaluation, reference_weight
from lyapunov_pkg.systems.numbers import Values, read_numbers
from lyapunov_pkg.systems.states import State, is_nesting
from lyapunov_pkg.systems.steps import DifferentiatedStep


def refuse_bidirectional(module: RecurrentModule) -> None:
    """Raise an error if a module also reads its inputs backward.

    Raises:
        ValueError: the module is bidirectional.
    """
    if getattr(module, "bidirectional", False):
        raise ValueError(
            "system: got a bidirectional module, expected one direction; a state that depends on future inputs is "
            "not a map"
        )


@dataclass(frozen=True)
class Rollout:
    """The result of a module's own forward for a few steps.

    Attributes:
        state: (B, S), after the last step; None if it was not returned.
        output: (B, steps, P), hidden units of the last layer; None if it was not returned or has another shape.
    """

    state: Tensor | None
    output: Tensor | None


OWN_TYPES = (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU, torch.nn.RNNCell, torch.nn.LSTMCell, torch.nn.GRUCell)
"""Modules of torch.nn, without subclasses."""


class RecurrentReader(Reader):
    """Reader of a module that takes inputs and states in the form of the module's own forward."""

    def __init__(self, module: RecurrentModule) -> None:
        refuse_bidirectional(module)
        self.module = module
        self.has_cell_state = torch_mode(module) == "LSTM"
        self.n_layers: int = getattr(module, "num_layers", 1)
        self.hidden_size: int = getattr(module, "proj_size", 0) or module.hidden_size
        self.layer_sizes = [self.hidden_size, module.hidden_size] if self.has_cell_state else [self.hidden_size]
        self.state_size = self.n_layers * sum(self.layer_sizes)
        self.is_batched = True

    def input_size(self) -> int:
        """See `Reader.input_size`."""
        return self.module.input_size

    def weights(self) -> Tensor | None:
        """See `Reader.weights`."""
        return reference_weight(self.module)

    def read_state(self, initial_state: State, n_sequences: int | None) -> Tensor | None:
        """Return the user's state as (B, S). It may have the module's own form, or be flat as (S,) or (B, S).

        Raises:
            TypeError: the state is not numeric.
            ValueError: the state has another shape.
        """
        if initial_state is None:
            return None
        n_sequences = 1 if n_sequences is None else n_sequences
        own_shapes = [self.state_shape(size, n_sequences) for size in self.layer_sizes]
        given = {"initial_state": initial_state}
        # Two lists of numbers mean a flat state of two sequences.
        if self.has_cell_state and is_nesting(initial_state) and len(initial_state) == 2:
            given = {f"initial_state[{index}]": part for index, part in enumerate(initial_state)}
        parts = [read_numbers(name, part, self.state_dims()) for name, part in given.items()]
        shapes = [tuple(part.shape) for part in parts]
        if shapes == own_shapes:
            return self.flatten([self.layered(part) for part in parts])
        flat_shape = (n_sequences, self.state_size)
        if shapes in ([flat_shape], [flat_shape[1:]]):
            return parts[0].expand(flat_shape)
        own = f"h and c of {own_shapes[0]} and {own_shapes[1]}" if self.has_cell_state else str(own_shapes[0])
        raise ValueError(
            f"initial_state: got shape {' and '.join(map(str, shapes))}, expected {own}, as the module's own forward "
            f"takes it, or flat {flat_shape} or {flat_shape[1:]}"
        )

    def count_sequences(self, state: State) -> int:
        """See `Reader.count_sequences`."""
        return 1 if state is None else len(state)

    @abstractmethod
    def state_shape(self, size: int, n_sequences: int) -> tuple[int, ...]:
        """Return the shape of h or c of a given size, as the module's own forward takes it."""

    @abstractmethod
    def state_dims(self) -> tuple[str, ...]:
        """Return the names of the dimensions of a labelled state."""

    @abstractmethod
    def layered(self, part: Tensor) -> Tensor:
        """Return h or c as (L, B, size)."""

    @abstractmethod
    def run(self, call: Callable[..., Any], inputs: Tensor, state: Tensor | None) -> Rollout:
        """Run the module's own forward over inputs (B, steps, F) from a flat state (B, S); None: its own state."""

    @abstractmethod
    def is_one_step(self, call: Callable[..., Any], inputs: Tensor, state: Tensor) -> bool:
        """Return whether the forward takes only one step, so that its result is that of the first input alone."""

    def flatten(self, parts: list[Tensor]) -> Tensor:
        """Return h, or h and c, (L, B, size) as a flat state (B, S): layer after layer, with h before c."""
        return torch.cat([part[layer] for layer in range(self.n_layers) for part in parts], dim=-1)

    def unflatten(self, flat: Tensor) -> list[Tensor]:
        """Return h, or h and c, (L, B, size) of a flat state (B, S)."""
        blocks = torch.split(flat, self.layer_sizes * self.n_layers, dim=-1)
        n_parts = len(self.layer_sizes)
        return [torch.stack(blocks[part::n_parts]) for part in range(n_parts)]

    def prepare(self, state: Tensor | None, inputs: Tensor, placement: Placement) -> PreparedSystem:
        """Return the module as a network if possible, otherwise its own forward with automatic differentiation.

        Raises:
            ValueError: the module's own forward fails, or is not a repeated step of its state.
        """
        flat = placed(inputs.new_zeros(len(inputs), self.state_size) if state is None else state, placement)
        with random_numbers_kept(flat.device):
            network = self._own_network(inputs.detach(), flat.detach(), state is not None, placement.differentiable)
        if network is not None:
            if placement.dtype != next(iter(network.params.values())).dtype:
                network = self._network_in(placement.dtype, placement.differentiable)
            network = network.to(device=placement.device)
            return PreparedSystem(network, flat[None], drops_variant=True)
        module = FrozenModule(self.module, placement.dtype, placement.device, placement.differentiable)
        system = DifferentiatedStep(lambda state, x: self._state_after(module, x.unsqueeze(1), state))
        check_tangent_map(system, flat.detach(), inputs.detach())
        return PreparedSystem(system, flat)

    def _own_network(self, inputs: Tensor, start: Tensor, is_given: bool, differentiable: bool) -> Network | None:
        """Return the network that agrees with the module's own forward for two steps.

        Args:
            inputs: (B, T, F).
            start: (B, S).
            is_given: whether the user gave the state; otherwise the module runs without one.
            differentiable: whether gradients flow to the module's parameters.

        Returns:
            The network; None if there is none but the module can take steps through its own forward.

        Raises:
            ValueError: the module is neither a network nor a repeated step.
        """
        reference = self.weights()
        # For torch.nn's own modules a few sequences suffice.
        n_tried = 4 if type(self.module) in OWN_TYPES else len(inputs)
        probe = inputs[:n_tried, :2].to(inputs if reference is None else reference)
        start = start[:n_tried].to(probe)
        frozen = FrozenModule(self.module, differentiable=differentiable)
        network, found = self._read(frozen, probe[:, :1], start if is_given else None, differentiable)
        probes = [(probe, start), _random_probe(probe, start)]
        with torch.no_grad():
            if network is not None and found is not None and _does(network, found, probe[:, :1], start):
                takes_state, found = self._tried(frozen, *probes[1])
                if _does(network, found, probes[1][0], probes[1][1] if takes_state else start):
                    return network
            self._refuse_random_numbers(frozen, *probes[1])
            if not is_given and found is not None:
                self._refuse_own_start(frozen, probe, start)
            self._refuse_other_than_steps(frozen, probes)
        return None

    def _state_after(self, call: Callable[..., Any], inputs: Tensor, state: Tensor | None) -> Tensor:
        """Run the module's own forward and return its last state.

        Raises:
            ValueError: the forward fails, or does not return a state.
        """
        try:
            after = self.run(call, inputs, state).state
        except Exception as error:
            raise ValueError(
                f"system: the own forward of this {type(self.module).__name__} failed: {error}; expected "
                "forward(x, state) as in torch.nn"
            ) from error
        if after is None:
            raise ValueError(
                f"system: the own forward of this {type(self.module).__name__} returned no state, expected "
                "(output, state) as in torch.nn; or give a function step(state, x)"
            )
        return after

    def _read(
        self, frozen: FrozenModule, probe: Tensor, start: Tensor | None, differentiable: bool
    ) -> tuple[Network | None, Rollout | None]:
        """Run the module once, so that its hooks make its weights, and read them.

        Returns:
            The network, or None if the module is none. And the result of the forward from its own state or from
            `start`, or None if it failed.
        """
        with torch.set_grad_enabled(differentiable), evaluation(self.module):
            try:
                rollout = self.run(frozen.call_in_evaluation, probe, start)
            except Exception:
                rollout = None
            try:
                network = None if getattr(self.module, "proj_size", 0) else from_torch(self.module, not differentiable)
            except AttributeError:  # One of torch.nn's own weights is missing.
                network = None
        if network is not None:
            bad = [name for name, weights in network.params.items() if not torch.isfinite(weights).all()]
            if bad:
                raise ValueError(f"system: got NaN or infinite weights in {bad}, expected finite weights")
        return network, rollout

    def _network_in(self, dtype: torch.dtype, differentiable: bool) -> Network:
        """Return the module as a network in another dtype, after its hooks have computed its weights."""
        with torch.set_grad_enabled(differentiable), evaluation(self.module):
            return from_torch(self.module, not differentiable, dtype)

    def _tried(self, call: Callable[..., Any], probe: Tensor, state: Tensor) -> tuple[bool, Rollout]:
        """Return whether the forward takes a state, and its result (from that state if it takes one)."""
        try:
            return True, self.run(call, probe, state)
        except Exception:
            try:
                return False, self.run(call, probe, None)
            except Exception:
                return False, Rollout(None, None)

    def _refuse_random_numbers(self, frozen: FrozenModule, probe: Tensor, state: Tensor) -> None:
        if not agree(self._state_after(frozen, probe, state), self._state_after(frozen, probe, state)):
            raise ValueError(f"system: the own forward of this {type(self.module).__name__} {NOT_DETERMINISTIC}")

    def _refuse_own_start(self, frozen: FrozenModule, probe: Tensor, zeros: Tensor) -> None:
        """Raise an error if no state is given and the module starts from another state than zeros."""
        own, from_zeros = self._state_after(frozen, probe, None), self._state_after(frozen, probe, zeros)
        if not _close(own, from_zeros, 500 * torch.finfo(probe.dtype).eps):
            raise ValueError(
                "initial_state: got None, but the module has its own initial state, which is not zero; expected "
                "this state"
            )

    def _refuse_other_than_steps(self, frozen: FrozenModule, probes: list[tuple[Tensor, Tensor]]) -> None:
        """Raise an error if the forward of several steps differs from single steps in sequence."""
        for probe, state in probes:
            whole = self._state_after(frozen, probe, state)
            if probe.shape[1] == 1 or self.is_one_step(frozen, probe, state):
                continue
            first = self._state_after(frozen, probe[:, :1], state)
            second = self._state_after(frozen, probe[:, 1:], first)
            if not _close(second, whole, 1e-3 if probe.dtype != torch.float64 else 1e-8):
                raise ValueError(
                    f"system: got {type(self.module).__name__}, whose result for two steps differs from two single "
                    "steps (a hook or its own forward changes whole sequences), expected a recurrent step; give a "
                    "function step(state, x)"
                )


def _does(network: Network, found: Rollout, probe: Tensor, state: Tensor) -> bool:
    """Return whether a module's own forward agreed with the network, up to rounding errors."""
    own, is_state = (found.state, True) if found.state is not None else (found.output, False)
    if own is None:
        return False
    eps = torch.finfo(probe.dtype).eps
    tolerance = min(500 * eps, 0.05)
    same = _network_rollout(network, probe, state, is_state)
    if own.shape != same.shape:
        return False
    if _close(own, same, tolerance):
        return True
    # The second step may amplify the rounding errors of the first. A float32 run shows by how much.
    single, double = (
        _network_rollout(network.to(dtype=dtype), probe.to(dtype), state.to(dtype), is_state)
        for dtype in (torch.float32, torch.float64)
    )
    amplified = (single.double() - double).abs().max().item() * eps / torch.finfo(torch.float32).eps
    return _close(own, double, tolerance, 200 * amplified)


def _close(found: Tensor, expected: Tensor, relative: float, absolute: float = 0.0) -> bool:
    """Return whether two tensors agree. Entries that are not finite must be in the same places."""
    finite = torch.isfinite(expected)
    if not torch.equal(torch.isfinite(found), finite):
        return False
    found, expected = found[finite], expected[finite]
    if found.numel() == 0:
        return True
    return bool((found - expected).abs().max() <= relative * (1 + expected.abs().max()) + absolute)


def _random_probe(probe: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return random inputs and a random state, the same in every call, on which every weight acts."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(probe.shape, generator=generator, dtype=torch.float64) - 0.5
    start = torch.rand(state.shape, generator=generator, dtype=torch.float64) - 0.5
    return x.to(probe), start.to(state)


def _network_rollout(network: Network, inputs: Tensor, state: Tensor, is_state: bool) -> Tensor:
    """Return the last state (B, S) of a network of one variant, or its hidden units (B, steps, H) at every step."""
    current, along = state[None], []
    for x in inputs.unbind(1):
        current = network.step(current, x)
        first_of_last = network.state_size - network.cells[-1].state_size
        along.append(current[0, :, first_of_last : first_of_last + network.hidden_size])
    return current[0] if is_state else torch.stack(along, dim=1)


class SequenceReader(RecurrentReader):
    """Reader of torch.nn.RNN, LSTM or GRU, and of their subclasses."""

    module: torch.nn.RNNBase

    def read_inputs(self, inputs: Values) -> Tensor:
        """Return inputs (sequence, time, feature) from inputs in the form of the module's own forward."""
        tensor = read_numbers("inputs", inputs, INPUT_DIMS)
        names = getattr(inputs, "dims", None)
        batch_first = self.module.batch_first or names is not None
        axes = "sequence, time, feature" if batch_first else "time, sequence, feature"
        if tensor.ndim not in (2, 3) or 0 in tensor.shape[:-1] or (names and not {"time", "feature"} <= set(names)):
            raise ValueError(
                f"inputs: got shape {tuple(tensor.shape)}, expected ({axes}), as the module's own forward takes it "
                f"with batch_first={self.module.batch_first}, or (time, feature) of one sequence; none empty"
            )
        self.is_batched = tensor.ndim == 3
        if not self.is_batched:
            tensor = tensor[None]
        elif not batch_first:
            tensor = tensor.transpose(0, 1)
        return self.check_features(tensor)

    def state_shape(self, size: int, n_sequences: int) -> tuple[int, ...]:
        """See `RecurrentReader.state_shape`."""
        return (self.n_layers, n_sequences, size) if self.is_batched else (self.n_layers, size)

    def state_dims(self) -> tuple[str, ...]:
        """See `RecurrentReader.state_dims`."""
        return ("layer", "sequence", "unit")

    def layered(self, part: Tensor) -> Tensor:
        """See `RecurrentReader.layered`."""
        return part if self.is_batched else part.unsqueeze(1)

    def run(self, call: Callable[..., Any], inputs: Tensor, state: Tensor | None) -> Rollout:
        """See `RecurrentReader.run`."""
        n_sequences, n_steps = inputs.shape[:2]
        x = inputs if self.module.batch_first else inputs.transpose(0, 1).contiguous()
        returned = call(x) if state is None else call(x, self._own_form(state))
        output, final = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)
        rows = None
        if isinstance(output, Tensor) and output.ndim == 3:
            rows = output if self.module.batch_first else output.transpose(0, 1)
            rows = rows if rows.shape == (n_sequences, n_steps, self.hidden_size) else None
        candidates = final if isinstance(final, tuple | list) else [final]
        parts = [part for part in candidates if isinstance(part, Tensor)]
        shapes = [self.state_shape_batched(size, n_sequences) for size in self.layer_sizes]
        if len(parts) == len(candidates) and [tuple(part.shape) for part in parts] == shapes:
            return Rollout(self.flatten(parts), rows)
        if final is None and rows is not None and self.n_layers == 1 and not self.has_cell_state:
            return Rollout(rows[:, -1], rows)
        return Rollout(None, rows)

    def state_shape_batched(self, size: int, n_sequences: int) -> tuple[int, ...]:
        """Return the shape of h or c of a batch, also if the user's inputs have no axis of sequences."""
        return (self.n_layers, n_sequences, size)

    def is_one_step(self, call: Callable[..., Any], inputs: Tensor, state: Tensor) -> bool:
        """See `RecurrentReader.is_one_step`."""
        both, first = self.run(call, inputs, state), self.run(call, inputs[:, :1], state)
        if both.state is None or first.state is None:
            return False
        return both.output is None and torch.equal(both.state, first.state)

    def _own_form(self, state: Tensor) -> Tensor | tuple[Tensor, ...]:
        parts = [part.contiguous() for part in self.unflatten(state)]
        return tuple(parts) if self.has_cell_state else parts[0]


class CellReader(RecurrentReader):
    """Reader of torch.nn.RNNCell, LSTMCell or GRUCell, and of their subclasses, which take one step per call."""

    module: torch.nn.RNNCell | torch.nn.LSTMCell | torch.nn.GRUCell

    def read_inputs(self, inputs: Values) -> Tensor:
        """Return inputs as (sequence, time, feature). Inputs (time, feature) are one sequence."""
        tensor = read_numbers("inputs", inputs, INPUT_DIMS)
        names = getattr(inputs, "dims", None)
        if tensor.ndim not in (2, 3) or 0 in tensor.shape[:-1] or (names and not {"time", "feature"} <= set(names)):
            raise ValueError(
                f"inputs: got shape {tuple(tensor.shape)}, expected (sequence, time, feature), or (time, feature) of "
                "one sequence; none empty"
            )
        self.is_batched = tensor.ndim == 3
        return self.check_features(tensor if self.is_batched else tensor[None])

    def state_shape(self, size: int, n_sequences: int) -> tuple[int, ...]:
        """See `RecurrentReader.state_shape`."""
        return (n_sequences, size) if self.is_batched else (size,)

    def state_dims(self) -> tuple[str, ...]:
        """See `RecurrentReader.state_dims`."""
        return ("sequence", "unit")

    def layered(self, part: Tensor) -> Tensor:
        """See `RecurrentReader.layered`."""
        return part[None] if self.is_batched else part[None, None]

    def run(self, call: Callable[..., Any], inputs: Tensor, state: Tensor | None) -> Rollout:
        """See `RecurrentReader.run`."""
        for x in inputs.unbind(1):
            if state is None:
                returned = call(x)
            else:
                parts = [part[0] for part in self.unflatten(state)]
                returned = call(x, tuple(parts) if self.has_cell_state else parts[0])
            after = list(returned) if isinstance(returned, tuple | list) else [returned]
            shapes = [(len(inputs), size) for size in self.layer_sizes]
            if [tuple(part.shape) if isinstance(part, Tensor) else None for part in after] != shapes:
                return Rollout(None, None)
            state = torch.cat(after, dim=-1)
        return Rollout(state, None)

    def is_one_step(self, call: Callable[..., Any], inputs: Tensor, state: Tensor) -> bool:
        """See `RecurrentReader.is_one_step`. A cell always takes one step."""
        return True
