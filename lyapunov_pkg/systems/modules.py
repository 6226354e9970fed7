"""User-defined torch modules: steps (x, state) -> state, and models that contain recurrent modules."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lyapunov_pkg.systems.base import Placement, PreparedSystem, Reader, placed
from lyapunov_pkg.systems.checks import random_numbers_kept
from lyapunov_pkg.systems.evaluation import FrozenModule, evaluation, reference_weight, refuse_bad_weights
from lyapunov_pkg.systems.numbers import Values
from lyapunov_pkg.systems.states import State, StateLayout, count_sequences, map_leaves, read_state
from lyapunov_pkg.systems.steps import Order, OwnStep, argument_order, checked_step, refuse_unseen_inputs

CELLS = (torch.nn.RNNCell, torch.nn.LSTMCell, torch.nn.GRUCell)
"""Cells of torch.nn, which compute one step per call."""

EXPECTED = (
    "torch.nn.RNN, LSTM or GRU, or their cells, a Network of lyapunov_pkg, a module (x, state) -> state, "
    "an object with push_forward(state, x, tangents), or a function step(state, x) -> state"
)
"""Description of the systems that have exponents, for error messages."""


def unwrapped(system: Any) -> Any:
    """Return the original module of a bound method, a compiled module or a parallel module.

    Raises:
        TypeError: `system` is a class, or a scripted module, which cannot be unwrapped.
    """
    if isinstance(system, type):
        raise TypeError(f"system: got the class {system.__name__}, expected an instance: {system.__name__}(...)")
    if isinstance(system, torch.jit.ScriptModule):
        raise TypeError(
            f"system: got a scripted {getattr(system, 'original_name', 'module')}, expected the original module; "
            "load its weights with load_state_dict"
        )
    module = getattr(system, "__self__", None)
    if isinstance(module, torch.nn.Module) and system in (module.forward, module.__call__):
        return unwrapped(module)
    if isinstance(system, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
        return unwrapped(system.module)
    if isinstance(system, partial) and not system.args and not system.keywords:
        return unwrapped(system.func)
    for attribute in ("_orig_mod", "_torchdynamo_orig_callable"):
        original = getattr(system, attribute, None)
        if callable(original):
            return unwrapped(original)
    return system


def recurrent_submodules(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Return the recurrent modules and cells of torch.nn inside a module, as {name: module}."""
    return {
        name: part for name, part in module.named_modules() if isinstance(part, (torch.nn.RNNBase, *CELLS)) and name
    }


def _hint(module: torch.nn.Module) -> str:
    """Return advice on how to compute the exponents of the recurrent submodules of a model."""
    found = recurrent_submodules(module)
    if not found:
        return ""
    name = next(iter(found))
    path = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split("."))
    listed = ", ".join(f'"{name}" ({type(part).__name__})' for name, part in found.items())
    return (
        f". It is a whole model that contains the recurrent submodules {listed}; take their exponents one by one: "
        f'lyapunov_spectrum(model{path}, submodule_inputs(model, "{name}", *model_inputs))'
    )


