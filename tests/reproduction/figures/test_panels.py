from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from matplotlib import image, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lyapunov_pkg.cells.entries import DEFAULT_LOOKS
from lyapunov_pkg.reproduction.figures.panels import (
    first_seed,
    held_out,
    label_spectrum_axes,
    legend_below,
    legend_under,
    letter_panels,
    level_looks,
    note_outside,
    robust_limits,
    scatter_by_architecture,
    scatter_by_error,
    scatter_by_level,
    shade_predicted_low,
    shift_colors,
    shift_label,
    spectrum_line,
    stacked_histogram,
    threshold_line,
)
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, in_display_order
from lyapunov_pkg.reproduction.figures.style import (
    HIGH_ERROR_COLOR,
    LOW_ERROR_COLOR,
    PAPER_STYLE,
    architecture_style,
    save_figure,
)

# Simulated colour-vision deficiency: linear RGB to linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def seen_as(color: str, vision: str) -> np.ndarray:
    """Return CIELAB coordinates (D65) of a colour as people with this colour vision see it."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_for_every_colour_vision(vision):
    # No figure shows the rank-1 network together with another architecture.
    colors = [architecture_style(name).color for name in ARCHITECTURE_LABELS if name != "rank_one"]
    colors += {look.color for look in DEFAULT_LOOKS}
    for first, second in [*combinations(colors, 2), (LOW_ERROR_COLOR, HIGH_ERROR_COLOR)]:
        assert np.linalg.norm(seen_as(first, vision) - seen_as(second, vision)) > 15


def test_markers_differ():
    assert len({architecture_style(name).marker for name in ARCHITECTURE_LABELS}) == len(ARCHITECTURE_LABELS)


def test_architectures_have_a_fixed_display_order():
    assert in_display_order(np.array(["zeta", "lem", "rnn", "lem", "alpha"]), ARCHITECTURE_LABELS) == [
        "rnn",
        "lem",
        "alpha",
        "zeta",
    ]


def test_limits_contain_all_values_without_outliers():
    low, high = robust_limits(np.linspace(-2, 3, 30))
    assert low < -2 and high > 3 and high - low < 6


def test_limits_exclude_outliers_and_non_finite_values():
    values = np.concatenate([np.linspace(0, 1, 50), [-20.0, np.nan, -np.inf]])
    low, high = robust_limits(values)
    assert -0.2 < low < 0 and 1 < high < 1.2


def test_limits_contain_the_threshold():
    assert robust_limits(np.linspace(0, 1, 50), include=[4.0, np.nan])[1] > 4


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [0.0, 0.0]])
def test_limits_of_few_values_have_positive_width(values):
    low, high = robust_limits(np.array(values))
    assert np.isfinite([low, high]).all() and low < high


def axes() -> Axes:
    return Figure().subplots()


def test_limits_have_a_margin_and_keep_values_up_to_one_width_from_the_central_ones():
    assert robust_limits(np.array([2.0, 4.0])) == pytest.approx((1.9, 4.1))
    assert robust_limits(np.full(3, -2.0)) == pytest.approx((-2.1, -1.9))
    assert robust_limits(np.zeros(2)) == pytest.approx((-5e-5, 5e-5))
    assert robust_limits(np.array([])) == (0, 1)
    assert robust_limits(np.array([2.0, 4.0]), include=[1.0]) == pytest.approx((0.85, 4.15))
    values = np.linspace(0, 1, 1001)  # The central 90% are from 0.05 to 0.95, so that their width is 0.9.
    low, high = robust_limits(np.append(values, [-0.8, 1.8, -0.9, 1.9]))
    assert (low + high, high - low) == pytest.approx((1, 1.1 * 2.6), abs=0.01)


@pytest.mark.parametrize(
    ("x", "y", "note"),
    [
        ([0.0, 1, 2, 3], [5.0, 5, 6.5, 7], ["3 outside"]),  # One point is outside in both directions.
        ([0.0, 1, 2, 3], None, ["2 outside"]),
        (None, [5.0, 6, 7, 9], ["2 outside"]),
        ([1.0, 2], [4.0, 5], []),  # A point on the edge is inside.
    ],
)
def test_a_note_counts_points_outside_by_either_direction(x, y, note):
    ax = axes()
    ax.set(xlim=(1, 2), ylim=(4, 6))
    note_outside(ax, *(None if values is None else np.array(values) for values in (x, y)))
    assert [text.get_text() for text in ax.texts] == note


def test_points_are_drawn_by_error_with_low_errors_on_top():
    ax, low_error = axes(), np.array([True, False, False, True, False])
    scatter_by_error(ax, np.arange(5.0), 10 + np.arange(5.0), low_error)
    high, low = ax.collections
    assert (high.get_label(), low.get_label()) == ("high error", "low error")
    np.testing.assert_array_equal(high.get_offsets(), [[1, 11], [2, 12], [4, 14]])
    np.testing.assert_array_equal(low.get_offsets(), [[0, 10], [3, 13]])
    colors = [to_rgb(points.get_facecolor()[0]) for points in (high, low)]
    assert colors == [to_rgb(HIGH_ERROR_COLOR), to_rgb(LOW_ERROR_COLOR)]
    assert len(high.get_paths()[0].vertices) != len(low.get_paths()[0].vertices)  # The markers differ.


def test_points_are_drawn_by_architecture_in_its_colour_and_by_level_in_order():
    ax, names = axes(), np.array(["lem", "rnn", "lem"])
    scatter_by_architecture(ax, np.arange(3.0), -np.arange(3.0), names)
    assert [points.get_label() for points in ax.collections] == ["RNN", "LEM"]
    np.testing.assert_array_equal(ax.collections[1].get_offsets(), [[0, 0], [2, -2]])
    assert to_rgb(ax.collections[1].get_facecolor()[0]) == to_rgb(architecture_style("lem").color)
    ax = axes()
    scatter_by_level(ax, np.arange(3.0), -np.arange(3.0), np.array([32, 16, 32]), "hidden size")
    assert [points.get_label() for points in ax.collections] == ["hidden size 16", "hidden size 32"]
    np.testing.assert_array_equal(ax.collections[1].get_offsets(), [[0, 0], [2, -2]])


def test_levels_and_shifts_become_lighter_and_levels_have_different_markers():
    looks = level_looks(np.array([8.0, 1, 2, 4, 3, 5, 6, 7, 2, 9]))
    assert list(looks) == list(range(1, 10))
    colors = [color for color, _ in looks.values()]
    assert (np.diff([sum(color[:3]) for color in colors]) > 0).all()
    markers = [marker for _, marker in looks.values()]
    assert len(set(markers[:8])) == 8 and markers[8] == markers[0]
    shifts = shift_colors(np.array([0.5, -0.5, 0.0]))
    assert list(shifts) == [-0.5, 0, 0.5] and (np.diff([sum(color[:2]) for color in shifts.values()]) > 0).all()
    assert [shift_label(shift) for shift in shifts] == ["ΔT = −0.5", "ΔT = 0", "ΔT = +0.5"]


def test_histograms_stack_low_errors_below_high_errors_between_the_limits():
    ax = axes()
    values = np.array([0.5, 0.5, 0.6, 9.5, 20.0, 10.0])
    stacked_histogram(ax, values, np.array([True, False, True, False, True, True]), (0.0, 10.0))
    low, high = ax.containers
    assert (low[0].get_label(), high[0].get_label()) == ("low error", "high error")
    assert len(low) == 20 and [bar.get_x() for bar in low][:2] == [0, 0.5]
    assert low[1].get_height() == 2 and high[1].get_height() == 1 and high[1].get_y() == 2
    assert low[-1].get_height() == 1 and high[-1].get_height() == 1
    assert ax.get_xlim() == (0, 10) and ax.get_ylabel() == "networks"
    assert to_rgb(low[0].get_facecolor()) == to_rgb(LOW_ERROR_COLOR)
    assert all(tick == round(tick) for tick in ax.get_yticks())


def test_thresholds_are_drawn_if_finite_and_shaded_within_the_limits():
    ax = axes()
    ax.set_xlim(0, 10)
    for threshold in (np.nan, np.inf):
        threshold_line(ax, threshold, "median")
    shade_predicted_low(ax, np.nan, True)
    assert not ax.lines and not ax.patches
    threshold_line(ax, 4.0, "median")
    assert list(ax.lines[0].get_xdata()) == [4, 4] and ax.lines[0].get_label() == "median"
    for threshold, low_is_above in ((4.0, True), (4.0, False), (12.0, False), (-1.0, True), (-np.inf, True)):
        shade_predicted_low(ax, threshold, low_is_above)
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    assert spans == [(4, 10), (0, 4), (0, 10), (0, 10), (0, 10)]
    assert ax.patches[0].get_label() == "predicted low error"


def test_spectra_are_drawn_by_index_with_zero_inside_and_notes_on_outliers():
    ax = axes()
    exponents = np.array([[-1.0, -1.5, -2.0, np.nan], [-1.2, -1.4, -np.inf, np.nan]])
    spectrum_line(ax, exponents[0], "gru")
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3, 4] and ax.lines[0].get_label() == "GRU"
    assert ax.lines[0].get_color() == architecture_style("gru").color
    label_spectrum_axes(ax, exponents)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("index of exponent", "Lyapunov exponent [nats/step]")
    assert ax.get_ylim() == pytest.approx((-2.1, 0.1)) and [text.get_text() for text in ax.texts] == ["1 outside"]
    assert list(ax.lines[1].get_ydata()) == [0, 0]
    other = axes()
    label_spectrum_axes(other, exponents, also=np.array([1.0]))
    assert other.get_ylim() == pytest.approx((-2.15, 1.15))


def test_legends_have_every_label_once():
    fig = Figure()
    panels = fig.subplots(1, 2)
    for ax, labels in zip(panels, ("aab", "bc"), strict=True):
        for label in labels:
            ax.plot([0], [0], label=label)
    legend_below(fig, panels, columns=2, title="of both")
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    assert legend.get_title().get_text() == "of both" and legend._ncols == 2
    legend_under(panels[0], columns=3)
    own = panels[0].get_legend()
    assert [text.get_text() for text in own.get_texts()] == ["a", "b"] and own._ncols == 3
    assert own._loc == 9 and own.get_bbox_to_anchor().y0 < panels[0].get_window_extent().y0 - 20


def test_letters_come_before_titles_or_into_the_panels():
    fig = Figure()
    with rc_context(PAPER_STYLE):
        panels = fig.subplots(1, 3)
        panels[0].set_title("first")
        letter_panels(panels[:2], fontsize=5)
        letter_panels(panels[2:], inside=True)
    assert [ax.get_title(loc="left") for ax in panels] == ["(a) first", "(b)", ""]
    assert panels[0]._left_title.get_fontsize() == 5
    (letter,) = panels[2].texts
    assert letter.get_text() == "(a)" and letter.get_position() == (0.98, 0.97) and letter.get_ha() == "right"


def test_the_first_seed_is_named_if_there_are_several_and_only_test_networks_are_held_out():
    parts = [["test", "train", "test"], ["train", "test", "train"]]
    both = xr.Dataset({"partition": (("seed", "network"), parts)}, {"network": [3, 4, 5]})
    data, note = first_seed(both)
    assert note == ", first of 2 seeds" and first_seed(both.isel(seed=[0]))[1] == ""
    assert held_out(data)["network"].values.tolist() == [3, 5]


def test_figures_are_saved_in_the_layout_of_the_pdf_without_dates(tmp_path):
    fig = Figure(figsize=(2, 1))
    fig.text(0.5, 0.5, "text")
    save_figure(fig, tmp_path / "a.pdf", tmp_path / "a.png")
    assert image.imread(tmp_path / "a.png").shape[:2] == (300, 600)
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and not any(key in pdf for key in (b"CreationDate", b"Creator", b"Producer"))
    assert b"matplotlib" not in (tmp_path / "a.png").read_bytes().lower()
