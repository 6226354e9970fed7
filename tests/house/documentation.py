"""The examples of the documentation, as readers see them."""

from __future__ import annotations

import re
from pathlib import Path


def python_blocks(page: Path) -> list[str]:
    """The Python blocks of a page, each with empty lines before it, so that line numbers are those of the page."""
    text = page.read_text()
    found = re.finditer(r"^```python\n(.*?)^```$", text, flags=re.M | re.S)
    return ["\n" * text.count("\n", 0, match.start(1)) + match.group(1) for match in found]
