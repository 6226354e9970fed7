"""Step functions of one's own, differentiated automatically."""

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

INPUT_NAMES = re.compile(r"x|u|xs|us|xt|ut|in|inp|.*inputs?|inputt|drive|stimulus|tokens?|embedding|features?|obs|data")
STATE_NAMES = re.compile(r"s|h|z|hx|hc|hs|ht|st|hprev|hiddens?|.*states?|statet|carry|memory|prev|previous|.*hidden.*")
"""Names of arguments, in lower case and without underscores and digits, by which their order is known."""


class Order(Enum):
    """How a step is called."""

    STATE_FIRST = "step(state, x)"
    INPUT_FIRST = "step(x, state)"
    STATE_ALONE = "step(state)"


def argument_order(function: Callable[..., Any], default: Order, autonomous: bool) -> Order:
    """Return how a step is called, by the names and the number of its arguments.

    Args:
        function: the step, or the `forward` of a module.
        default: the order where the names do not say otherwise. They do where one name is an input's (x, u, input,
            ...), the other a state's (state, h, hidden, hx, ...), and they stand the other way round.
        autonomous: the inputs have no features, so that a step whose second argument has a default goes without.
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
    """Return the plain names of positional arguments, and how many have no default; none where nothing is known."""
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


class DifferentiatedStep:
    """A step on flat states with its tangent map from forward-mode differentiation: k tangents cost k columns."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.step = step

    def push_forward(self, state: Tensor, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """See `lyapunov_pkg.systems.base.TangentMap`."""

        def along(tangent: Tensor) -> tuple[Tensor, Tensor]:
            moved = torch.func.jvp(lambda point: self.step(point, x), (state,), (tangent,))
            return moved[0], moved[1]

        # Along the first axis: PyTorch cannot place another one where the step does not depend on the state.
        out_dims: Any = (None, 0)
        state, moved = torch.func.vmap(along, in_dims=-1, out_dims=out_dims)(tangents)
        return state, moved.movedim(0, -1)


class OwnStep:
    """A user's function or module as a step on flat states (sequence, S)."""

    def __init__(
        self, function: Callable[..., Any], order: Order, layout: StateLayout, may_return_output: bool = False
    ) -> None:
        """Take a step as the user wrote it.

        Args:
            function: what is called.
            order: how.
            layout: of its states.
            may_return_output: it may return (output, state), as the modules of torch.nn do.
        """
        self.function, self.order, self.layout = function, order, layout
        self.may_return_output = may_return_output

    def __call__(self, flat: Tensor, x: Tensor) -> Tensor:
        """Return the next flat state."""
        return self.layout.flatten(self.next_state(self.call(self.layout.unflatten(flat), x)))

    def call(self, state: State, x: Tensor) -> Any:
        """Call the function in its own order of arguments."""
        if self.order is Order.STATE_ALONE:
            return self.function(state)
        return self.function(state, x) if self.order is Order.STATE_FIRST else self.function(x, state)

    def next_state(self, returned: Any) -> State:
        """Return the state in what the function returned; that itself where no state is in it."""
        if self.may_return_output and not self.layout.fits(returned):
            is_pair = isinstance(returned, tuple) and len(returned) == 2
            return returned[1] if is_pair and self.layout.fits(returned[1]) else returned
        return returned

    def described_call(self, flat: Tensor, x: Tensor) -> str:
        """Return the call in words."""
        state = f"{self.order.value}, with state {described(self.layout.unflatten(flat))}"
        return f"{state}," if self.order is Order.STATE_ALONE else f"{state} and x {kind(x)},"

    def check(self, flat: Tensor, x: Tensor) -> None:
        """Refuse a step that cannot be run, or does not return a new state like the old one.

        Args:
            flat: (sequence, S), in the dtype of the computation.
            x: (sequence, feature).

        Raises:
            TypeError: what the step returns is no state.
            ValueError: anything else of these.
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
                raise ValueError(f"system: {called} changed one of them in place, expected a new tensor")
            if not agree(self(flat, x), after):
                raise ValueError(f"system: {called} {NOT_DETERMINISTIC}")
            self._refuse_hidden_constants(flat, x, called)

    def _refuse_hidden_constants(self, flat: Tensor, x: Tensor, called: str) -> None:
        """Refuse a step that takes numbers out of the state, by `.item()` say, and so hides part of its derivative."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Of speed, which does not matter for one call.
                torch.func.vmap(lambda state: self(state, x))(flat[None])
            return
        except Exception as error:
            if "random operation" in str(error):
                raise ValueError(f"system: {called} {NOT_DETERMINISTIC}") from error
            direction = torch.linspace(1, 2, flat.shape[-1]).to(flat).expand_as(flat)
        try:
            moved = torch.func.jvp(lambda state: self(state, x), (flat,), (direction,))[1]
        except Exception:  # That it cannot be differentiated is said where it is.
            return
        length = torch.finfo(flat.dtype).eps ** (1 / 3)
        difference = (self(flat + length * direction, x) - self(flat - length * direction, x)) / (2 * length)
        apart = (moved - difference).abs() > 0.05 * torch.maximum(moved.abs(), difference.abs()) + 1e-3
        if moved.any() and apart.any():
            raise ValueError(
                f"system: {called} has another derivative than automatic differentiation finds, expected torch "
                "operations alone; .item(), float() and torch.tensor() make constants of parts of the state"
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
                raise TypeError(f"{message}, made with torch operations")
            raise ValueError(message)
        if self.layout.kinds(after) != self.layout.kinds(given):
            raise ValueError(
                f"system: {called} returned {described(after)}, expected the next state, {described(given)}"
            )
        return self.layout.flatten(after)

    def _advice(self, error: Exception, flat: Tensor, x: Tensor) -> str:
        """Return what may be wrong with a step that failed: the order of its arguments, or the dtype."""
        if self.order is not Order.STATE_ALONE:
            other = Order.INPUT_FIRST if self.order is Order.STATE_FIRST else Order.STATE_FIRST
            swapped = OwnStep(self.function, other, self.layout, self.may_return_output)
            try:
                fits = swapped(flat, x).shape == flat.shape
            except Exception:
                fits = False
            if fits:
                return (
                    f". Called as {other.value} it works: name its arguments so that the order is known, as in "
                    "lambda state, x: function(x, state)"
                )
            if self._is_of_one_sequence(flat, x):
                return ". It is a step of one sequence: torch.vmap(step) makes one of many of it"
        if "dtype" in str(error) or "Double" in str(error):
            return (
                f". The computation runs in {flat.dtype}, the wider type of inputs and initial_state: convert what the "
                "step refers to, or give dtype=torch.float32"
            )
        return ""

    def _is_of_one_sequence(self, flat: Tensor, x: Tensor) -> bool:
        try:
            after = self.next_state(self.call(map_leaves(self.layout.unflatten(flat[:1]), lambda leaf: leaf[0]), x[0]))
            return self.layout.fits(map_leaves(after, lambda leaf: leaf[None]))
        except Exception:
            return False


class StepReader(Reader):
    """A function that maps a state (and an input) to the next state."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def refuse_missing_state(self, initial_state: State, autonomous: bool) -> None:
        """See `Reader.refuse_missing_state`."""
        if initial_state is None:
            raise ValueError(
                "initial_state: got None, expected (sequence, S) or tensors (sequence, ...) of any nesting, because "
                "the system does not define one"
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
        return checked_step(step, flat, inputs)


def _signed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what knows the names of the arguments: of a partial module its forward."""
    if isinstance(function, partial) and isinstance(function.func, torch.nn.Module):
        return partial(function.func.forward, *function.args, **function.keywords)
    return function


def refuse_unseen_inputs(order: Order, inputs: Tensor) -> None:
    """Refuse inputs with features for a step that takes the state alone.

    Raises:
        ValueError: that is so.
    """
    if order is Order.STATE_ALONE and inputs.shape[-1] > 0:
        raise ValueError(
            "system: step(state) takes one positional argument, the state, but inputs has "
            f"{inputs.shape[-1]} features, which it would not see; expected step(state, x), or n_steps and no inputs"
        )


def checked_step(step: OwnStep, flat: Tensor, inputs: Tensor) -> PreparedSystem:
    """Return the system that a step makes, after trial steps.

    Raises:
        TypeError: what it returns is no state.
        ValueError: it cannot be run or differentiated, is not deterministic, or mixes sequences.
    """
    system = DifferentiatedStep(step)
    with torch.no_grad():
        step.check(flat.detach(), inputs[:, 0].detach())
    check_tangent_map(system, flat.detach(), inputs.detach(), step.described_call(flat, inputs[:, 0]), step)
    return PreparedSystem(system, flat)
