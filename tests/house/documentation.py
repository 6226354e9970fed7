"""The examples of the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FENCED = re.compile(r"^```python\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<printed>.*?)^```$)?", flags=re.M | re.S)


class Example(NamedTuple):
    """A Python block of a page and its expected output, which is None if no text block follows."""

    code: str
    printed: str | None


def examples(page: Path) -> list[Example]:
    """Return the examples of a page; empty lines before the code keep the line numbers of the page."""
    text = page.read_text()
    return [
        Example("\n" * text.count("\n", 0, match.start("code")) + match["code"], match["printed"])
        for match in FENCED.finditer(text)
    ]


def python_blocks(page: Path) -> list[str]:
    """Return the code of the examples of a page."""
    return [example.code for example in examples(page)]
