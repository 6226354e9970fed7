from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

from lyapunov_pkg.reproduction.figures.chapter_3.embedding import fig_3_6, fig_3_7, fig_3_8, fig_3_9, most_crowded


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
