"""The operations of PyTorch that a program can contain, and how each is written.

A rule takes a `Lowering` and the arguments of an operation, writes instructions, and returns the slots of the result.
`RULES` lists the rules. Operations that compute nothing have no rule: `VIEWS` and `SHAPED` list them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lyapunov_pkg.systems.lowering import Lowering, Refused

aten = torch.ops.aten


class Computed:
    """Numbers that a program will compute. All other arguments of a rule are constants.

    Attributes:
        slots: slots of the numbers.
    """

    slots: Tensor


def _operand(lowering: Lowering, value: Any) -> Tensor:
    if isinstance(value, Computed):
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
    if isinstance(exponent, Computed):
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
    if isinstance(a, Computed) and isinstance(b, Computed):
        pairs = lowering.function("mul", a.slots[..., :, None, :], b.slots.mT[..., None, :, :])
        return lowering.sum(pairs)
    if isinstance(b, Computed):
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

    def __init__(self, of: Computed) -> None:
        self.slots = of.slots.mT


def _plus_product(lowering: Lowering, added: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    if beta != 1 or alpha != 1:
        raise Refused("a product with factors")
    return lowering.function("add", _product(lowering, a, b), _operand(lowering, added))


def _product(lowering: Lowering, a: Any, b: Any) -> Tensor:
    if not isinstance(a, Computed) and not isinstance(b, Computed):
        return lowering.constant(a @ b)
    if a.shape[-1] == 0:
        return lowering.constant(torch.zeros(*a.shape[:-1], b.shape[-1]))
    return _matrix_product(lowering, a, b)


def _composed(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return the rule of a function that is a composition of other functions."""

    def rule(lowering: Lowering, *args: Any, **kwargs: Any) -> Tensor:
        composed: Computed = function(*args, **kwargs)
        return composed.slots

    return rule


def _gelu(a: Any, *, approximate: str = "none") -> Any:
    if approximate == "none":
        return 0.5 * a * (1 + torch.erf(a / math.sqrt(2)))
    return 0.5 * a * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)))


def _elu(a: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    return torch.where(a > 0, scale * a, alpha * scale * torch.expm1(input_scale * a))


def _softplus(a: Any, beta: float = 1, threshold: float = 20) -> Any:
    return torch.where(beta * a > threshold, a, torch.log1p(torch.exp(beta * a)) / beta)


def _glu(a: Any, dim: int = -1) -> Any:
    values, gates = torch.split(a, a.shape[dim] // 2, dim)
    return values * torch.sigmoid(gates)


VIEWS: dict[Any, None] = dict.fromkeys(
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

JOINS = (aten.cat.default, aten.stack.default)
"""The operations in `VIEWS` that may join constants."""

SHAPED = (
    *(aten.zeros_like.default, aten.ones_like.default, aten.full_like.default, aten.new_zeros.default),
    *(aten.new_ones.default, aten.new_full.default),
)
"""Operations that create constants with the shape or the type of a tensor."""

RULES: dict[Any, Callable[..., Any]] = {
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
    aten.gelu.default: _composed(_gelu),
    aten.elu.default: _composed(_elu),
    aten.softplus.default: _composed(_softplus),
    aten.mish.default: _composed(lambda a: a * torch.tanh(_softplus(a))),
    aten.celu.default: _composed(lambda a, alpha=1: _elu(a, alpha, 1, 1 / alpha)),
    aten.glu.default: _composed(_glu),
    aten.addcmul.default: _composed(lambda added, a, b, *, value=1: added + value * a * b),
    aten.lerp.Scalar: _composed(lambda start, end, weight: start + weight * (end - start)),
    aten.lerp.Tensor: _composed(lambda start, end, weight: start + weight * (end - start)),
    aten.leaky_relu.default: _composed(lambda a, slope=0.01: torch.where(a > 0, a, slope * a)),
    aten.dot.default: _composed(lambda a, b: (a * b).sum()),
    aten.mv.default: _composed(lambda a, b: (a @ b[:, None])[:, 0]),
}
"""The rule of each operation, which returns the slots of its result."""
