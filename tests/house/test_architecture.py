"""docs/architecture.md names only existing files and every part of the package."""

from __future__ import annotations

import re

import pytest

from tests.house.base_dependencies import ROOT
from tests.house.layers import ABOVE, LIBRARY

PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGE = ROOT / "lyapunov_pkg"
ROWS = re.findall(r"^\| (`\w+/`)? ?\| (.*) \|$", PAGE, flags=re.M)


def named_files() -> list[str]:
    """Return the files and folders in the rows of the table of parts, each with its part as a prefix."""
    part, found = "", []
    for first, text in ROWS:
        part = first.strip("`") or part
        if part in {f"{folder.name}/" for folder in PACKAGE.iterdir() if folder.is_dir()}:
            found += [f"{part}{name}" for name in re.findall(r"`([\w/]+(?:\.py|/))`", text)]
    return found


def test_the_table_of_parts_was_found() -> None:
    assert {"linalg/tangent_flow.py", "cells/sequences/", "workflow/store.py"} <= set(named_files())


@pytest.mark.parametrize("name", named_files())
def test_files_on_the_page_exist(name: str) -> None:
    assert (PACKAGE / name).exists()


@pytest.mark.parametrize("part", ["linalg", "systems", "spectra", "aelle", "workflow"])
def test_the_page_names_every_file_of_a_part(part: str) -> None:
    files = {f"{part}/{path.name}" for path in (PACKAGE / part).glob("*.py") if path.name != "__init__.py"}
    assert files <= set(named_files())


def test_the_page_names_every_part() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__"} == set(LIBRARY) | set(ABOVE) - {"__init__"}
    assert all(re.search(rf"\b{part}\b", PAGE) for part in there - {"__init__"})


def test_the_order_of_layers_is_that_of_the_list() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| library, from the bottom up"))
    assert tuple(re.findall(r"`(\w+)`", row)) == LIBRARY
