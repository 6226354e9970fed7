"""Objects that a user's function refers to, so that a call that changes them is noticed."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

DEEPEST = 4
"""Maximum length of a chain of references."""

MOST_ITEMS = 200
"""Maximum number of items per container, and of numbers per array, that are examined."""

MOST_IN_ALL = 20_000
"""Maximum total number of examined objects, so that large data cost little."""


def surroundings(function: Callable[..., Any]) -> list[Any]:
    """Return a comparable description of a function's references: numbers, lengths, identities and versions.

    It covers the variables of the closure, the named globals and defaults, the object to which the function is bound,
    and the objects that these refer to.
    """
    return list(itertools.islice(_looked_at(function, DEEPEST, set()), MOST_IN_ALL))


def _looked_at(value: Any, depth: int, seen: set[int]) -> Iterator[Any]:
    if isinstance(value, int | float | complex | str | bytes | bool | None):
        yield value
        return
    yield id(value)
    if isinstance(value, types.ModuleType | type) or id(value) in seen or depth < 0:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value._version
    elif isinstance(value, np.ndarray | np.generic):
        yield np.asarray(value).ravel()[:MOST_ITEMS].tobytes()
    else:
        yield repr(value) if type(value).__module__ in ("itertools", "collections") else None
        for part in _parts_of(value):
            yield from _looked_at(part, depth - 1, seen)


def _parts_of(value: Any) -> Iterator[Any]:
    if isinstance(value, types.MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, types.FunctionType):
        yield from (value.__defaults__, value.__kwdefaults__, value.__dict__)
        yield from (cell.cell_contents for cell in value.__closure__ or () if _is_set(cell))
        # PyTorch's own globals change when it imports its parts, for example at the first call of `torch.vmap`.
        if value.__globals__.get("__name__", "").partition(".")[0] != "torch":
            yield from (value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__)
    elif isinstance(value, Mapping):
        yield len(value)
        yield from list(value.values())[:MOST_ITEMS]
    elif isinstance(value, list | tuple | set | frozenset):
        yield len(value)
        yield from list(value)[:MOST_ITEMS]
    else:
        yield getattr(value, "__dict__", None)
        if callable(value) and not isinstance(value, types.BuiltinFunctionType):
            yield getattr(type(value), "__call__", None)  # noqa: B004 - the function, not whether there is one


def _is_set(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is cell.cell_contents
    except ValueError:
        return False


def _names(code: types.CodeType) -> set[str]:
    """Return the global names that a function, or a function inside it, may use."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))
