"""Tables that are included in the pages of docs/reproduction, and links between the pages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lyapunov_pkg.reproduction import included_tables
from lyapunov_pkg.reproduction.catalogue import tables
from lyapunov_pkg.reproduction.included_tables import (
    BLOCK,
    BlockError,
    blocks,
    main,
    origin_of,
    table_content,
    with_tables,
)
from tests.house.base_dependencies import ROOT

PAGES = sorted((ROOT / "docs" / "reproduction").glob("*.md"))
ORIGIN = re.compile(r"^\*Configuration `(\S+)`, commit [0-9a-f]{7,}, \d{4}-\d\d-\d\d\.\*$", flags=re.M)
PAGE = "# Title\n\n<!-- table: table_3_2, config.yaml -->\nold\n<!-- end of table -->\n\nText.\n"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_block_of_a_page_has_a_table_and_its_origin(path: Path) -> None:
    page = path.read_text()
    for name, configuration in blocks(page):
        assert (ROOT / configuration).is_file(), name
    for block in BLOCK.finditer(page):
        assert [configuration for configuration in ORIGIN.findall(block[3])] == [block[2]], block[1]
        assert tables()[block[1]].text() in block[3], f"{block[1]}: its caption has changed; run `make doc-tables`"
        assert re.search(r"^\|[ :|-]+\|$", block[3], flags=re.M), block[1]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_between_pages_are_valid(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([\w./-]*)(#[\w-]+)?\)", path.read_text()):
        page = path.parent / target if target else path
        assert page.is_file(), target
        assert not anchor or anchor in headings(page), f"{target}{anchor}"


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub and MyST create them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M)
    return {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_chapter_has_a_page_and_a_link_from_the_verdicts() -> None:
    assert {path.name for path in PAGES} == {"index.md", *(f"chapter_{number}.md" for number in (1, 2, 3, 4))}
    verdicts = (ROOT / "docs" / "reproduction" / "index.md").read_text()
    assert all(path.name in verdicts for path in PAGES if path.name != "index.md")


def test_only_blocks_of_the_configuration_are_replaced() -> None:
    page = PAGE + PAGE.replace("config.yaml", "config/laptop.yaml")
    written = with_tables(page, "config.yaml", lambda name: f"new {name}")
    assert written.count("old") == 1 and written.count("new table_3_2") == 1
    assert list(blocks(written)) == list(blocks(page))
    assert with_tables(written, "config.yaml", lambda name: f"new {name}") == written


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (PAGE.replace("<!-- end of table -->", ""), "can be read"),
        (PAGE.replace(", config.yaml", ""), "can be read"),
        (PAGE.replace("table_3_2", "table_3_9"), "there is no table table_3_9; did you mean"),
        (PAGE.replace("old", "<!-- table: table_3_1, config.yaml -->"), "can be read"),
    ],
)
def test_an_unreadable_block_is_named(page: str, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        with_tables(page, "config.yaml", str)


def test_table_content_is_the_output_of_the_workflow(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    with pytest.raises(BlockError, match="make doc-tables"):
        table_content("table_3_2", tmp_path, "Origin.")
    (tmp_path / "tables" / "table_3_2.md").write_text("| a |\n|:--|\n| 1 |\n\nOne note.\nAnother.\n")
    content = table_content("table_3_2", tmp_path, "Origin.")
    assert content == f"{tables()['table_3_2'].text()}\n\n| a |\n|:--|\n| 1 |\n\nOne note.\n\nAnother.\n\n*Origin.*"


def test_the_origin_is_refused_if_there_are_uncommitted_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("Text.\n")
    git("add", ".")
    git("commit", "--message", "First")
    (tmp_path / "docs" / "page.md").write_text("Other text.\n")
    assert ORIGIN.fullmatch(f"*{origin_of('config.yaml', tmp_path)}*")
    (tmp_path / "config.yaml").write_text("seed: 2\n")
    with pytest.raises(BlockError, match="commit these changes first"):
        origin_of("config.yaml", tmp_path)


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of two pages in an own root, with the results of one table and the origin "Origin."."""
    folder = tmp_path / "docs" / "reproduction"
    folder.mkdir(parents=True)
    (folder / "b.md").write_text(PAGE)
    (folder / "a.md").write_text(PAGE.replace("table_3_2", "table_3_1") + PAGE.replace("config.yaml", "own.yaml"))
    (tmp_path / "results" / "tables").mkdir(parents=True)
    for name in ("table_3_1", "table_3_2"):
        (tmp_path / "results" / "tables" / f"{name}.md").write_text(f"| {name} |\n")
    monkeypatch.setattr(included_tables, "ROOT", tmp_path)
    monkeypatch.setattr(included_tables, "origin_of", lambda configuration, root: f"{configuration} in {root.name}.")
    return folder


def test_the_command_lists_the_tables_of_a_configuration(pages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "--cores", "1"]) == 0
    assert capsys.readouterr().out == "table_3_1 table_3_2\n"
    assert main(["targets", "--configfile", "own.yaml"]) == 0
    assert capsys.readouterr().out == "table_3_2\n" and "old" in (pages / "b.md").read_text()


def test_the_command_writes_the_tables_of_a_configuration(
    pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["write"]) == 0
    first, second = ((pages / name).read_text() for name in ("a.md", "b.md"))
    content = table_content("table_3_2", tmp_path / "results", f"config.yaml in {tmp_path.name}.")
    assert second == PAGE.replace("old\n", f"\n{content}\n\n")
    assert first.count("| table_3_1 |") == 1 and first.endswith(PAGE.replace("config.yaml", "own.yaml"))
    assert capsys.readouterr().out == ""


def test_the_command_says_what_is_missing(pages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "--configfile", "other.yaml"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "no page of docs/reproduction has a table of other.yaml\n" and not printed.out


def test_a_folder_without_git_is_named(tmp_path: Path) -> None:
    with pytest.raises(BlockError, match=f"git status failed in {tmp_path}: fatal"):
        origin_of("config.yaml", tmp_path)
