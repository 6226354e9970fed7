"""User-defined step functions, differentiated automatically."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lyapunov_pkg.systems.base import Placement, PreparedSystem, Reader, placed
from lyapunov_pkg.systems.checks import NOT_DETERMINISTIC, agree, check_tangent_map, kind, random_numbers_kept
from lyapunov_pkg.systems.states import State, StateLayout, count_sequences, described, leaves, map_leaves, read_state
from lyapunov_pkg.systems.traceable import Traceable

INPUT_NAMES = re.compile(r"x|u|xs|us|xt|ut|in|inp|.*inputs?|inputt|drive|stimulus|tokens?|embedding|features?|obs|data")
STATE_NAMES = re.compile(r"s|h|z|hx|hc|hs|ht|st|hprev|hiddens?|.*states?|statet|carry|memory|prev|previous|.*hidden.*")
"""Argument names that show the order of arguments, in lower case and without underscores and digits."""


class Order(Enum):
    """The order in which a step takes its arguments."""

    STATE_FIRST = "step(state, x)"
    INPUT_FIRST = "step(x, state)"
    STATE_ALONE = "step(state)"


def argument_order(function: Callable[..., Any], default: Order, autonomous: bool) -> Order:
    """Return the order of a step's arguments, from their names and their number.

    Args:
        function: the step, or the `forward` of a module.
        default: the order unless the names show another one. They do if one is the name of an input (x, u, input, ...),
            the other that of a state (state, h, hidden, hx, ...), and their order is not the default.
        autonomous: whether inputs have no features. A step whose second argument has a default value is then called
            with the state only.
    """
    names, n_required = _positional_arguments(function)
    if len(names) == 1 or (autonomous and n_required == 1):
        return Order.STATE_ALONE
    if len(names) >= 2:
        if INPUT_NAMES.fullmatch(names[0]) and STATE_NAMES.fullmatch(names[1]):
            return Order.INPUT_FIRST
        if STATE_NAMES.fullmatch(names[0]) and INPUT_NAMES.fullmatch(names[1]):
            return Order.STATE_FIRST
    return default


def _positional_arguments(function: Callable[..., Any]) -> tuple[list[str], int]:
    """Return the plain names of positional arguments, and how many have no default; none if they are unknown."""
    schema = getattr(function, "schema", None)
    if isinstance(function, torch.jit.ScriptFunction) and schema is not None:
        names = [argument.name for argument in schema.arguments]
        return [_plain_name(name) for name in names], len(names)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [], 0
    if any(parameter.kind == parameter.VAR_POSITIONAL for parameter in parameters):
        return [], 0
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [_plain_name(p.name) for p in positional], sum(p.default is p.empty for p in positional)


def _plain_name(name: str) -> str:
    return re.sub(r"[_\d]", "", name.lower())


class DifferentiatedStep(Traceable):
    """A step on flat states. Forward-mode differentiation gives its tangent map, at a cost proportional to k."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.step = step

    def written(self) -> Callable[..., Any]:
        """See `Traceable.written`."""
        return self.step.function if isinstance(self.step, OwnStep) else self.step

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """See `lyapunov_pkg.systems.base.TangentMap`."""

        def along(tangent: Tensor) -> tuple[Tensor, Tensor]:
            moved = torch.func.jvp(lambda point: self.step(point, x), (state,), (tangent,))
            return moved[0], moved[1]

        # The first axis, because PyTorch allows no other if the step does not depend on the state.
        out_dims: Any = (None, 0)
        state, moved = torch.func.vmap(along, in_dims=-1, out_dims=out_dims)(tangents)
        return state, moved.movedim(0, -1)


