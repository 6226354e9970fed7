"""Conversion of user-defined steps to programs: a step runs once, on tensors that record the operations.

Such a tensor, a `Recorded`, has no numbers that Python could read. A step that needs numbers, in a branch, a loop or a
call of another library, is refused. Every operation that `operations` does not list is also refused.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from lyapunov_pkg.devices import without_autocast
from lyapunov_pkg.linalg.program import Program
from lyapunov_pkg.systems.checks import random_numbers_kept
from lyapunov_pkg.systems.lowering import Lowering, Refused
from lyapunov_pkg.systems.operations import JOINS, RULES, SHAPED, VIEWS, Computed
from lyapunov_pkg.systems.surroundings import surroundings


class Trace:
    """One run of a step.

    Attributes:
        lowering: the writer of the program.
        is_written: whether operations are written. Another run that has the same operations has the same program.
        operations: each operation with its arguments, in a form that can be compared.
        was_refused: whether an operation raised an exception.
    """

    def __init__(self, lowering: Lowering, is_written: bool) -> None:
        self.lowering, self.is_written = lowering, is_written
        self.operations: list[tuple[Any, ...]] = []
        self.was_refused = False


class Recorded(Tensor, Computed):
    """A tensor of numbers that a program will compute.

    Attributes:
        value: the numbers at the point of the trace, which give shape, strides and dtype.
        slots: slots of the numbers, with the shape and the strides of `value`. They are a view if `value` is a view. If
            the trace is not written, they are meaningless.
        run: the run of the step that computed it.
        origin: the index of the operation that computed it, and the index among the results of the operation.
    """

    value: Tensor
    run: Trace
    origin: tuple[int, int]

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, value: Tensor, slots: Tensor, trace: Trace, origin: tuple[int, int]) -> Recorded:
        """Create a tensor without numbers."""
        made: Recorded = Tensor._make_wrapper_subclass(
            cls, value.shape, strides=value.stride(), dtype=value.dtype, device=value.device
        )
        made.value, made.slots, made.run, made.origin = value, slots, trace, origin
        return made

    def __init__(self, value: Tensor, slots: Tensor, trace: Trace, origin: tuple[int, int]) -> None:
        """See `__new__`."""

    @classmethod
    def __torch_dispatch__(  # type: ignore[override] # PyTorch declares it without the function.
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and record it."""
        try:
            return _record(function, args, kwargs or {})
        except Exception:
            # The step may catch the exception and continue in another way.
            _trace_of(args, kwargs or {}).was_refused = True
            raise

    def __repr__(self) -> str:  # type: ignore[override]
        """Raise `Refused`, because there are no numbers to show."""
        raise Refused("a representation of numbers")


def program_of(
    step: Callable[[Tensor, Tensor], Tensor], function: Callable[..., Any], state: Tensor, x: Tensor
) -> Program | None:
    """Return a step as a program; None if it cannot be one.

    The step is traced at two points. The operations and constants must be the same at both points, so that only the
    first trace is written. The step must not change objects that it refers to, and must not print.

    Args:
        step: function from states (sequence, S) and inputs (sequence, F) to the next states.
        function: the user's function, which `step` calls.
        state: (sequence, S); the step is traced at the first.
        x: (sequence, F).
    """
    other = torch.linspace(-1, 1.3, state.shape[-1]).to(state), torch.linspace(0.7, -0.9, x.shape[-1]).to(x)
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), torch.no_grad(), without_autocast(), contextlib.redirect_stdout(printed):
            warnings.simplefilter("ignore")
            before = surroundings(function)
            with random_numbers_kept(state.device):
                _refuse_own_derivatives(step, state[:1], x[:1])
                first, after = _traced(step, state[0], x[0], is_written=True)
                second, other_after = _traced(step, *other, is_written=False)
            is_pure = surroundings(function) == before and not printed.getvalue()
            is_same = first.operations == second.operations and after.origin == other_after.origin
            return first.lowering.program(after.slots.flatten().clone()) if is_pure and is_same else None
    except Exception:  # The step does something that a program cannot do.
        return None


