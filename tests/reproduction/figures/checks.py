"""Checks that apply to every figure."""

from __future__ import annotations

import re
from itertools import combinations
from string import ascii_lowercase

import numpy as np
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH


def texts(fig: Figure) -> list[str]:
    """Return all texts of a figure except tick labels."""
    found = [text for ax in fig.axes for text in (ax.xaxis.label, ax.yaxis.label, ax.title, ax._left_title, *ax.texts)]
    for legend in [*fig.legends, *(ax.get_legend() for ax in fig.axes if ax.get_legend())]:
        found += legend.get_texts()
    return [text.get_text() for text in [*found, *fig.texts]]


def assert_complete(fig: Figure) -> None:
    assert isinstance(fig, Figure)
    assert fig.get_figwidth() == DOUBLE_WIDTH
    for ax in fig.axes:
        assert ax.has_data(), "an empty panel"
        assert np.isfinite([ax.get_xlim(), ax.get_ylim()]).all()
    assert_lettered(fig)
    # In a grid, one label may serve a whole row or column.
    assert any(ax.get_xlabel() for ax in fig.axes)
    assert any(ax.get_ylabel() for ax in fig.axes) or fig.get_supylabel()


def assert_lettered(fig: Figure) -> None:
    """Check that panels are labelled (a), (b), ...; a histogram and the scatter plot below it may share a letter."""
    panels = [ax for ax in fig.axes if ax.get_label() != "<colorbar>"]
    letters = sorted(found[1] for text in texts(fig) if (found := re.match(r"\(([a-z])\)", text)))
    assert letters == list(ascii_lowercase[: len(letters)])
    assert len(panels) == 1 or len(letters) >= len(panels) - 1


def assert_text_inside_and_panels_apart(fig: Figure, name: str) -> None:
    fig.draw_without_rendering()
    width, height = fig.get_size_inches() * fig.dpi
    for ax in fig.axes:
        panel, with_text = ax.get_window_extent(), ax.get_tightbbox()
        if ax.get_label() != "<colorbar>":
            assert panel.width > 0.1 * width and panel.height > 0.08 * height, name
        assert with_text.x0 > -2 and with_text.y0 > -2, name
        assert with_text.x1 < width + 2 and with_text.y1 < height + 2, name
    for legend in fig.legends:
        box = legend.get_window_extent()
        assert box.x0 > -2 and box.x1 < width + 2 and box.y0 > -2, name
    for first, second in combinations([ax.get_tightbbox().padded(-2) for ax in fig.axes], 2):
        assert not first.overlaps(second), name