class ModuleReader(Reader):
    """Reader of a user-defined module that is a step: (x, state) -> state or (output, state), or state -> state."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def weights(self) -> Tensor | None:
        """See `Reader.weights`."""
        return reference_weight(self.module)

    def refuse_missing_state(self, initial_state: State, autonomous: bool) -> None:
        """See `Reader.refuse_missing_state`.

        Raises:
            TypeError: there is no state, and the module does not take one.
            ValueError: there is no state.
        """
        if initial_state is not None:
            return
        order = argument_order(self.module.forward, Order.INPUT_FIRST, autonomous)
        if order is Order.STATE_ALONE or recurrent_submodules(self.module):
            raise TypeError(f"system: got {type(self.module).__name__}, expected {EXPECTED}{_hint(self.module)}")
        raise ValueError(
            "initial_state: got None, expected (sequence, S) or nested tensors (sequence, ...), because a "
            f"user-defined module has no default state; its forward is called as {order.value}"
        )

    def read_inputs(self, inputs: Values) -> Tensor:
        """See `Reader.read_inputs`."""
        try:
            return super().read_inputs(inputs)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error}{_hint(self.module)}") from error

    def read_state(self, initial_state: State, n_sequences: int | None) -> State:
        """See `Reader.read_state`."""
        return read_state(initial_state)

    def count_sequences(self, state: State) -> int:
        """See `Reader.count_sequences`."""
        return count_sequences(state)

    def prepare(self, state: State, inputs: Tensor, placement: Placement) -> PreparedSystem:
        """See `Reader.prepare`.

        Raises:
            TypeError: the module does not return a state.
            ValueError: the module fails as a step, or cannot be differentiated.
        """
        refuse_bad_weights(self.module)
        layout, flat = StateLayout.of(state, len(inputs))
        flat = placed(flat, placement)
        order = argument_order(self.module.forward, Order.INPUT_FIRST, inputs.shape[-1] == 0)
        frozen = FrozenModule(self.module, placement.dtype, placement.device, placement.differentiable)
        try:
            refuse_unseen_inputs(order, inputs)
            return checked_step(OwnStep(frozen, order, layout, may_return_output=True), flat, inputs, placement)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error}{_hint(self.module)}") from error


@torch.no_grad()
def submodule_inputs(
    model: torch.nn.Module, name: str, *model_inputs: Any, return_state: bool = False, **model_arguments: Any
) -> Any:
    """Run a model in evaluation mode and return the inputs of one of its recurrent submodules.

    The function does not change the model's mode, parameters, buffers and attributes, or PyTorch's random numbers.

    Args:
        model: the model.
        name: name of the submodule, as in `model.named_modules()`.
        model_inputs: positional arguments of the model.
        return_state: also return the state that the submodule received, for `initial_state`.
        model_arguments: keyword arguments of the model.

    Returns:
        The inputs of the submodule's forward, ready for `lyapunov_spectrum(submodule, ...)`. If the submodule was
        called several times, and each call continued from the last returned state, all inputs are joined along time.
        For a cell they are (sequence, time, feature). With `return_state`, a pair of the inputs and the state of the
        first call. The state is None if the submodule received none.

    Raises:
        TypeError: `model` is not a module, or the submodule is not recurrent or received a packed sequence.
        ValueError: there is no such submodule. Or the model does not call the submodule, calls it on separate
            sequences, or passes it a state while `return_state` is False.

    Example:
        >>> class Model(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.embedding, self.lstm = torch.nn.Embedding(10, 3), torch.nn.LSTM(3, 4)
        ...     def forward(self, tokens):
        ...         return self.lstm(self.embedding(tokens))[0]
        >>> submodule_inputs(Model(), "lstm", torch.zeros(7, 2, dtype=torch.long)).shape
        torch.Size([7, 2, 3])
    """
    module = _named(model, name)
    calls = _recorded_calls(model, module, model_inputs, model_arguments)
    if not calls:
        raise ValueError(f"name: got {name!r}, which the model did not call; expected a submodule that it calls")
    inputs = [call.arguments[0] for call in calls]
    if any(isinstance(value, PackedSequence) for value in inputs):
        raise TypeError(
            f"model_inputs: {name!r} received a PackedSequence, expected sequences of equal length; call the model "
            "with one sequence, or with sequences of equal length that it does not pack"
        )
    _refuse_changed_weights(module, name, calls[0])
    states = [call.arguments[1] if len(call.arguments) > 1 else None for call in calls]
    for call, state in zip(calls, states[1:], strict=False):
        carried = call.returned if isinstance(module, CELLS) else call.returned[1]
        if state is None or not _same(carried, state):
            raise ValueError(
                f"name: got {name!r}, which the model calls {len(calls)} times without passing on the returned "
                "state; expected one trajectory; select the inputs of one call yourself"
            )
    if states[0] is not None and not return_state and any(bool(part.any()) for part in _parts(states[0])):
        raise ValueError(
            f"return_state: got False, but the model passes a state to {name!r}; expected True, and this state as "
            "initial_state"
        )
    joined = _joined(module, inputs)
    return (joined, states[0]) if return_state else joined


def _named(model: torch.nn.Module, name: str) -> torch.nn.Module:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, expected a torch.nn.Module")
    modules = dict(model.named_modules())
    if name not in modules:
        raise ValueError(f"name: got {name!r}, expected one of {list(recurrent_submodules(model)) or list(modules)}")
    module = modules[name]
    if not isinstance(module, (torch.nn.RNNBase, *CELLS)):
        raise TypeError(
            f"name: got {name!r}, a {type(module).__name__}; expected a recurrent module or cell of torch.nn"
        )
    return module


class _Call(NamedTuple):
    """A call of a submodule: its arguments (x,) or (x, state), its weights, and its result."""

    arguments: tuple[Any, ...]
    weights: dict[str, Tensor]
    returned: Any


def _recorded_calls(
    model: torch.nn.Module, module: torch.nn.Module, inputs: tuple[Any, ...], arguments: dict[str, Any]
) -> list[_Call]:
    """Return all calls of a submodule while the model runs."""
    calls: list[_Call] = []

    def record(_: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any], returned: Any) -> None:
        given = given + tuple(named[key] for key in ("input", "hx") if key in named)
        # Copies, because the model may later change a tensor in place.
        calls.append(_Call(map_leaves(given, _copied), _weights(module), map_leaves(returned, _copied)))

    frozen = FrozenModule(model)
    handle = module.register_forward_hook(record, with_kwargs=True)
    try:
        weight = reference_weight(model)
        with random_numbers_kept(torch.device("cpu") if weight is None else weight.device):
            frozen(*inputs, **arguments)
    finally:
        handle.remove()
    return calls


def _weights(module: torch.nn.Module) -> dict[str, Tensor]:
    """Return copies of the weights under torch.nn's names, both parameters and weights that hooks compute."""
    n_layers = getattr(module, "num_layers", None)
    suffixes = [""] if n_layers is None else [f"_l{layer}" for layer in range(n_layers)]
    names = [kind + suffix for suffix in suffixes for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    found = {name: getattr(module, name, None) for name in names}
    return {name: weight.detach().clone() for name, weight in found.items() if weight is not None}


def _refuse_changed_weights(module: torch.nn.Module, name: str, call: _Call) -> None:
    """Raise an error if the submodule has other weights inside the model than when called alone.

    Raises:
        ValueError: the weights differ.
    """
    frozen = FrozenModule(module)
    with evaluation(module):
        frozen.call_in_evaluation(*call.arguments)
        alone = _weights(module)
        alone.update({own: frozen.parameters[own].clone() for own in alone if own in frozen.parameters})
    changed = [
        own for own, weight in call.weights.items() if not torch.equal(weight, alone.get(own, weight.new_empty(0)))
    ]
    if changed:
        raise ValueError(
            f"name: got {name!r}, whose {changed} the model changes before each call; expected a submodule that "
            "computes with its own weights; give a function step(state, x) that does the same as the model"
        )


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _parts(state: Any) -> tuple[Tensor, ...]:
    return tuple(state) if isinstance(state, tuple | list) else (state,)


def _same(first: Any, second: Any) -> bool:
    return all(torch.equal(one, other) for one, other in zip(_parts(first), _parts(second), strict=True))


def _joined(module: torch.nn.Module, inputs: list[Tensor]) -> Tensor:
    """Return the inputs of all calls, joined along time."""
    if isinstance(module, CELLS):
        return torch.stack(inputs, dim=-2)
    is_batch_first = isinstance(module, torch.nn.RNNBase) and module.batch_first and inputs[0].ndim == 3
    return torch.cat(inputs, dim=1 if is_batch_first else 0)