class OwnStep:
    """A user-defined function or module as a step on flat states (sequence, S)."""

    def __init__(
        self, function: Callable[..., Any], order: Order, layout: StateLayout, may_return_output: bool = False
    ) -> None:
        """Wrap a user-defined step.

        Args:
            function: the user's function.
            order: the order of its arguments.
            layout: the layout of its states.
            may_return_output: whether it may return (output, state), as the modules of torch.nn do.
        """
        self.function, self.order, self.layout = function, order, layout
        self.may_return_output = may_return_output

    def __call__(self, flat: Tensor, x: Tensor) -> Tensor:
        """Return the next flat state."""
        return self.layout.flatten(self.next_state(self.call(self.layout.unflatten(flat), x)))

    def call(self, state: State, x: Tensor) -> Any:
        """Call the function with its arguments in order."""
        if self.order is Order.STATE_ALONE:
            return self.function(state)
        return self.function(state, x) if self.order is Order.STATE_FIRST else self.function(x, state)

    def next_state(self, returned: Any) -> State:
        """Return the state within the function's result, or the whole result if it contains no state."""
        if self.may_return_output and not self.layout.fits(returned):
            is_pair = isinstance(returned, tuple) and len(returned) == 2
            return returned[1] if is_pair and self.layout.fits(returned[1]) else returned
        return returned

    def described_call(self, flat: Tensor, x: Tensor) -> str:
        """Return a description of the call."""
        state = f"{self.order.value}, with state {described(self.layout.unflatten(flat))}"
        return f"{state}," if self.order is Order.STATE_ALONE else f"{state} and x {kind(x)},"

    def check(self, flat: Tensor, x: Tensor) -> None:
        """Raise an error if the step fails, or does not return a new state of the same form.

        Args:
            flat: (sequence, S), in the dtype of the computation.
            x: (sequence, feature).

        Raises:
            TypeError: the step does not return a state.
            ValueError: the step fails, changes its arguments, returns a state of another form, or has a hidden
                dependence on the state.
        """
        given_x = x.clone()
        given = map_leaves(self.layout.unflatten(flat.clone()), torch.clone)
        called = self.described_call(flat, x)
        with random_numbers_kept(flat.device):
            try:
                returned = self.call(given, given_x)
            except Exception as error:
                raise ValueError(f"system: {called} failed: {error}{self._advice(error, flat, x)}") from error
            after = self._checked(returned, given, called)
            if not (torch.equal(self.layout.flatten(given), flat) and torch.equal(given_x, x)):
                raise ValueError(f"system: {called} changed one of its arguments in place, expected a new tensor")
            if not agree(self(flat, x), after):
                raise ValueError(f"system: {called} {NOT_DETERMINISTIC}")
            self._refuse_hidden_constants(flat, x, called)

    def _refuse_hidden_constants(self, flat: Tensor, x: Tensor, called: str) -> None:
        """Raise an error if the step reads numbers of the state, as by `.item()`, which hides their derivative."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings about speed, which do not matter for one call
                torch.func.vmap(lambda state: self(state, x))(flat[None])
            return
        except Exception as error:
            if "random operation" in str(error):
                raise ValueError(f"system: {called} {NOT_DETERMINISTIC}") from error
            direction = torch.linspace(1, 2, flat.shape[-1]).to(flat).expand_as(flat)
        try:
            moved = torch.func.jvp(lambda state: self(state, x), (flat,), (direction,))[1]
        except Exception:  # differentiation reports this error later
            return
        length = torch.finfo(flat.dtype).eps ** (1 / 3)
        difference = (self(flat + length * direction, x) - self(flat - length * direction, x)) / (2 * length)
        apart = (moved - difference).abs() > 0.05 * torch.maximum(moved.abs(), difference.abs()) + 1e-3
        if moved.any() and apart.any():
            raise ValueError(
                f"system: {called} has a derivative that automatic differentiation does not find, expected torch "
                "operations only; .item(), float() and torch.tensor() turn parts of the state into constants"
            )

    def _checked(self, returned: Any, given: State, called: str) -> Tensor:
        after = self.next_state(returned)
        if not self.layout.fits(after):
            expected = "(output, state) or the state" if self.may_return_output else "the next state"
            wrong_kind = not all(isinstance(leaf, Tensor) for _, leaf in leaves(after)) or (
                isinstance(after, Tensor) != isinstance(given, Tensor)
            )
            message = (
                f"system: {called} returned {described(returned)}, expected {expected}"
                f"{', a tensor' if isinstance(given, Tensor) and not isinstance(after, Tensor) else ''}, "
                f"{described(given)}"
            )
            if wrong_kind:
                raise TypeError(f"{message}, computed with torch operations")
            raise ValueError(message)
        if self.layout.kinds(after) != self.layout.kinds(given):
            raise ValueError(
                f"system: {called} returned {described(after)}, expected the next state, {described(given)}"
            )
        return self.layout.flatten(after)

    def _advice(self, error: Exception, flat: Tensor, x: Tensor) -> str:
        """Return advice on a failed step: the order of its arguments, or the dtype."""
        if self.order is not Order.STATE_ALONE:
            other = Order.INPUT_FIRST if self.order is Order.STATE_FIRST else Order.STATE_FIRST
            swapped = OwnStep(self.function, other, self.layout, self.may_return_output)
            try:
                fits = swapped(flat, x).shape == flat.shape
            except Exception:
                fits = False
            if fits:
                return (
                    f". Called as {other.value} it works: choose argument names that show the order, as in lambda "
                    "state, x: function(x, state)"
                )
            if self._is_of_one_sequence(flat, x):
                return ". It is a step of one sequence: use torch.vmap(step) for several sequences"
        if "dtype" in str(error) or "Double" in str(error):
            return (
                f". The computation runs in {flat.dtype}, the wider type of inputs and initial_state: convert the "
                "tensors that the step uses, or give dtype=torch.float32"
            )
        return ""

    def _is_of_one_sequence(self, flat: Tensor, x: Tensor) -> bool:
        try:
            after = self.next_state(self.call(map_leaves(self.layout.unflatten(flat[:1]), lambda leaf: leaf[0]), x[0]))
            return self.layout.fits(map_leaves(after, lambda leaf: leaf[None]))
        except Exception:
            return False


class StepReader(Reader):
    """Reader of a function that maps a state (and an input) to the next state."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def refuse_missing_state(self, initial_state: State, autonomous: bool) -> None:
        """See `Reader.refuse_missing_state`."""
        if initial_state is None:
            raise ValueError(
                "initial_state: got None, expected (sequence, S) or nested tensors (sequence, ...), because the "
                "system has no default state"
            )

    def read_state(self, initial_state: State, n_sequences: int | None) -> State:
        """See `Reader.read_state`."""
        return read_state(initial_state)

    def count_sequences(self, state: State) -> int:
        """See `Reader.count_sequences`."""
        return count_sequences(state)

    def prepare(self, state: State, inputs: Tensor, placement: Placement) -> PreparedSystem:
        """See `Reader.prepare`."""
        layout, flat = StateLayout.of(state, len(inputs))
        flat = placed(flat, placement)
        order = argument_order(_signed(self.function), Order.STATE_FIRST, inputs.shape[-1] == 0)
        refuse_unseen_inputs(order, inputs)
        step = OwnStep(self.function, order, layout)
        return checked_step(step, flat, inputs, placement)


