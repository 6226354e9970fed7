from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lyapunov_pkg.reproduction.figures.chapter_3.embedding import fig_3_6, fig_3_7, fig_3_8, fig_3_9, most_crowded
from lyapunov_pkg.reproduction.figures.panels import held_out, robust_limits
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS
from tests.reproduction.figures.checks import (
    assert_notes_count_points_outside,
    panel,
    points_by_label,
    reference_lines,
)


def test_fig_3_6_draws_the_autoencoder_symmetrically_with_the_latent_layer_darkest(datasets):
    final = datasets()["final"]
    bars, widths = fig_3_6(final).axes[0].patches, final.attrs["encoder_widths"]
    heights = [bar.get_height() for bar in bars]
    assert len(bars) == 2 * len(widths) - 1 and heights == heights[::-1]
    lightness = np.array([to_rgb(bar.get_facecolor())[0] for bar in bars])
    assert np.flatnonzero(lightness == lightness.min()).tolist() == [len(widths) - 1]


def test_fig_3_7_shows_free_runs_with_low_middle_and_high_errors(datasets):
    sets = datasets()
    runs = sets["free_runs"]  # The errors are 0.1, 0.2, ..., 1.1, and a diverged network has an error of 0.
    ax = fig_3_7(sets["final"], runs).axes[0]
    assert [text.get_text() for text in ax.texts] == [
        f"{name} error: {error}" for name, error in (("low", "0.20"), ("middle", "0.60"), ("high", "1.00"))
    ]
    targets, outputs = (ax.lines[first::2] for first in (0, 1))
    for row, shown in enumerate((1, 5, 9)):
        below = targets[row].get_ydata() - outputs[row].get_ydata()
        np.testing.assert_allclose(below, runs["target"].values[shown] - runs["free_output"].values[shown], atol=1e-6)


def test_fig_3_8_shows_the_text_and_shades_its_target(datasets):
    text = datasets()["text"]
    ax = fig_3_8(datasets()["final"], text).axes[0]
    shown = "".join(character.get_text() for character in ax.texts)
    sequence = np.append(text["test_input"].values[0], text["test_target"].values[0, -1])
    expected = "".join(text["alphabet"].values[sequence])
    assert shown == expected.replace(" ", "␣").replace("\n", "↵")
    shaded = ax.images[0].get_array()
    assert shaded.sum() == 1 and shaded.flat[len(expected) - 1] == 1


def test_most_crowded_part_is_the_square_with_the_most_points():
    crowd = np.array([[0.5], [0.5]]) + 0.05 * np.random.default_rng(0).uniform(-1, 1, (2, 30))
    others = np.array([[0.1, 0.9, 0.3], [0.1, 0.2, 0.9]])
    chosen = most_crowded(10 * np.concatenate([others, crowd], axis=1), np.array([[0.0, 10.0], [0.0, 10.0]]))
    assert not chosen[:3].any() and chosen[3:].sum() >= 15


def test_fig_3_9_enlarges_the_framed_part(datasets):
    sets = datasets()
    fig = fig_3_9(sets["final"], sets["examples"])
    (whole,) = [ax for ax in fig.axes if ax.get_title(loc="left").startswith("(c)")]
    (enlarged,) = [ax for ax in fig.axes if ax.get_title(loc="left").startswith("(d)")]
    (frame,) = whole.patches
    np.testing.assert_allclose(enlarged.get_xlim(), (frame.get_x(), frame.get_x() + frame.get_width()))
    np.testing.assert_allclose(enlarged.get_ylim(), (frame.get_y(), frame.get_y() + frame.get_height()))
    shown = np.concatenate([points.get_offsets() for points in enlarged.collections])
    n_inside = sum(
        frame.get_x() <= x <= frame.get_x() + frame.get_width()
        and frame.get_y() <= y <= frame.get_y() + frame.get_height()
        for x, y in shown
    )
    n_named = int(enlarged.get_title(loc="left").split()[2])
    assert 1 < n_named <= n_inside


