from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.figures.chapter_3.classification import fig_3_10, fig_3_11, fig_3_b4
from lyapunov_pkg.reproduction.figures.panels import held_out, robust_limits
from tests.reproduction.figures.checks import (
    assert_notes_count_points_outside,
    points_by_label,
    reference_lines,
    texts,
)


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
        threshold = float(pretrained["threshold"].sel(seed=0, classifier="aelle"))
        expected = (threshold, ax.get_xlim()[1]) if low_is_above else (ax.get_xlim()[0], threshold)
        assert (left, right) == pytest.approx(expected)


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


def test_fig_3_10_shows_the_test_networks_of_the_first_seed_at_each_epoch(default_sets, default_figure):
    data = default_sets["pretrained"].isel(seed=0)
    networks = held_out(data)
    fig = default_figure("fig_3_10")
    shown = networks["aelle_component"].sel(epoch=[0, 1, 2, 5])
    limits = robust_limits(shown.values[..., 0], [0.3]), robust_limits(shown.values[..., 1])
    for ax, epoch in zip(fig.axes, (0, 1, 2, 5), strict=True):
        drawn = points_by_label(ax)
        for label, chosen in (("low error", networks["low_error"]), ("high error", ~networks["low_error"])):
            expected = networks["aelle_component"].sel(epoch=epoch).values[chosen.values, :2]
            np.testing.assert_array_equal(drawn[label], expected)
        assert reference_lines(ax) == [("x", pytest.approx(0.3))]  # AeLLE is the fourth classifier.
        assert f"F1 {data['f1'].sel(classifier='aelle', epoch=epoch).item():.2f}" in ax.get_title(loc="left")
        assert (ax.get_xlim(), ax.get_ylim()) == (pytest.approx(limits[0]), pytest.approx(limits[1]))
        assert_notes_count_points_outside(ax)


def test_fig_3_11_shows_the_distribution_of_each_number_at_each_epoch(default_sets, default_figure):
    networks = held_out(default_sets["pretrained"].isel(seed=0))
    axes = np.reshape(default_figure("fig_3_11").axes, (4, 4))
    numbers = (
        networks["lyapunov_mean"],
        networks["lyapunov_max"],
        networks["spectrum_component"].isel(component=0),
        networks["aelle_component"].isel(component=0),
    )
    low = networks["low_error"].values
    for row, values, threshold in zip(axes, numbers, (0, 0.1, 0.2, 0.3), strict=True):
        limits = robust_limits(values.sel(epoch=[0, 1, 2, 5]).values, [threshold])
        for ax, epoch in zip(row, (0, 1, 2, 5), strict=True):
            assert ax.get_xlim() == pytest.approx(limits)
            assert reference_lines(ax) == [("x", pytest.approx(threshold))]
            of_epoch = values.sel(epoch=epoch).values
            for drawn, chosen in zip(ax.containers, (low, ~low), strict=True):
                expected, _ = np.histogram(of_epoch[chosen], np.linspace(*limits, 21))
                np.testing.assert_array_equal([bar.get_height() for bar in drawn], expected)
            n_outside = np.count_nonzero((of_epoch < limits[0]) | (of_epoch > limits[1]))
            assert [text.get_text() for text in ax.texts] == ([f"{n_outside} outside"] if n_outside else [])


def test_figs_3_b_show_planes_of_two_numbers_with_the_medians_of_their_classifiers(default_sets, default_figure):
    data = default_sets["final"].isel(seed=0)
    networks, f1 = held_out(data), data["f1"].values
    components = [networks[name].values.T for name in ("spectrum_component", "aelle_component")]
    planes = [(networks["lyapunov_mean"].values, networks["lyapunov_max"].values), *(both[:2] for both in components)]
    medians = [[("x", 0), ("y", 0.1)], [("x", 0.2)], [("x", pytest.approx(0.3))]]
    titles = [f"F1 {f1[0]:.2f} (mean), {f1[1]:.2f} (max)", f"F1 {f1[2]:.2f}", f"F1 {f1[3]:.2f}"]
    low = networks["low_error"].values
    rows = [[ax] * 1 for ax in default_figure("fig_3_b1").axes]
    columns = np.reshape(default_figure("fig_3_b4").axes, (3, 3))
    for shown in (rows, columns):
        for axes, (x, y), lines, title in zip(shown, planes, medians, titles, strict=True):
            for ax in axes:
                drawn = points_by_label(ax)
                np.testing.assert_array_equal(drawn["low error"], np.stack([x, y], axis=1)[low])
                np.testing.assert_array_equal(drawn["high error"], np.stack([x, y], axis=1)[~low])
                assert reference_lines(ax) == lines
                assert title in ax.get_title(loc="left")
                limits = robust_limits(x, [lines[0][1]] if title != titles[2] else [0.3])
                assert ax.get_xlim() == pytest.approx(limits)
                assert ax.get_ylim() == pytest.approx(robust_limits(y, [0.1] if title == titles[0] else []))
                assert_notes_count_points_outside(ax)


def test_thresholds_name_the_part_on_which_they_are_chosen(default_sets):
    pretrained = default_sets["pretrained"].assign_attrs(threshold_part="validation")
    assert "threshold of best F1 (validation part)" in texts(fig_3_10(pretrained))
