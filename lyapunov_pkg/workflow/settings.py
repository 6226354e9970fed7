"""Definitions of settings: types with limits, and messages for values that are not allowed.

A section of a configuration is a subclass of `Section`, a strict pydantic model, and a setting is a field of it. The
type of the field defines the allowed values. The docstring below the field describes the setting, with a sentence
"Unit: ..." and optionally a sentence on the source's value. `lyapunov_pkg.workflow.settings_reference` reads these
docstrings.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from reprlib import Repr
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from annotated_types import Ge, GroupedMetadata, Gt, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    Strict,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

Key = tuple[str | int, ...]
"""The position of a value: ("studies", "smnist", "variants")."""
Schema = dict[str, Any]
"""A JSON schema."""
T = TypeVar("T")


class ConfigurationError(ValueError):
    """A configuration is not valid. The message lists every wrong key, its value and the allowed values."""


class Section(BaseModel):
    """A section of a configuration.

    Types are exact: a boolean or 6.0 is not an integer, text is not a number, and numbers are finite. Unknown keys
    raise an error.

    Raises: pydantic.ValidationError: a value that is not allowed (a `ValueError`).
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True, defer_build=True)

    def replaced(self, **changes: Any) -> Self:
        """Return the section with other values of some settings, which are checked."""
        return type(self)(**(dict(self) | changes))


def refused(expected: str, remark: str = "", entry: object = None) -> PydanticCustomError:
    """Return the error for a validator to raise.

    Args:
        expected: description of the allowed values.
        remark: remark on the value that was found.
        entry: the entry that is not allowed, if the value has several; None: the whole value.
    """
    context = {"expected": expected, "remark": remark, "entry": entry}
    return PydanticCustomError("expected", "expected {expected}", context)


def all_different(values: tuple[T, ...]) -> tuple[T, ...]:
    """Return `values`.

    Raises:
        PydanticCustomError: a value occurs twice.
    """
    if len(set(values)) < len(values):
        raise refused("every entry once")
    return values


def rising(values: tuple[T, ...]) -> tuple[T, ...]:
    """Return `values`.

    Raises:
        PydanticCustomError: a value is not above the one before it.
    """
    if list(values) != sorted(set(values)):  # type: ignore[type-var]
        raise refused("rising numbers, every one once")
    return values


Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Text = Annotated[str, StringConstraints(min_length=1)]
Many = Annotated[tuple[T, ...], Strict(False)]


class Different(GroupedMetadata):
    """Marks a list whose entries must differ."""

    def __iter__(self) -> Iterator[object]:
        """Yield the annotations for pydantic."""
        yield AfterValidator(all_different)
        yield Field(json_schema_extra={"uniqueItems": True})


class Rising(GroupedMetadata):
    """Marks a list whose entries must rise."""

    def __iter__(self) -> Iterator[object]:
        """Yield the annotations for pydantic."""
        yield AfterValidator(rising)
        yield Field(json_schema_extra={"uniqueItems": True})


FileName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_-]*$", max_length=64)]
"""A name that becomes part of file names. It cannot contain a path, and no two names differ only in case."""


@dataclass(frozen=True)
class PartOf:
    """Marks a mapping that replaces some settings of a section. It is checked after it is merged with the others.

    Attributes:
        section: the definition of all settings.
    """

    section: type[Section]

    def __get_pydantic_json_schema__(self, core_schema: object, handler: GetJsonSchemaHandler) -> Schema:
        """Return the schema of the section without required settings."""
        root = json_schema(self.section)
        partial: Schema = _partial(root, root)
        return partial


