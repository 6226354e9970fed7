"""Every Python example of the documentation runs. Examples in docstrings are doctests, which pytest collects itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.base_dependencies import ROOT
from tests.house.documentation import python_blocks

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md")))
    if python_blocks(page) and page.name != "adding.md"  # whose blocks are files: tests/snakemake/test_adding.py
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run_one_after_the_other(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in python_blocks(page):
        exec(compile(block, str(page), "exec"), names)


def test_blocks_keep_their_line_numbers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```sh\nls\n```\n\n```python\nx = 1\n```\ntext\n```python\ny = x / 0\n```\n")
    blocks = python_blocks(page)
    assert [block.strip() for block in blocks] == ["x = 1", "y = x / 0"]
    assert blocks[1].count("\n", 0, blocks[1].index("y")) == 11  # line 12
