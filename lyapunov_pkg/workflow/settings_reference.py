"""The schema for editors and the reference page of a configuration, from the definitions of its settings."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from lyapunov_pkg.workflow.settings import PartOf, Schema, Section, allowed, json_schema, resolved


class Description(NamedTuple):
    """The content of the docstring below a setting.

    Attributes:
        text: description of the setting.
        unit: its unit, "" for text and sections.
        source: value in the source.
    """

    text: str
    unit: str
    source: str


def descriptions(section: type[BaseModel]) -> dict[str, Description]:
    """Return {name: description} of a section's settings, including inherited ones."""
    found: dict[str, Description] = {}
    for base in reversed(section.__mro__):
        if issubclass(base, Section) and base is not Section:
            found |= {name: _description(text) for name, text in _field_docstrings(base)}
    return found


def _field_docstrings(section: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            yield field.target.id, below.value.value  # type: ignore[attr-defined]


def _description(docstring: str) -> Description:
    text = " ".join(docstring.split())
    parts = {"Unit": "", "Dissertation": ""}
    for label in parts:
        if match := re.search(rf"\b{label}: (.+?)\.(?= (?:Unit|Dissertation):|$)", text):
            parts[label] = match[1]
            text = text.replace(match[0], "").strip()
    return Description(text, parts["Unit"], parts["Dissertation"])


def schema_for_editors(section: type[BaseModel], title: str) -> str:
    """Return the JSON schema of a configuration with the descriptions of its settings, as YAML."""
    schema = copy.deepcopy(json_schema(section))
    for found in sections_below(section):
        node = schema if found is section else schema.get("$defs", {}).get(found.__name__)
        for name, description in descriptions(found).items() if node else ():
            node["properties"][name]["description"] = description.text
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return yaml.safe_dump(head | schema, sort_keys=False, width=120, allow_unicode=True)


def sections_below(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a section and the sections inside it, each once."""
    seen: list[type[BaseModel]] = []
    pending: list[Any] = [section]
    while pending:
        kind = pending.pop(0)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind not in seen:
                seen.append(kind)
                pending += [field.annotation for field in kind.model_fields.values()]
        else:
            pending += get_args(kind)
    yield from seen


class Place(NamedTuple):
    """The position of a section in the configuration.

    Attributes:
        key: key of the section.
        values: its values in the file of default values, if there are any.
    """

    key: str
    values: Mapping[str, Any]


def reference_tables(section: type[BaseModel], defaults: Mapping[str, Any]) -> str:
    """Return a table for each section below `section`: setting, allowed values, unit, default, description, source.

    Sections of one kind share a table. Where their defaults differ, the table names those of each.

    Args:
        section: the definition of the whole configuration.
        defaults: the file of default values.
    """
    places: dict[type[BaseModel], list[Place]] = {}
    _collect(section, Place("", defaults), places)
    return "\n".join(_table(kind, where) for kind, where in places.items())


def _collect(section: type[BaseModel], place: Place, places: dict[type[BaseModel], list[Place]]) -> None:
    places.setdefault(section, []).append(place)
    for name, field in section.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        below = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        value = place.values.get(name)
        if below and (isinstance(value, Mapping) or field.is_required()):
            _collect(below, Place(f"{place.key}.{name}".strip("."), value or {}), places)


def _table(section: type[BaseModel], places: list[Place]) -> str:
    keys = ", ".join(f"`{place.key}`" for place in places) or ""
    heading = "## The whole" if places[0].key == "" else f"## {keys}"
    rows = "".join(_row(section, name, description, places) for name, description in descriptions(section).items())
    columns = ("setting", "allowed", "unit", "default", "description", "dissertation")
    head = f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"
    return f"{heading}\n\n{' '.join((section.__doc__ or '').split())}\n\n{head}{rows}"


def _row(section: type[BaseModel], name: str, description: Description, places: list[Place]) -> str:
    root = json_schema(section)
    node = root["properties"][name]
    field = section.model_fields[name]
    part = next((item for item in field.metadata if isinstance(item, PartOf)), None)
    is_section = resolved(root, node).get("type") == "object" and "properties" in resolved(root, node)
    kind = "some of the settings there" if part else "a section" if is_section else _in_words(node)
    default = "" if is_section or part else _defaults(field.default, name, places)
    cells = [f"`{name}`", kind, description.unit, default, description.text, description.source]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _in_words(node: Schema) -> str:
    return allowed(node) or "anything"


def _defaults(default: Any, name: str, places: list[Place]) -> str:
    """Return a description of the default values of a setting, with the names of sections if they differ."""
    by_value: dict[str, list[str]] = {}
    for place in places:
        if name in place.values:
            shown = _shown(place.values[name])
        elif default is PydanticUndefined:
            continue
        else:
            shown = f"{_shown(default)} if left out"
        by_value.setdefault(shown, []).append(_distinct(place.key, places))
    if len(by_value) == 1:
        return next(iter(by_value))
    return "; ".join(f"{shown} ({', '.join(keys)})" for shown, keys in by_value.items())


def _distinct(key: str, places: list[Place]) -> str:
    """Return the part of a key that differs from the keys of other sections of the same kind."""
    parts = [place.key.split(".") for place in places]
    own = key.split(".")
    differs = [index for index, part in enumerate(own) if any(other[index : index + 1] != [part] for other in parts)]
    return own[differs[0]] if differs else key


def _shown(value: Any) -> str:
    if isinstance(value, Mapping | list) and len(json.dumps(value)) > 60:
        return "see `config.yaml`"
    return f"`{json.dumps(value)}`"
