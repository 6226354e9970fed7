"""Checks that apply to every figure."""

from __future__ import annotations

import re
from itertools import combinations
from string import ascii_lowercase

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from lyapunov_pkg.reproduction.figures.style import DOUBLE_WIDTH
from tests.reproduction.figures.said import SAID


def texts(fig: Figure) -> list[str]:
    """Return all texts of a figure except tick labels."""
    found = [text for ax in fig.axes for text in (ax.xaxis.label, ax.yaxis.label, ax.title, ax._left_title, *ax.texts)]
    for legend in [*fig.legends, *(ax.get_legend() for ax in fig.axes if ax.get_legend())]:
        found += legend.get_texts()
    return [text.get_text() for text in [*found, *fig.texts]]


def written(fig: Figure) -> list[str]:
    """Return what a figure says: its size, its own texts, a line for each panel, and the legends.

    The line of a panel is "title | x label | y label | line at ...", with the straight lines across it. Panels without
    any are omitted. Numbers with decimals are replaced by #, because tests of the drawn data check them.
    """

    def named(legend: Legend) -> str:
        title, labels = legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]
        return f"legend in {legend._ncols} columns {title}".rstrip() + ": " + ", ".join(labels)

    lines = [text.get_text() for text in fig.texts]
    for ax in fig.axes:
        labels = [ax.get_title(loc="left") or ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
        labels += [f"line at {axis} = {value:g}" for axis, value in reference_lines(ax)]
        lines += [" | ".join(labels)] if any(labels) else []
        lines += [named(ax.get_legend())] if ax.get_legend() else []
    lines += [named(legend) for legend in fig.legends]
    rows, columns = fig.axes[0].get_subplotspec().get_gridspec().get_geometry()
    size = f"{fig.get_figheight():g} inches high, {rows} x {columns} places:"
    return [size, *(re.sub(r"\d+\.\d+", "#", line) for line in lines)]


def assert_says(fig: Figure, name: str) -> None:
    """Check that a figure from the default stores of the tests says what `said` has for it."""
    assert name in SAID, f"{name} is missing in said.py. It says: {written(fig)}"
    found, expected = (
        re.split(r" (?=\([a-z]\) |legend)", " ".join(text.split())) for text in (" ".join(written(fig)), SAID[name])
    )
    assert found == expected


def reference_lines(ax: Axes) -> list[tuple[str, float]]:
    """Return ("x" or "y", value) of the straight lines across a whole panel, in the order in which they were drawn."""
    found = []
    for line in ax.lines:
        for axis, along, transform in (
            ("x", line.get_xdata(), ax.get_xaxis_transform(which="grid")),
            ("y", line.get_ydata(), ax.get_yaxis_transform(which="grid")),
        ):
            if line.get_transform() == transform and len(along) == 2 and along[0] == along[1]:
                found.append((axis, float(along[0])))
    return found


def panel(fig: Figure, letter: str) -> Axes:
    """Return the panel whose title begins with a letter in parentheses."""
    (found,) = [ax for ax in fig.axes if (ax.get_title(loc="left") or ax.get_title()).startswith(f"({letter})")]
    return found


def points_by_label(ax: Axes) -> dict[str, np.ndarray]:
    """Return the points of the scatter plots of a panel, (n, 2), by label."""
    return {drawn.get_label(): np.asarray(drawn.get_offsets()) for drawn in ax.collections if len(drawn.get_offsets())}


def curves(ax: Axes) -> list[tuple[str, np.ndarray]]:
    """Return label and points (n, 2) of the lines of a panel, without straight lines across it and legend entries."""
    across = (ax.get_xaxis_transform(which="grid"), ax.get_yaxis_transform(which="grid"))
    shown = [line for line in ax.lines if line.get_transform() not in across and len(line.get_xdata())]
    return [(line.get_label(), line.get_xydata()) for line in shown]


def error_bars(ax: Axes) -> dict[str, np.ndarray]:
    """Return position, value, and the lower and the upper end of the error bars of a panel, (4, n), by label."""
    found = {}
    for drawn in ax.containers:
        value, _, (bars,) = drawn.lines
        low, high = np.array([segment[:, 1] for segment in bars.get_segments()]).T
        found[drawn.get_label()] = np.array([*value.get_xydata().T, low, high])
    return found


def assert_notes_count_points_outside(ax: Axes) -> None:
    """Check that the note of a panel of points is the number of those outside its limits, or absent if none is."""
    points = np.concatenate([*points_by_label(ax).values(), np.empty((0, 2))])
    limits = np.array([ax.get_xlim(), ax.get_ylim()]).T
    n_outside = np.count_nonzero(((points < limits[0]) | (points > limits[1])).any(axis=1))
    notes = [text.get_text() for text in ax.texts if text.get_text().endswith("outside")]
    assert notes == ([f"{n_outside} outside"] if n_outside else [])


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