def test_fig_3_6_shows_a_test_network_and_its_reconstruction_between_the_layers(default_sets, default_figure):
    data = default_sets["final"].isel(seed=0)
    network = held_out(data).isel(network=0)
    diagram = default_figure("fig_3_6").axes[0]
    spectrum, reconstruction = diagram.child_axes
    for small, shown in ((spectrum, "lyapunov_exponent"), (reconstruction, "reconstructed_exponent")):
        np.testing.assert_array_equal(small.lines[0].get_ydata(), network["lyapunov_exponent"])
        np.testing.assert_array_equal(small.lines[1].get_ydata(), network[shown])
        assert small.lines[1].get_color() == "black" != small.lines[0].get_color()
        assert not len(small.get_xticks()) and not len(small.get_yticks())
    assert (spectrum.get_xlabel(), reconstruction.get_xlabel()) == ("spectrum Z", "reconstruction Ẑ")
    corners = [small.get_axes_locator()(small, None).bounds for small in (spectrum, reconstruction)]
    within = [diagram.get_position().bounds for _ in corners]
    for (left, bottom, width, height), (x, y, w, h), place in zip(corners, within, (0.02, 0.78), strict=True):
        found = ((left - x) / w, (bottom - y) / h, width / w, height / h)
        assert found == pytest.approx((place, 0.43, 0.2, 0.3))
    places = {text.get_text(): text.get_position() for text in diagram.texts if text.get_text()}
    bars = diagram.patches
    centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    assert [text.get_text() for text in diagram.texts[:7]] == ["32", "4", "2", "16", "2", "4", "32"]
    for text, bar, centre in zip(diagram.texts[:7], bars, centres, strict=True):
        assert text.get_position() == pytest.approx((centre, bar.get_y() + bar.get_height() + 0.02))
        assert bar.get_y() + bar.get_height() / 2 == pytest.approx(0.58)
    heights = np.array([bar.get_height() for bar in bars[:4]])
    # Heights are linear in the logarithm of the width, up to half of the panel.
    np.testing.assert_allclose(heights, 0.08 + 0.42 * np.array([5, 2, 1, 4]) / 5)
    assert places["encoder φ"][0] == pytest.approx(np.mean(centres[1:3]))
    assert places["decoder ψ"][0] == pytest.approx(np.mean(centres[4:6]))
    assert places["linear prediction ξ:\nloss T̂"][0] < places["principal components:\nAeLLE"][0]
    assert (diagram.get_xlim(), diagram.get_ylim()) == ((0, 1), (0, 1)) and not diagram.axison
    arrows = [(text.xyann, text.xy) for text in diagram.texts if text.get_text() == ""]
    assert len(arrows) == 4 and all(start[0] < end[0] for start, end in arrows[:2])
    assert all(start == (centres[3], pytest.approx(0.58 - bars[3].get_height() / 2 - 0.01)) for start, _ in arrows[2:])


def test_fig_3_6_shows_the_classifier_on_the_test_networks(default_sets, default_figure):
    data = default_sets["final"].isel(seed=0)
    networks = held_out(data)
    ax = default_figure("fig_3_6").axes[1]
    places = networks["aelle_component"].values[:, :2]
    low = networks["low_error"].values
    np.testing.assert_array_equal(points_by_label(ax)["low error"], places[low])
    np.testing.assert_array_equal(points_by_label(ax)["high error"], places[~low])
    assert reference_lines(ax) == [("x", pytest.approx(0.3))]
    assert ax.get_xlim() == pytest.approx(robust_limits(places[:, 0], [0.3]))
    assert ax.get_ylim() == pytest.approx(robust_limits(places[:, 1]))
    (shaded,) = ax.patches
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == pytest.approx((0.3, ax.get_xlim()[1]))
    assert ax.get_title(loc="left").endswith(f"F1 {data['f1'].sel(classifier='aelle').item():.2f}")
    assert_notes_count_points_outside(ax)


@pytest.mark.parametrize(
    ("name", "quantity", "label"),
    [
        ("fig_3_7", "init_param", "g {:g}"),
        ("fig_3_8", "hidden_size", "hidden size {:g}"),
        ("fig_3_9", "architecture", "{}"),
    ],
)
def test_figs_3_7_to_3_9_show_test_networks_by_error_and_all_networks_by_kind(
    name, quantity, label, default_sets, default_figure
):
    data = default_sets["final"].isel(seed=0)
    networks, fig = held_out(data), default_figure(name)
    by_error, histogram, whole = fig.axes[1:4]
    everything, places = (of["aelle_component"].values[:, :2] for of in (data, networks))
    low = networks["low_error"].values
    np.testing.assert_array_equal(points_by_label(by_error)["low error"], places[low])
    np.testing.assert_array_equal(points_by_label(by_error)["high error"], places[~low])
    kinds = data[quantity].values
    drawn = points_by_label(whole)
    assert len(drawn) == len(np.unique(kinds))
    for kind in np.unique(kinds):
        of_kind = drawn[ARCHITECTURE_LABELS[kind] if quantity == "architecture" else label.format(kind)]
        np.testing.assert_array_equal(of_kind, everything[kinds == kind])
    for ax in (by_error, whole):
        assert ax.get_xlim() == pytest.approx(robust_limits(everything[:, 0], [0.3]))
        assert ax.get_ylim() == pytest.approx(robust_limits(everything[:, 1]))
        assert_notes_count_points_outside(ax)
    for ax in (by_error, histogram, whole):
        assert reference_lines(ax) == [("x", pytest.approx(0.3))]
    expected = [np.histogram(places[chosen, 0], np.linspace(*by_error.get_xlim(), 21))[0] for chosen in (low, ~low)]
    heights = [[bar.get_height() for bar in container] for container in histogram.containers]
    np.testing.assert_array_equal(heights, expected)
    assert not histogram.xaxis.get_tick_params()["labelbottom"]
    assert histogram.get_position().y0 >= by_error.get_position().y1