def _refuse_own_derivatives(step: Callable[[Tensor, Tensor], Tensor], state: Tensor, x: Tensor) -> None:
    """Raise `Refused` if a step has user-defined derivatives, which may differ from those of its operations."""
    with torch.enable_grad():
        pending, seen = [step(state.clone().requires_grad_(), x).grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            raise Refused("a torch.autograd.Function")
        seen.add(node)
        pending += [before for before, _ in node.next_functions]


def _traced(
    step: Callable[[Tensor, Tensor], Tensor], state: Tensor, x: Tensor, is_written: bool
) -> tuple[Trace, Recorded]:
    """Return the trace of a step at one state (S,) and input (F,), and the next state.

    Raises:
        Refused: the step cannot be written as a program.
        Exception: the step fails.
    """
    size, n_inputs = len(state), len(x)
    trace = Trace(Lowering(size, n_inputs, state.dtype), is_written)
    slots = torch.arange(size + n_inputs)
    given = Recorded(state[None].clone(), slots[None, :size].clone(), trace, (-1, 0))
    driving = Recorded(x[None].clone(), slots[None, size:].clone(), trace, (-1, 1))
    after = step(given, driving)
    if not isinstance(after, Recorded) or after.shape != given.shape or after.dtype != given.dtype:
        raise Refused("what is returned is not computed from the state")
    if trace.was_refused:
        raise Refused("a part of the step")
    return trace, after


def _record(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    trace = _trace_of(args, kwargs)
    lowering, number = trace.lowering, len(trace.operations)
    operation = function, _comparable(args), _comparable(kwargs)
    name = function._schema.name.removeprefix("aten::")
    in_place = name.endswith("_") and not name.startswith("_")
    if in_place:
        function = _out_of_place(function, name, args)
        name = name.removesuffix("_")
    value = function(*_each(_value, args), **dict(zip(kwargs, _each(_value, kwargs.values()), strict=True)))
    if function in SHAPED:
        return value
    slots = _written(lowering, function, value, args, kwargs) if trace.is_written else value
    # A rule may compose other operations, which are not the step's own.
    trace.operations[number:] = [operation]
    if in_place:
        args[0].value.copy_(value)
        if trace.is_written:
            args[0].slots.copy_(slots)
        return args[0]
    if isinstance(value, tuple | list):
        parts = zip(value, slots, strict=True)
        return type(value)(_wrapped(one, of_one, trace, (number, i)) for i, (one, of_one) in enumerate(parts))
    return _wrapped(value, slots, trace, (number, 0))


def _written(lowering: Lowering, function: Any, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Write an operation, and return the slots of its results."""
    if function in RULES:
        return _laid_out(RULES[function](lowering, *args, **kwargs), value)
    if function not in VIEWS:
        raise Refused(str(function))
    takes_constants = function in JOINS
    if not takes_constants and any(isinstance(leaf, Recorded) for leaf in _leaves((args[1:], kwargs))):
        raise Refused(f"{function} with places that are computed")
    return function(*_each(lambda leaf: _slots(leaf, lowering, takes_constants), args), **kwargs)


def _wrapped(value: Tensor, slots: Tensor, trace: Trace, origin: tuple[int, int]) -> Recorded:
    if value.dtype not in (trace.lowering.dtype, torch.bool):
        raise Refused(f"numbers of {value.dtype}")
    assert value.shape == slots.shape
    return Recorded(value, slots, trace, origin)


def _comparable(argument: Any) -> Any:
    """Return the origin of recorded numbers and the contents of constants, so that `==` compares operations."""
    if isinstance(argument, Recorded):
        return Recorded, argument.origin
    if isinstance(argument, Tensor):
        layout = argument.dtype, argument.device, tuple(argument.shape), argument.stride()
        return (*layout, argument.detach().double().numpy().tobytes())
    if isinstance(argument, dict):
        return [(name, _comparable(value)) for name, value in argument.items()]
    if isinstance(argument, list | tuple):
        return [_comparable(one) for one in argument]
    return type(argument), argument


def _laid_out(slots: Any, value: Any) -> Any:
    """Return slots with the strides of the values, so that views of slots and values have the same entries."""
    if isinstance(value, tuple | list):
        return [_laid_out(of_one, one) for of_one, one in zip(slots, value, strict=True)]
    if slots.shape == value.shape and slots.stride() == value.stride():
        return slots.clone()
    return torch.empty_like(value, dtype=torch.int64).copy_(slots.expand(value.shape))


def _trace_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
    for leaf in args:
        if isinstance(leaf, Recorded):
            return leaf.run
    return next(leaf.run for leaf in _leaves((args, kwargs)) if isinstance(leaf, Recorded))


def _each(function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """Apply a function to all leaves of arguments, of which few have any but themselves."""
    nested = (list, tuple, dict)
    return [tree_map(function, one) if isinstance(one, nested) else function(one) for one in arguments]


def _leaves(tree: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(tree)


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Recorded) else leaf


def _slots(leaf: Any, lowering: Lowering, takes_constants: bool) -> Any:
    if isinstance(leaf, Recorded):
        return leaf.slots
    return lowering.constant(leaf) if takes_constants and isinstance(leaf, Tensor) else leaf


def _out_of_place(function: Any, name: str, args: tuple[Any, ...]) -> Any:
    """Return the operation whose result an in-place operation writes into its first argument."""
    if not isinstance(args[0], Recorded):
        raise Refused(f"{name} of a tensor that was not computed from the state")
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
    overload = function._overloadname
    found = getattr(packet, overload, None) if packet is not None else None
    if found not in RULES or args[0].dtype != args[0].run.lowering.dtype:
        raise Refused(name)
    return found
