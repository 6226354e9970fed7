"""Conversion of user-defined steps to programs: a step runs once, on tensors that record the operations.

Such a tensor, a `Recorded`, has no numbers that Python could read. A step that needs numbers, in a branch, a loop or a
call of another library, is refused. Every operation that is not listed below is also refused.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from lyapunov_pkg.linalg.program import Program
from lyapunov_pkg.systems.checks import random_numbers_kept
from lyapunov_pkg.systems.lowering import Lowering, Refused
from lyapunov_pkg.systems.surroundings import surroundings

aten = torch.ops.aten


class Recorded(Tensor):
    """A tensor of numbers that a program will compute.

    Attributes:
        value: the numbers at the point of the trace, which give shape, strides and dtype.
        slots: slots of the numbers, with the shape and the strides of `value`. They are a view if `value` is a view.
        lowering: the writer of the program.
    """

    value: Tensor
    slots: Tensor
    lowering: Lowering

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, value: Tensor, slots: Tensor, lowering: Lowering) -> Recorded:
        """Create a tensor without numbers."""
        made: Recorded = Tensor._make_wrapper_subclass(
            cls, value.shape, strides=value.stride(), dtype=value.dtype, device=value.device
        )
        made.value, made.slots, made.lowering = value, slots, lowering
        return made

    def __init__(self, value: Tensor, slots: Tensor, lowering: Lowering) -> None:
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
            _lowering_of(args, kwargs).was_refused = True
            raise

    def __repr__(self) -> str:  # type: ignore[override]
        """Raise `Refused`, because there are no numbers to show."""
        raise Refused("a representation of numbers")


def program_of(
    step: Callable[[Tensor, Tensor], Tensor], function: Callable[..., Any], state: Tensor, x: Tensor
) -> Program | None:
    """Return a step as a program; None if it cannot be one.

    The step is traced at two points. The operations and constants must be the same at both points. The step must not
    change objects that it refers to, and must not print.

    Args:
        step: function from states (sequence, S) and inputs (sequence, F) to the next states.
        function: the user's function, which `step` calls.
        state: (sequence, S); the step is traced at the first.
        x: (sequence, F).
    """
    other = torch.linspace(-1, 1.3, state.shape[-1]).to(state), torch.linspace(0.7, -0.9, x.shape[-1]).to(x)
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(printed):
            warnings.simplefilter("ignore")
            before = surroundings(function)
            with random_numbers_kept(state.device):
                _refuse_own_derivatives(step, state[:1], x[:1])
                first, second = _traced(step, state[0], x[0]), _traced(step, *other)
            is_pure = surroundings(function) == before and not printed.getvalue()
    except Exception:  # The step does something that a program cannot do.
        return None
    is_same = all(np.array_equal(np.asarray(one), np.asarray(two)) for one, two in zip(first, second, strict=True))
    return first if is_pure and is_same else None


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


def _traced(step: Callable[[Tensor, Tensor], Tensor], state: Tensor, x: Tensor) -> Program:
    """Return a step as a program, traced at one state (S,) and input (F,).

    Raises:
        Refused: the step cannot be written as a program.
        Exception: the step fails.
    """
    size, n_inputs = len(state), len(x)
    lowering = Lowering(size, n_inputs, state.dtype)
    slots = torch.arange(size + n_inputs)
    given = Recorded(state[None].clone(), slots[None, :size].clone(), lowering)
    driving = Recorded(x[None].clone(), slots[None, size:].clone(), lowering)
    after = step(given, driving)
    if not isinstance(after, Recorded) or after.shape != given.shape or after.dtype != given.dtype:
        raise Refused("what is returned is not computed from the state")
    if lowering.was_refused:
        raise Refused("a part of the step")
    return lowering.program(after.slots.flatten().clone())


def _record(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    lowering = _lowering_of(args, kwargs)
    name = function._schema.name.removeprefix("aten::")
    in_place = name.endswith("_") and not name.startswith("_")
    if in_place:
        function = _out_of_place(function, name, args)
        name = name.removesuffix("_")
    value = function(*_each(_value, args), **dict(zip(kwargs, _each(_value, kwargs.values()), strict=True)))
    if function in _SHAPED:
        return value
    if function in _VIEWS:
        if any(isinstance(leaf, Recorded) for leaf in _leaves((args[1:], kwargs))) and function not in _JOINS:
            raise Refused(f"{name} with places that are computed")
        slots = function(*_each(lambda leaf: _slots(leaf, lowering, function in _JOINS), args), **kwargs)
    elif function in _RULES:
        slots = _RULES[function](lowering, *args, **kwargs)
        slots = _laid_out(slots, value)
    else:
        raise Refused(str(function))
    if in_place:
        args[0].value.copy_(value)
        args[0].slots.copy_(slots)
        return args[0]
    return _wrapped(value, slots, lowering)


def _wrapped(value: Any, slots: Any, lowering: Lowering) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_wrapped(one, of_one, lowering) for one, of_one in zip(value, slots, strict=True))
    if value.dtype not in (lowering.dtype, torch.bool):
        raise Refused(f"numbers of {value.dtype}")
    assert value.shape == slots.shape
    return Recorded(value, slots, lowering)


def _laid_out(slots: Any, value: Any) -> Any:
    """Return slots with the strides of the values, so that views of slots and values have the same entries."""
    if isinstance(value, tuple | list):
        return [_laid_out(of_one, one) for of_one, one in zip(slots, value, strict=True)]
    return torch.empty_like(value, dtype=torch.int64).copy_(slots.expand(value.shape))


def _lowering_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Lowering:
    of_arguments = [*args, *kwargs.values()]
    if not any(isinstance(leaf, Recorded) for leaf in of_arguments):
        of_arguments = _leaves(of_arguments)
    return next(leaf.lowering for leaf in of_arguments if isinstance(leaf, Recorded))


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
    packet = getattr(aten, name.removesuffix("_"), None)
    overload = function._overloadname
    found = getattr(packet, overload, None) if packet is not None else None
    if found not in _RULES or args[0].dtype != args[0].lowering.dtype:
        raise Refused(name)
    return found


def _operand(lowering: Lowering, value: Any) -> Tensor:
    if isinstance(value, Recorded):
        return value.slots
    if isinstance(value, complex):
        raise Refused("complex numbers")
    return lowering.constant(value)


def _function(name: str) -> Callable[..., Tensor]:
    def rule(lowering: Lowering, *operands: Any) -> Tensor:
        return lowering.function(name, *(_operand(lowering, operand) for operand in operands))

    return rule


def _scaled(name: str, reverses: bool = False) -> Callable[..., Tensor]:
    """Return the rule of an addition or subtraction with a factor on the second operand."""

    def rule(lowering: Lowering, a: Any, b: Any, *unnamed: Any, alpha: float = 1) -> Tensor:
        alpha = unnamed[0] if unnamed else alpha
        first, second = _operand(lowering, a), _operand(lowering, b)
        if alpha != 1:
            second = lowering.function("mul", lowering.constant(float(alpha)), second)
        return lowering.function(name, second, first) if reverses else lowering.function(name, first, second)

    return rule


def _power(lowering: Lowering, a: Any, exponent: Any) -> Tensor:
    if isinstance(exponent, Recorded):
        raise Refused("a power whose exponent is computed")
    known = {1: "copy", 2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if isinstance(exponent, int | float) and exponent in known:
        return lowering.function(known[exponent], a.slots)
    return lowering.function("pow", a.slots, _operand(lowering, exponent))


def _where(lowering: Lowering, condition: Any, a: Any, b: Any) -> Tensor:
    return lowering.where(_operand(lowering, condition), _operand(lowering, a), _operand(lowering, b))


def _masked_fill(lowering: Lowering, a: Any, mask: Any, value: Any) -> Tensor:
    return _where(lowering, mask, value, a)


def _clamp(lowering: Lowering, a: Any, lowest: float | None = None, highest: float | None = None) -> Tensor:
    """Return the number or one of its bounds. At a bound the derivative is 1, as in PyTorch."""
    slots: Tensor = a.slots
    for bound, is_beyond in ((lowest, "lt"), (highest, "gt")):
        if bound is not None:
            limit = lowering.constant(float(bound))
            slots = lowering.where(lowering.function(is_beyond, a.slots, limit), limit, slots)
    return slots


def _hardtanh(lowering: Lowering, a: Any, lowest: float = -1, highest: float = 1) -> Tensor:
    """Return the same as `_clamp`, but with the derivative 0 at a bound."""
    slots: Tensor = a.slots
    for bound, is_beyond in ((lowest, "le"), (highest, "ge")):
        limit = lowering.constant(float(bound))
        slots = lowering.where(lowering.function(is_beyond, a.slots, limit), limit, slots)
    return slots


def _logical_not(lowering: Lowering, a: Any) -> Tensor:
    return lowering.function("eq", a.slots, lowering.constant(0.0))


def _bitwise_not(lowering: Lowering, a: Any) -> Tensor:
    if a.dtype != torch.bool:
        raise Refused("bits of numbers")
    return _logical_not(lowering, a)


def _logical(name: str) -> Callable[..., Tensor]:
    """Return the rule of a function of truth values, which are 0 and 1."""

    def rule(lowering: Lowering, a: Any, b: Any) -> Tensor:
        if a.dtype != torch.bool or b.dtype != torch.bool:
            raise Refused("bits of numbers")
        return lowering.function(name, _operand(lowering, a), _operand(lowering, b), moves=False)

    return rule


def _to(lowering: Lowering, a: Any, **kwargs: Any) -> Tensor:
    """Convert truth values to numbers. Other changes of dtype are refused."""
    if kwargs.get("device") not in (None, torch.device("cpu")) or (kwargs.get("dtype") == torch.bool != a.dtype):
        raise Refused("a change of type")
    slots: Tensor = a.slots
    return slots


def _sum(lowering: Lowering, a: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    if dtype not in (None, a.dtype) or a.dtype == torch.bool:
        raise Refused("a sum in another type")
    return _over(lowering.sum, a.slots, dims, keepdim)


def _over(reduce: Callable[[Tensor], Tensor], slots: Tensor, dims: Any, keepdim: bool) -> Tensor:
    """Apply a reduction of the last axis to the given axes, or to all axes if none are given."""
    dims = [dims] if isinstance(dims, int) else list(dims or range(slots.ndim))
    dims = sorted(dim % slots.ndim for dim in dims) if slots.ndim else []
    others = [dim for dim in range(slots.ndim) if dim not in dims]
    terms = slots.permute(*others, *dims).reshape(*(slots.shape[dim] for dim in others), -1)
    reduced = reduce(terms)
    return reduced.reshape([1 if dim in dims else n for dim, n in enumerate(slots.shape)]) if keepdim else reduced


def _count(slots: Tensor, dims: Any) -> int:
    dims = [dims] if isinstance(dims, int) else list(dims or range(slots.ndim))
    return math.prod(slots.shape[dim] for dim in dims)


def _mean(lowering: Lowering, a: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    total = _sum(lowering, a, dims, keepdim, dtype=dtype)
    return lowering.function("div", total, lowering.constant(float(_count(a.slots, dims))))


def _norm(lowering: Lowering, a: Any, order: float = 2, dims: Any = None, keepdim: bool = False) -> Tensor:
    if order != 2:
        raise Refused("a norm of another order than 2")
    squares = lowering.function("square", a.slots)
    return lowering.function("root", _over(lowering.sum, squares, dims, keepdim))


def _softmax(lowering: Lowering, a: Any, dim: int, to_float: bool) -> Tensor:
    """Divide exponentials by their sum. The subtracted maximum changes no result and needs no tangents."""
    largest = a.slots.select(dim, 0)
    for i in range(1, a.slots.shape[dim]):
        largest = lowering.function("maximum", largest, a.slots.select(dim, i), moves=False)
    if a.slots.shape[dim] == 1:
        largest = lowering.function("copy", largest, moves=False)
    powers = lowering.function("exp", lowering.function("sub", a.slots, largest.unsqueeze(dim)))
    return lowering.function("div", powers, _over(lowering.sum, powers, dim, True))


def _layer_norm(lowering: Lowering, a: Any, shape: Any, weight: Any, bias: Any, eps: float) -> list[Tensor]:
    dims = list(range(-len(shape), 0))
    count = lowering.constant(float(_count(a.slots, dims)))
    mean = lowering.function("div", _over(lowering.sum, a.slots, dims, True), count)
    centred = lowering.function("sub", a.slots, mean)
    squares = _over(lowering.sum, lowering.function("square", centred), dims, True)
    variance = lowering.function("div", squares, count)
    scale = lowering.function("rsqrt", lowering.function("add", variance, lowering.constant(float(eps))))
    slots = lowering.function("mul", centred, scale)
    if weight is not None:
        slots = lowering.function("mul", slots, _operand(lowering, weight))
    if bias is not None:
        slots = lowering.function("add", slots, _operand(lowering, bias))
    return [slots, mean, scale]


def _matrix_product(lowering: Lowering, a: Any, b: Any) -> Tensor:
    """Multiply matrices (..., M, P) and (..., P, N), of which at least one is computed."""
    if isinstance(a, Recorded) and isinstance(b, Recorded):
        pairs = lowering.function("mul", a.slots[..., :, None, :], b.slots.mT[..., None, :, :])
        return lowering.sum(pairs)
    if isinstance(b, Recorded):
        return _matrix_product(lowering, _Transposed(b), a.mT).mT
    matrices = b.mT.expand(*a.slots.shape[:-2], *b.mT.shape[-2:])
    rows = [
        lowering.product(matrix, row)
        for of_matrix, matrix in zip(
            a.slots.reshape(-1, *a.slots.shape[-2:]),
            matrices.reshape(-1, *b.mT.shape[-2:]) if b.ndim > 2 else [b.mT],
            strict=True,
        )
        for row in of_matrix
    ]
    return torch.stack(rows).reshape(*a.slots.shape[:-1], b.shape[-1])


class _Transposed:
    """The slots of a transposed matrix."""

    def __init__(self, of: Recorded) -> None:
        self.slots = of.slots.mT


def _plus_product(lowering: Lowering, added: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    if beta != 1 or alpha != 1:
        raise Refused("a product with factors")
    return lowering.function("add", _product(lowering, a, b), _operand(lowering, added))


def _product(lowering: Lowering, a: Any, b: Any) -> Tensor:
    if not isinstance(a, Recorded) and not isinstance(b, Recorded):
        return lowering.constant(a @ b)
    if a.shape[-1] == 0:
        return lowering.constant(torch.zeros(*a.shape[:-1], b.shape[-1]))
    return _matrix_product(lowering, a, b)


def _composed(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the rule of a function that is a composition of other functions."""

    def rule(lowering: Lowering, *args: Any, **kwargs: Any) -> Tensor:
        composed: Recorded = function(*args, **kwargs)
        return composed.slots

    return rule


