"""The entries of cells: labels and plot styles are distinct, for given and for default styles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lyapunov_pkg.cells.entries import CELLS, DEFAULT_LOOKS, CellEntry, Look, look_of

ROOT = Path(__file__).parents[2]


def test_labels_are_distinct_and_not_empty():
    labels = [entry.label for entry in CELLS.values()]
    assert all(labels) and len(set(labels)) == len(labels)


def test_plot_styles_including_the_defaults_are_distinct():
    looks = [entry.look for entry in CELLS.values() if entry.look is not None] + list(DEFAULT_LOOKS)
    assert len({look.marker for look in looks}) == len(looks)
    assert len({(look.color, look.linestyle) for look in looks}) == len(looks)
    # Relative to a circle, this gives all markers about the same apparent size.
    assert all(0.75 <= look.marker_scale <= 1.5 for look in looks)
    own = {entry.look.color for entry in CELLS.values() if entry.look is not None}
    assert own.isdisjoint(look.color for look in DEFAULT_LOOKS)


def test_a_style_of_the_entry_is_used():
    assert look_of("lem") == Look("#6B3E1E", "*", 1.5, (0, (5, 1, 1, 1, 1, 1)))


def test_cells_without_a_style_get_default_styles_by_position(monkeypatch):
    for name in ("leaky", "reservoir"):
        monkeypatch.setitem(CELLS, name, CellEntry(name.title(), name))
    assert [look_of(name) for name in ("leaky", "reservoir", "no cell")] == list(DEFAULT_LOOKS[:3])
    for number in range(len(DEFAULT_LOOKS)):
        monkeypatch.setitem(CELLS, f"more {number}", CellEntry("More", "more"))
    assert look_of("more 4") == DEFAULT_LOOKS[0]  # This is the seventh cell without a style.


@pytest.mark.parametrize("architecture", CELLS)
def test_matplotlib_knows_every_style(architecture):
    colors, markers = pytest.importorskip("matplotlib.colors"), pytest.importorskip("matplotlib.markers")
    for look in (look_of(architecture), *DEFAULT_LOOKS):
        assert colors.is_color_like(look.color)
        assert look.marker in markers.MarkerStyle.markers


def digest(repository: Path, script: str, cell: str) -> str:
    program = (
        "from lyapunov_pkg.workflow.provenance import code_digest; "
        f"print(code_digest('workflow_scripts/{script}.py', ['lyapunov_pkg.cells.{cell}']))"
    )
    environment = os.environ | {"PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.mark.parametrize("script", ["train", "spectra"])
def test_the_digest_of_a_network_depends_on_its_own_cell_and_on_no_entry(script, tmp_path):
    """An edited colour or a new cell recomputes no network. An edited cell recomputes its own networks."""
    for folder in ("lyapunov_pkg", "workflow_scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = digest(tmp_path, script, "gru")
    entries = tmp_path / "lyapunov_pkg/cells/entries.py"
    text = entries.read_text()
    assert CELLS["gru"].look.color in text
    text = text.replace(CELLS["gru"].look.color, "#123456").replace(
        '"lem": ', '"leaky": CellEntry("L", "L"),\n    "lem": '
    )
    entries.write_text(text)
    assert digest(tmp_path, script, "gru") == before
    own = tmp_path / "lyapunov_pkg/cells/gru.py"
    own.write_text(own.read_text().replace("n_gates: ClassVar[int] = 3", "n_gates: ClassVar[int] = 1 + 2"))
    assert digest(tmp_path, script, "gru") != before
