"""Torch modules of one's own: steps (x, state) -> state, and whole models with recurrent modules in them."""

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
"""Cells of torch.nn, which take one step a call."""

EXPECTED = (
    "torch.nn.RNN, LSTM or GRU, or their cells, a Network of lyapunov_pkg, a module (x, state) -> state, "
    "an object with push_forward(state, x, tangents), or a function step(state, x) -> state"
)
"""What exponents can be taken of, in words."""


def unwrapped(system: Any) -> Any:
    """Return what was wrapped: the module of a bound method, of a compiled or of a parallel module.

    Raises:
        TypeError: a class, or a scripted module, which cannot be unwrapped.
    """
    if isinstance(system, type):
        raise TypeError(f"system: got the class {system.__name__}, expected an instance: {system.__name__}(...)")
    if isinstance(system, torch.jit.ScriptModule):
        raise TypeError(
            f"system: got a scripted {getattr(system, 'original_name', 'module')}, expected the module that was "
            "scripted; load its weights with load_state_dict"
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
    """Return the recurrent modules and cells of torch.nn in a module, by their names in it."""
    return {
        name: part for name, part in module.named_modules() if isinstance(part, (torch.nn.RNNBase, *CELLS)) and name
    }


def _hint(module: torch.nn.Module) -> str:
    """Return how to take the exponents of the recurrent submodules of a model."""
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
    """A module of one's own that is a step: (x, state) -> state or (output, state); or state -> state."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def weights(self) -> Tensor | None:
        """See `Reader.weights`."""
        return reference_weight(self.module)

    def refuse_missing_state(self, initial_state: State, autonomous: bool) -> None:
        """See `Reader.refuse_missing_state`.

        Raises:
            TypeError: there is no state, and the module is none that takes one.
            ValueError: there is no state.
        """
        if initial_state is not None:
            return
        order = argument_order(self.module.forward, Order.INPUT_FIRST, autonomous)
        if order is Order.STATE_ALONE or recurrent_submodules(self.module):
            raise TypeError(f"system: got {type(self.module).__name__}, expected {EXPECTED}{_hint(self.module)}")
        raise ValueError(
            "initial_state: got None, expected (sequence, S) or tensors (sequence, ...) of any nesting, because a "
            f"module of one's own does not define one; its forward is called as {order.value}"
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
            TypeError: the module returns no state.
            ValueError: it fails as a step, or cannot be differentiated.
        """
        refuse_bad_weights(self.module)
        layout, flat = StateLayout.of(state, len(inputs))
        flat = placed(flat, placement)
        order = argument_order(self.module.forward, Order.INPUT_FIRST, inputs.shape[-1] == 0)
        frozen = FrozenModule(self.module, placement.dtype, placement.device, placement.differentiable)
        try:
            refuse_unseen_inputs(order, inputs)
            return checked_step(OwnStep(frozen, order, layout, may_return_output=True), flat, inputs)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error}{_hint(self.module)}") from error


@torch.no_grad()
def submodule_inputs(
    model: torch.nn.Module, name: str, *model_inputs: Any, return_state: bool = False, **model_arguments: Any
) -> Any:
    """Run a model in evaluation mode and return the inputs of one of its recurrent submodules.

    The model keeps its mode, parameters, buffers and attributes, and PyTorch its random numbers.

    Args:
        model: the model.
        name: of the submodule, as in `model.named_modules()`.
        model_inputs: what the model is called with.
        return_state: return the state that the submodule was given as well, for `initial_state`.
        model_arguments: keyword arguments of the model.

    Returns:
        What the submodule's forward was given, ready for `lyapunov_spectrum(submodule, ...)`. Of a submodule that was
        called several times, each call going on from the state that the last one returned: all inputs, one after the
        other along time; of a cell (sequence, time, feature). With `return_state` a pair: these, and the state of the
        first call, None where it was given none.

    Raises:
        TypeError: `model` is no module, or the submodule is not recurrent or was given a packed sequence.
        ValueError: there is no such submodule, the model does not call it, it calls it on separate sequences, or it
            gives it a state and `return_state` is not set.

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
        raise ValueError(f"name: the model did not call {name!r}, expected one of the submodules that it calls")
    inputs = [call.arguments[0] for call in calls]
    if any(isinstance(value, PackedSequence) for value in inputs):
        raise TypeError(
            f"model_inputs: {name!r} was given a PackedSequence, expected sequences of one length; "
            "call the model with one sequence, or with sequences of one length that it does not pack"
        )
    _refuse_changed_weights(module, name, calls[0])
    states = [call.arguments[1] if len(call.arguments) > 1 else None for call in calls]
    for call, state in zip(calls, states[1:], strict=False):
        carried = call.returned if isinstance(module, CELLS) else call.returned[1]
        if state is None or not _same(carried, state):
            raise ValueError(
                f"name: the model calls {name!r} {len(calls)} times, not each time with the state that it returned "
                "before, expected one trajectory; give the inputs of one of the calls yourself"
            )
    if states[0] is not None and not return_state and any(bool(part.any()) for part in _parts(states[0])):
        raise ValueError(
            f"return_state: got False, but the model gives {name!r} a state; expected True, and that state as "
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
        raise TypeError(f"name: {name!r} is a {type(module).__name__}, expected a recurrent module or cell of torch.nn")
    return module


class _Call(NamedTuple):
    """A call of a submodule: (x,) or (x, state), the weights it computed with, and what it returned."""

    arguments: tuple[Any, ...]
    weights: dict[str, Tensor]
    returned: Any


def _recorded_calls(
    model: torch.nn.Module, module: torch.nn.Module, inputs: tuple[Any, ...], arguments: dict[str, Any]
) -> list[_Call]:
    """Return each call of a submodule while the model runs."""
    calls: list[_Call] = []

    def record(_: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any], returned: Any) -> None:
        given = given + tuple(named[key] for key in ("input", "hx") if key in named)
        # Copies: the model may change a tensor in place later on.
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
    """Return copies of the weights under torch.nn's names, whether they are parameters or made by a hook."""
    n_layers = getattr(module, "num_layers", None)
    suffixes = [""] if n_layers is None else [f"_l{layer}" for layer in range(n_layers)]
    names = [kind + suffix for suffix in suffixes for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    found = {name: getattr(module, name, None) for name in names}
    return {name: weight.detach().clone() for name, weight in found.items() if weight is not None}


def _refuse_changed_weights(module: torch.nn.Module, name: str, call: _Call) -> None:
    """Refuse a submodule to which the model gives weights that it has not when it is called by itself.

    Raises:
        ValueError: that is so.
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
            f"name: the model changes {changed} of {name!r} before it calls it, expected a submodule that computes "
            "with its own weights; give a function step(state, x) that does what the model does"
        )


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _parts(state: Any) -> tuple[Tensor, ...]:
    return tuple(state) if isinstance(state, tuple | list) else (state,)


def _same(first: Any, second: Any) -> bool:
    return all(torch.equal(one, other) for one, other in zip(_parts(first), _parts(second), strict=True))


def _joined(module: torch.nn.Module, inputs: list[Tensor]) -> Tensor:
    """Return the inputs of all calls along time."""
    if isinstance(module, CELLS):
        return torch.stack(inputs, dim=-2)
    is_batch_first = isinstance(module, torch.nn.RNNBase) and module.batch_first and inputs[0].ndim == 3
    return torch.cat(inputs, dim=1 if is_batch_first else 0)
