from __future__ import annotations

import pytest

from lyapunov_pkg.reproduction.figures.chapter_3.classification import fig_3_10, fig_3_11, fig_3_b4
from tests.reproduction.figures.checks import texts


@pytest.mark.parametrize(("total_epochs", "expected"), [(10, ["0", "10", "20", "50"]), (4, ["0", "25", "50"])])
def test_fig_3_10_shows_the_epochs_closest_to_the_dissertation(total_epochs, expected, datasets):
    fig = fig_3_10(datasets()["pretrained"].assign_attrs(total_epochs=total_epochs))
    titles = [text for text in texts(fig) if "% of training" in text]
    assert [title.split("%")[0] for title in titles] == [
        f"({letter}) {percent}" for letter, percent in zip("abcd", expected, strict=False)
    ]


def test_fig_3_10_shades_the_side_with_low_error(datasets):
    pretrained = datasets(n_seeds=1)["pretrained"]
    for low_is_above in (True, False):
        pretrained["low_is_above"][:] = low_is_above
        ax = fig_3_10(pretrained).axes[0]
        (shaded,) = [patch for patch in ax.patches if patch.get_label() == "predicted low error"]
        left, right = shaded.get_x(), shaded.get_x() + shaded.get_width()
        assert (left, right) == pytest.approx((0, ax.get_xlim()[1]) if low_is_above else (ax.get_xlim()[0], 0))


def test_fig_3_11_counts_all_test_networks_inside_the_limits(datasets):
    pretrained = datasets(n_seeds=1)["pretrained"]
    n_test = int((pretrained["partition"] == "test").sum())
    for ax in fig_3_11(pretrained).axes:
        drawn = sum(bar.get_height() for container in ax.containers for bar in container)
        outside = sum(int(text.get_text().split()[0]) for text in ax.texts)
        assert drawn + outside == n_test


def test_fig_3_b4_has_a_column_for_each_study_in_the_order_of_the_chapter(datasets):
    final = datasets()["final"]
    fig = fig_3_b4(smnist=final, target_learning=final, char_rnn_sizes=final)
    headings = [text.split("\n")[0] for text in texts(fig) if "test networks" in text]
    assert headings == ["(a) Target learning", "(b) CharRNN", "(c) SMNIST"]
    assert len(fig.axes) == 9
