"""The project's metadata agree in all places."""

from __future__ import annotations

import re

import pytest

import lyapunov_pkg
from lyapunov_pkg import aelle, cells, plots, systems
from tests.house.base_dependencies import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))


def test_citation_and_changelog_have_the_version_and_its_date() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    version, date = re.search(r"^## \[(\d[^]]*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.M).groups()
    assert version == lyapunov_pkg.__version__
    assert f"\nversion: {version}\n" in citation and f"\ndate-released: {date}\n" in citation


@pytest.mark.parametrize("package", [lyapunov_pkg, systems, cells, aelle, plots], ids=lambda package: package.__name__)
def test_every_public_name_is_in_the_reference(package) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    listed = set(re.findall(r"^   (?:~?\w+\.)*(\w+)$", page, flags=re.M))
    assert set(package.__all__) - {"CELLS"} <= listed


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_a_gallery_example_is_short_and_has_a_title_and_a_figure(example) -> None:
    text = example.read_text()
    assert re.match(r'"""\n\S.*\n=+\n', text) and "plt.show()" in text
    code = [line for line in text.split('"""\n', 2)[2].splitlines() if line.strip() and not line.startswith("#")]
    assert 20 <= len(code) <= 60


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100
