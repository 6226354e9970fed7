"""Strict reading of configuration files: every key is text and occurs once, and no alias contains itself.

PyYAML silently keeps the last of two equal keys, and silently reads `yes` as a boolean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lyapunov_pkg.workflow.settings import ConfigurationError

_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_KINDS = ("str", "merge", "map", "seq", "int", "float", "bool", "null", "timestamp")
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in _KINDS}
_DEEPEST = 100
_MOST_FAULTS = 8  # that a message lists


def read_configuration(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML or JSON file.

    Raises:
        ConfigurationError: the file cannot be read or is not a mapping. Or a key occurs twice or is not text, an alias
            contains itself, or a tag creates an object. The message has a line for each fault, with its line number in
            the file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"the byte {error.object[error.start]:#x}"
        raise ConfigurationError(f"{path}: expected text in UTF-8, found {found}") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        loaded = _from_json(text) if Path(path).suffix == ".json" else _from_yaml(text)
    except RecursionError:
        raise ConfigurationError(f"{path}: nested too deeply") from None
    except (ValueError, yaml.YAMLError) as error:
        lines = str(error).splitlines() if isinstance(error, _Faults) else [_in_one_line(error)]
        if len(lines) > _MOST_FAULTS:
            lines[_MOST_FAULTS - 1 :] = [f"and {len(lines) - _MOST_FAULTS + 1} more faults"]
        raise ConfigurationError("\n".join(f"{path}: {line}" for line in lines)) from None
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"{path}: expected a mapping of settings, found {type(loaded).__name__}")
    return loaded


def _in_one_line(error: Exception) -> str:
    """Return the message and the position of a parser's error, without its excerpt of the file."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        place = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
        return f"{place}: {' '.join(filter(None, [error.context, error.problem]))}"
    return " ".join(str(error).split())


class _Faults(ValueError):
    """Faults of a file, one per line."""


class _Loader(yaml.SafeLoader):
    """Snakemake's loader, with a limit of depth. That of libyaml is faster, but accepts files that this one refuses."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose the next node and those below it."""
        self._depth += 1
        if self._depth > _DEEPEST and self.check_event(yaml.CollectionStartEvent):
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise _Faults(f"line {line}: nested more than {_DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _from_yaml(text: str) -> Any:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        faults = sorted(set(_faults(root, set(), set())))
        if faults:
            raise _Faults("\n".join(f"line {line}: {fault}" for line, fault in faults))
        return None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _faults(node: yaml.Node | None, above: set[int], seen: set[int]) -> Iterator[tuple[int, str]]:
    """Yield (line, fault) for a node and the nodes below it. A node with several aliases is checked once."""
    if node is not None and id(node) in above:
        yield (
            node.start_mark.line + 1,
            "an alias names a mapping or list that contains it; expected no such loop",
        )
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if node.tag not in _PLAIN:
        yield node.start_mark.line + 1, f"the tag {node.tag} is not known; expected plain YAML"
    inside = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _faults(item, inside, seen)
    elif isinstance(node, yaml.MappingNode):
        yield from _key_faults(node)
        for _, value in node.value:
            yield from _faults(value, inside, seen)


def _key_faults(mapping: yaml.MappingNode) -> Iterator[tuple[int, str]]:
    """Yield the keys of a mapping that are not text or occur twice."""
    first: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if key.tag == _MERGE:
            continue
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
            kind = {"bool": "a boolean", "null": "null", "map": "a mapping", "seq": "a list"}.get(
                key.tag.rpartition(":")[2], "a number"
            )
            shown = key.value if isinstance(key, yaml.ScalarNode) else "[...]"
            yield line, f"the key {shown} is {kind} to YAML; expected text (quote it if it is a name)"
        elif key.value in first:
            yield line, f"the key {key.value!r} is given twice, first in line {first[key.value]}; expected it once"
        else:
            first[key.value] = line


def _from_json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise _Faults("\n".join(f"the key {name!r} is given twice; expected it once" for name in twice))
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)
