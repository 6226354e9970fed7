"""Checks of the targets that a user requests: names of rules, and files."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath


def unknown_target(
    asked: str, names: Sequence[str], files: Sequence[str] = (), is_made: Callable[[str], bool] | None = None
) -> str | None:
    """Return a message on an unknown target, with the closest known one; None if the target is known.

    Args:
        asked: the target. A target with a slash or a dot is a file.
        names: the targets with names.
        files: files that rules create, to suggest one of them.
        is_made: function that returns whether a rule creates a file. Default: whether it is one of `files`.

    >>> unknown_target("table32", ["table_3_1", "table_3_2", "chapter_3"])
    "there is no target 'table32'; did you mean table_3_2? `make list` shows all targets"
    >>> unknown_target("table_3_2", ["table_3_2"])
    >>> unknown_target("table_32.md", [], ["results/tables/table_3_1.md", "results/tables/table_3_2.md"])
    "no rule makes the file 'table_32.md'; did you mean results/tables/table_3_2.md? `make list` shows all targets"
    """
    if "/" in asked or "." in asked:
        path = str(PurePath(asked))
        if path in files if is_made is None else is_made(path):
            return None
        problem, suggestion = f"no rule makes the file {asked!r}", _closest_file(path, files)
    else:
        if asked in names:
            return None
        problem, suggestion = f"there is no target {asked!r}", _closest(asked, names)
    return f"{problem}; {f'did you mean {suggestion}? ' if suggestion else ''}`make list` shows all targets"


def _closest(asked: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the closest of the known names. Among several close names, one with the same letters is preferred."""
    close = difflib.get_close_matches(asked, list(known), n=5, cutoff=cutoff)
    close.sort(key=lambda name: name.replace("_", "") != asked.replace("_", ""))
    return close[0] if close else None


def _closest_file(asked: str, files: Iterable[str]) -> str | None:
    """Return the closest path among the files with similar names (without folders)."""
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(PurePath(file).name, []).append(file)
    names = difflib.get_close_matches(PurePath(asked).name, by_name, n=5)
    return _closest(asked, [file for name in names for file in by_name[name]], cutoff=0.0)
