"""The entries of cells: labels and looks are told apart, given or not."""

from __future__ import annotations

import pytest

from lyapunov_pkg.cells.entries import CELLS, DEFAULT_LOOKS, CellEntry, Look, look_of


def test_labels_are_distinct_and_not_empty():
    labels = [entry.label for entry in CELLS.values()]
    assert all(labels) and len(set(labels)) == len(labels)


def test_looks_are_told_apart_defaults_included():
    looks = [entry.look for entry in CELLS.values() if entry.look is not None] + list(DEFAULT_LOOKS)
    assert len({look.marker for look in looks}) == len(looks)
    assert len({(look.color, look.linestyle) for look in looks}) == len(looks)
    own = {entry.look.color for entry in CELLS.values() if entry.look is not None}
    assert own.isdisjoint(look.color for look in DEFAULT_LOOKS)


def test_an_own_look_is_taken():
    assert look_of("lem") == Look("#6B3E1E", "*", 1.5, (0, (5, 1, 1, 1, 1, 1)))


def test_cells_without_a_look_get_one_each_by_position(monkeypatch):
    for name in ("leaky", "reservoir"):
        monkeypatch.setitem(CELLS, name, CellEntry(name.title(), name))
    assert [look_of(name) for name in ("leaky", "reservoir", "no cell")] == list(DEFAULT_LOOKS[:3])
    for number in range(len(DEFAULT_LOOKS)):
        monkeypatch.setitem(CELLS, f"more {number}", CellEntry("More", "more"))
    assert look_of("more 4") == DEFAULT_LOOKS[0]  # the seventh without a look


@pytest.mark.parametrize("architecture", CELLS)
def test_matplotlib_knows_every_look(architecture):
    colors, markers = pytest.importorskip("matplotlib.colors"), pytest.importorskip("matplotlib.markers")
    for look in (look_of(architecture), *DEFAULT_LOOKS):
        assert colors.is_color_like(look.color)
        assert look.marker in markers.MarkerStyle.markers