def test_fig_3_7_puts_free_runs_below_each_other_over_all_steps(default_sets, default_figure):
    runs, ax = default_sets["free_runs"], default_figure("fig_3_7").axes[0]
    assert [line.get_label() for line in ax.lines] == ["target", "free run"] * 3
    for row, (target, shown) in enumerate(zip(ax.lines[::2], (1, 5, 9), strict=True)):
        np.testing.assert_array_equal(target.get_xdata(), np.arange(40))
        np.testing.assert_allclose(target.get_ydata(), runs["target"].values[shown] - 3.2 * row, atol=1e-6)
    np.testing.assert_allclose([text.get_position() for text in ax.texts], [(0, 1.6), (0, -1.6), (0, -4.8)])
    low, high = ax.get_ylim()
    assert low == pytest.approx(-8) and high == pytest.approx(2.08) and not len(ax.get_yticks())


def test_fig_3_8_shows_the_last_hundred_characters_in_rows_of_ten(default_sets):
    text = default_sets["text"].isel(time=np.arange(120) % 40)
    ax = fig_3_8(default_sets["final"], text).axes[0]
    assert len(ax.texts) == 101
    sequence = np.append(text["test_input"].values[0], text["test_target"].values[0, -1])[-101:]
    shown = text["alphabet"].values[sequence]
    visible = {" ": "␣", "\n": "↵"}
    assert [drawn.get_text() for drawn in ax.texts] == [visible.get(character, character) for character in shown]
    assert [drawn.get_position() for drawn in ax.texts] == [(place % 10, place // 10) for place in range(101)]
    assert ax.images[0].get_array().shape == (11, 10) and ax.images[0].get_array()[10, 0] == 1


def test_fig_3_9_shows_the_first_image_by_row_and_column(default_sets, default_figure):
    ax = default_figure("fig_3_9").axes[0]
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), default_sets["examples"]["test_input"].values[0])
    assert image.get_extent() == [0.5, 8.5, 8.5, 0.5]  # Rows are read from the top, and the first is number 1.
    assert image.get_cmap()(1.0)[0] < image.get_cmap()(0.0)[0]


def test_the_frame_of_fig_3_9_is_wider_than_the_crowded_networks_by_a_margin(default_sets, default_figure):
    everything = default_sets["final"]["aelle_component"].values[0, :, :2].T
    fig = default_figure("fig_3_9")
    whole, enlarged = panel(fig, "c"), panel(fig, "d")
    limits = np.array([whole.get_xlim(), whole.get_ylim()])
    crowd = everything[:, most_crowded(everything, limits)]
    margin = 0.08 * np.ptp(crowd, axis=1) + 0.004 * np.diff(limits, axis=1)[:, 0]
    expected = np.stack([crowd.min(axis=1) - margin, crowd.max(axis=1) + margin], axis=1)
    np.testing.assert_allclose([enlarged.get_xlim(), enlarged.get_ylim()], expected)
    assert sum(map(len, points_by_label(enlarged).values())) == everything.shape[1]
    assert not whole.patches[0].get_fill()


def test_the_most_crowded_square_is_an_eighth_of_the_panel_wide():
    x = np.array([0.0, 0.06, 0.065, -0.06, 0.5, 0.9])
    chosen = most_crowded(np.array([x, np.zeros(6)]) * 4, np.array([[0.0, 4.0], [-2.0, 2.0]]))
    assert chosen.tolist() == [True, True, False, True, False, False]