def _signed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function whose signature has the argument names: the forward of a partial module."""
    if isinstance(function, partial) and isinstance(function.func, torch.nn.Module):
        return partial(function.func.forward, *function.args, **function.keywords)
    return function


def refuse_unseen_inputs(order: Order, inputs: Tensor) -> None:
    """Raise an error if inputs have features but the step takes only the state.

    Raises:
        ValueError: the step would not receive the inputs.
    """
    if order is Order.STATE_ALONE and inputs.shape[-1] > 0:
        raise ValueError(
            f"system: got step(state), which takes only the state, but inputs with {inputs.shape[-1]} features; "
            "expected step(state, x), or n_steps and no inputs"
        )


def checked_step(step: OwnStep, flat: Tensor, inputs: Tensor, placement: Placement) -> PreparedSystem:
    """Return a step as a system, after trial steps.

    Raises:
        TypeError: the step does not return a state.
        ValueError: the step fails, cannot be differentiated, is random, or mixes sequences.
    """
    system, state, x = DifferentiatedStep(step).of_one_computation(), flat.detach(), inputs[:, 0].detach()
    with torch.no_grad():
        step.check(state, x)
    if system.needs_trial(state, x, placement):
        check_tangent_map(system, state, inputs.detach(), step.described_call(flat, x), step)
    return PreparedSystem(system, flat)
