from __future__ import annotations

import numpy as np

from lyapunov_pkg.reproduction.figures.chapter_3.embedding import fig_3_7, fig_3_8


def test_fig_3_7_shows_free_runs_whose_errors_are_low_middle_and_high(datasets):
    sets = datasets()
    runs = sets["free_runs"]  # errors 0.1, 0.2, ..., 1.1, and a network that diverged with an error of 0
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
