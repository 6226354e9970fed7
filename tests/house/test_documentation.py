"""Every Python example of the documentation runs. Pytest collects the examples of docstrings as doctests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.base_dependencies import ROOT
from tests.house.documentation import examples, python_blocks

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md")))
    # The blocks of this page are files; tests/snakemake/test_adding.py runs them.
    if python_blocks(page) and page.name != "adding.md"
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for code, printed in examples(page):
        capsys.readouterr()
        exec(compile(code, str(page), "exec"), names)
        assert printed in (None, capsys.readouterr().out)


def test_blocks_keep_their_line_numbers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```sh\nls\n```\n\n```python\nx = 1\n```\ntext\n```python\ny = x / 0\n```\n\n```text\n2\n```\n"
    )
    assert [(code.strip(), printed) for code, printed in examples(page)] == [("x = 1", None), ("y = x / 0", "2\n")]
    blocks = python_blocks(page)
    assert blocks[1].count("\n", 0, blocks[1].index("y")) == 11  # The error must be in line 12.
