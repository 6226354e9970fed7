"""Targets that a user asks for by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_target(asked: str, names: Iterable[str]) -> str | None:
    """Return what to say of a target that there is not, with the closest one; None if it is known, or a file.

    >>> unknown_target("table32", ["table_3_1", "table_3_2", "chapter_3"])
    "there is no target 'table32'; did you mean table_3_2? `make list` shows all targets"
    >>> unknown_target("table_3_2", ["table_3_2"])
    >>> unknown_target("results/tables/table_3_2.csv", ["table_3_2"])
    """
    names = list(names)
    if asked in names or "/" in asked or "." in asked:
        return None
    # Among names that are as close as one another, the first that is written with the same letters.
    close = difflib.get_close_matches(asked, names, n=5)
    close.sort(key=lambda name: name.replace("_", "") != asked.replace("_", ""))
    suggestion = f"did you mean {close[0]}? " if close else ""
    return f"there is no target {asked!r}; {suggestion}`make list` shows all targets"