_VIEWS: dict[Any, None] = dict.fromkeys(
    (
        *(aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.select.int, aten.slice.Tensor),
        *(aten.t.default, aten.transpose.int, aten.permute.default, aten.expand.default, aten.unsqueeze.default),
        *(
            aten.squeeze.default,
            aten.squeeze.dim,
            aten.squeeze.dims,
            aten.unbind.int,
            aten.split.Tensor,
            aten.unsafe_split.Tensor,
        ),
        *(aten.split_with_sizes.default, aten.clone.default, aten.alias.default, aten.flip.default, aten.roll.default),
        *(aten.repeat.default, aten.index_select.default, aten.index.Tensor, aten.diagonal.default),
        *(aten.cat.default, aten.stack.default),
    )
)
"""Operations that only select, move or repeat numbers. Applied to slots, they give the slots of the result."""

_SHAPED = (
    *(aten.zeros_like.default, aten.ones_like.default, aten.full_like.default, aten.new_zeros.default),
    *(aten.new_ones.default, aten.new_full.default),
)
"""Operations that create constants with the shape or the type of a tensor."""

_JOINS = (aten.cat.default, aten.stack.default)
"""The operations among them that may join constants."""

_RULES: dict[Any, Callable[..., Any]] = {
    **{
        getattr(aten, name).default: _function(name)
        for name in (
            *("neg", "abs", "sign", "floor", "reciprocal", "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "sin"),
            *("cos", "tan", "tanh", "sinh", "cosh", "atan", "erf", "sigmoid", "relu", "maximum", "minimum", "atan2"),
        )
    },
    **{getattr(aten, name).Tensor: _function(name) for name in ("mul", "div", "remainder")},
    **{getattr(aten, name).Scalar: _function(name) for name in ("mul", "div", "remainder")},
    **{getattr(aten, name).Tensor: _function(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{getattr(aten, name).Scalar: _function(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    aten.add.Tensor: _scaled("add"),
    aten.add.Scalar: _scaled("add"),
    aten.sub.Tensor: _scaled("sub"),
    aten.sub.Scalar: _scaled("sub"),
    aten.rsub.Scalar: _scaled("sub", reverses=True),
    aten.rsub.Tensor: _scaled("sub", reverses=True),
    aten.pow.Tensor_Scalar: _power,
    aten.pow.Tensor_Tensor: _power,
    aten.where.self: _where,
    aten.masked_fill.Scalar: _masked_fill,
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: lambda lowering, a, highest: _clamp(lowering, a, None, highest),
    aten.hardtanh.default: _hardtanh,
    aten.logical_not.default: _logical_not,
    aten.bitwise_not.default: _bitwise_not,
    aten.bitwise_and.Tensor: _logical("mul"),
    aten.bitwise_or.Tensor: _logical("maximum"),
    aten.logical_and.default: _logical("mul"),
    aten.logical_or.default: _logical("maximum"),
    aten._to_copy.default: _to,
    aten.sum.default: _sum,
    aten.sum.dim_IntList: _sum,
    aten.mean.default: _mean,
    aten.mean.dim: _mean,
    aten.linalg_vector_norm.default: _norm,
    aten._softmax.default: _softmax,
    aten.native_layer_norm.default: _layer_norm,
    aten.mm.default: _product,
    aten.bmm.default: _product,
    aten.addmm.default: _plus_product,
    aten.baddbmm.default: _plus_product,
    aten.silu.default: _composed(lambda a: a * torch.sigmoid(a)),
    aten.addcmul.default: _composed(lambda added, a, b, *, value=1: added + value * a * b),
    aten.lerp.Scalar: _composed(lambda start, end, weight: start + weight * (end - start)),
    aten.lerp.Tensor: _composed(lambda start, end, weight: start + weight * (end - start)),
    aten.leaky_relu.default: _composed(lambda a, slope=0.01: torch.where(a > 0, a, slope * a)),
    aten.dot.default: _composed(lambda a, b: (a * b).sum()),
    aten.mv.default: _composed(lambda a, b: (a @ b[:, None])[:, 0]),
}
"""The rule of each operation, which returns the slots of its result."""