def _partial(root: Schema, node: Any) -> Any:
    """Return a schema without required settings, and with its references resolved."""
    if isinstance(node, list):
        return [_partial(root, child) for child in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _partial(root, root["$defs"][node["$ref"].rpartition("/")[2]])
    return {name: _partial(root, child) for name, child in node.items() if name not in ("required", "$defs")}


class Problem(NamedTuple):
    """An error in one setting.

    Attributes:
        key: position of the setting.
        text: a line with the key, the value found and the allowed values.
    """

    key: Key
    text: str


def check_problems(problems: Iterable[Problem]) -> None:
    """Raise an error if a configuration has problems.

    Raises:
        ConfigurationError: there are problems. The message has a line for each.
    """
    lines = list(dict.fromkeys(problem.text for problem in problems))
    if lines:
        raise ConfigurationError("the configuration cannot be used:\n" + "\n".join(f"  - {line}" for line in lines))


def section_problems(section: type[BaseModel], value: object, key: Key = ()) -> list[Problem]:
    """Return the problems in the value of a section, one for each wrong setting.

    Args:
        section: the definition.
        value: the value in the configuration, as read from YAML.
        key: position of the section.

    Example:
        >>> class Training(Section):
        ...     epochs: Count
        >>> section_problems(Training, {"epoch": 6.0}, ("training",))[1].text
        "unknown key 'epoch' in training; did you mean epochs?"
    """
    problems = list(_huge_integers(value, key))
    try:
        section.model_validate(value)
    except ValidationError as error:
        found = (_problem(section, detail, key) for detail in error.errors(include_url=False))
        problems += [problem for problem in found if problem is not None]
    return problems


def _huge_integers(value: object, key: Key) -> Iterator[Problem]:
    """Yield a problem for each integer that is too large for an array."""
    if isinstance(value, Mapping | list):
        for name, child in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _huge_integers(child, (*key, name))
    elif isinstance(value, int) and abs(value) >= 2**63:
        yield Problem(key, unsuitable(key, value, f"an integer between {-(2**63)} and {2**63}"))


_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_LENGTHS = {"too_short": ("min_length", "at least"), "too_long": ("max_length", "at most")}
_KEY = "[key]"


def _problem(section: type[BaseModel], error: ErrorDetails, key: Key) -> Problem | None:
    """Return one error of pydantic as a problem, or None if another error reports it."""
    steps, kind, found, context = error["loc"], error["type"], error["input"], error.get("ctx", {})
    place = key + tuple(step for step in steps if step != _KEY)
    if kind == "extra_forbidden":
        known = _node(section, steps[:-1]).get("properties", {})
        return Problem(place, misspelt(place[:-1], place[-1], known))
    if kind == "missing":
        return Problem(place, f"{written(place[:-1])} lacks {place[-1]}")
    node = _node(section, steps)
    of_a_key = kind == "invalid_key" or steps[-1:] == (_KEY,) or (found == place[-1:][0] and _is_mapping(node))
    if of_a_key:
        return Problem(place, _key_text(place[:-1], found, kind, context))
    if kind in _LENGTHS:
        name, words = _LENGTHS[kind]
        fits = (len(found) >= context[name]) if kind == "too_short" else (len(found) <= context[name])
        if fits:
            return None  # Entries that are not allowed do not count, because each has its own problem.
        return Problem(place, unsuitable(place, found, f"{words} {entries(context[name])}"))
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return Problem(place, unsuitable(place, found, f"{words} {number(context[name])}"))
    if kind == "finite_number":
        return Problem(place, unsuitable(place, found, allowed(node).replace("a number", "a finite number")))
    if kind == "string_pattern_mismatch":
        return Problem(place, unsuitable(place, found, f"text that matches {context['pattern']}"))
    if kind == "expected":
        return Problem(place, _refusal(place, found, **context))
    return Problem(place, unsuitable(place, found, allowed(node) or error["msg"]))


def _refusal(place: Key, found: object, expected: str, remark: str, entry: object) -> str:
    """Return the line for a value that a validator has `refused`."""
    if entry is None:
        return unsuitable(place, found, expected, remark)
    return f"{written(place)} has {shortened(entry)}; expected {expected}"


def _key_text(section: Key, name: object, kind: str, context: Mapping[str, Any]) -> str:
    """Return the line for a key of a section that is not allowed."""
    if kind == "literal_error":
        return misspelt(section, name, re.findall("'([^']*)'", context["expected"]))
    expected = f"text that matches {context['pattern']}" if "pattern" in context else "text"
    if kind == "string_too_long":
        expected = f"at most {context['max_length']} characters"
    return f"{written(section)} has the key {shortened(name)}; expected {expected}"


def written(key: Sequence[str | int]) -> str:
    """Return a key in the form for messages: "studies.smnist.variants"."""
    return ".".join(map(str, key)) or "the configuration"


def unsuitable(key: Sequence[str | int], found: object, expected: str, remark: str = "") -> str:
    """Return the line for a value that is not allowed, with a remark on it.

    Example:
        >>> unsuitable(("seed",), -1, "at least 0")
        'seed is -1; expected at least 0'
    """
    hint = ""
    if isinstance(found, str) and "number" in expected and _is_exponential(found):
        mantissa, _, exponent = found.lower().partition("e")
        hint = f" (YAML reads this as text: write {float(mantissa)}e{int(exponent):+d})"
    if isinstance(found, int | float) and not isinstance(found, bool) and expected.startswith("text"):
        hint = " (YAML reads this as a number, also with _ in it: write it in quotes)"
    return f"{written(key)} is {shortened(found)}{remark}; expected {expected}{hint}"


def _is_exponential(text: str) -> bool:
    mantissa, e, exponent = text.lower().partition("e")
    try:
        return bool(e) and float(mantissa) == float(mantissa) and int(exponent) is not None
    except ValueError:
        return False


def misspelt(section: Sequence[str | int], name: object, known: Iterable[str]) -> str:
    """Return the line for an unknown key, with the closest known one."""
    return f"unknown key {shortened(name)} in {written(section)}; {suggestion(str(name), known)}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a question with the known name closest to a misspelt one, or all known names.

    Example:
        >>> suggestion("epoch", ["epochs", "batch_size"])
        'did you mean epochs?'
    """
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return "allowed are " + ", ".join(known) if known else "none is allowed"


class _Short(Repr):
    """Limits of the length of a value in a message."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 4, 8, 12, 12
        self.maxstring = self.maxother = 80


def shortened(value: object) -> str:
    """Return Python's representation of a value, shortened if it is long."""
    return _Short().repr(value)


def number(value: float) -> str:
    """Return a limit without a trailing ".0"."""
    return str(int(value)) if float(value).is_integer() else str(value)


def entries(count: int) -> str:
    """Return a number of entries in words."""
    return f"{count} {'entry' if count == 1 else 'entries'}"


_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def allowed(node: Schema) -> str:
    """Return a description of the values that a JSON schema allows, "" if it allows everything.

    Example:
        >>> allowed({"type": "integer", "minimum": 1})
        'an integer, at least 1'
    """
    if "anyOf" in node:
        choices = [allowed(choice) for choice in node["anyOf"]]
        return " or ".join(choices) if len(choices[0].split(",")) == 1 else ", or ".join(choices)
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    if "const" in node:
        return str(node["const"])
    limits = [f"{words} {number(node[name])}" for name, words in _LIMITS.items() if name in node]
    kind = {
        "integer": "an integer",
        "number": "a number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
        "object": "a mapping",
        "array": "a list",
    }.get(node.get("type", ""), "")
    if "pattern" in node:
        limits.append(f"matching {node['pattern']}")
    if node.get("type") == "array":
        shortest, longest = node.get("minItems", 0), node.get("maxItems")
        if longest == shortest:
            kind = f"a list of {entries(shortest)}"
        else:
            limits += [f"at least {entries(shortest)}"] if shortest else []
            limits += [f"at most {entries(longest)}"] if longest else []
        if isinstance(node.get("items"), dict) and (each := allowed(node["items"])):
            limits.append(f"each {each}")
    return ", ".join([kind, *limits])


@functools.cache
def json_schema(section: type[BaseModel]) -> Schema:
    """Return the JSON schema of a section, without the titles that pydantic derives from names."""
    schema = section.model_json_schema()
    _remove_titles(schema)
    return schema


def _remove_titles(node: object) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for child in node.values():
            _remove_titles(child)
    elif isinstance(node, list):
        for child in node:
            _remove_titles(child)


def _node(section: type[BaseModel], steps: Sequence[str | int]) -> Schema:
    """Return the part of a section's schema at a key, or {} if there is none."""
    root = json_schema(section)
    node = resolved(root, root)
    for step in steps:
        if isinstance(step, int):
            choices = [node, *node.get("anyOf", [])]  # a list that may be null
            node = next((choice["items"] for choice in choices if "items" in choice), {})
        else:
            of_pattern: Schema = next(iter(node.get("patternProperties", {}).values()), {})
            others = node.get("additionalProperties") or of_pattern
            node = node.get("properties", {}).get(step, others)
        node = resolved(root, node if isinstance(node, dict) else {})
    return node


def resolved(root: Schema, node: Schema) -> Schema:
    """Return a part of a schema with references resolved, and without null as an alternative."""
    if "$ref" in node:
        return resolved(root, root["$defs"][node["$ref"].rpartition("/")[2]])
    if "anyOf" in node and any("$ref" in choice for choice in node["anyOf"]):
        return resolved(root, next(choice for choice in node["anyOf"] if "$ref" in choice))
    return node


def _is_mapping(node: Schema) -> bool:
    return node.get("type") == "object"


def merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `overlay`. Mappings are merged, and other values are replaced.

    Example:
        >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    result = dict(base)
    for name, value in overlay.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def without_nulls(value: Any) -> Any:
    """Return a value without null entries if it is a mapping, and its entries likewise.

    An overlay is merged with other values, so that it needs null to remove an entry.

    Example:
        >>> without_nulls({"uniform": None, "log_uniform": [1, 2]})
        {'log_uniform': [1, 2]}
    """
    if not isinstance(value, Mapping):
        return value
    return {name: without_nulls(entry) for name, entry in value.items() if entry is not None}
