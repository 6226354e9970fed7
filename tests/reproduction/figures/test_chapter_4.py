from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.catalogue import figures, load
from lyapunov_pkg.reproduction.figures.chapter_4.alignment import fig_4_1, fig_4_2
from lyapunov_pkg.reproduction.figures.chapter_4.flips import (
    fig_4_3,
    fig_4_4,
    fig_4_5,
    fig_4_d,
    fig_extra_flip_comparisons,
)
from lyapunov_pkg.reproduction.figures.presentation import RANKING_LABELS
from lyapunov_pkg.reproduction.sources import select_variables
from tests.reproduction.figures.checks import assert_complete, assert_says, assert_text_inside_and_panels_apart, texts
from tests.reproduction.gradients.stores import make_alignment, make_flips, make_participation

STORES = {"alignment": make_alignment, "flips": make_flips, "participation": make_participation}
FIGURES = {name: record for name, record in figures().items() if record.chapter == 4}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_complete_when_drawn_from_their_stored_data(name):
    record = FIGURES[name]
    fig = load(record.place)(**select_variables(record, {store: STORES[store]() for store in record.sources}))
    assert_complete(fig)
    assert_says(fig, name)
    assert_text_inside_and_panels_apart(fig, name)


@pytest.mark.parametrize(
    ("name", "store"),
    [
        ("fig_4_1", make_alignment(n_networks=1, hidden_size=128, n_steps=28)),
        ("fig_4_2", make_alignment(n_networks=1, hidden_size=128, n_steps=28)),
        ("fig_4_1", make_alignment(epochs=(0,))),
        ("fig_4_4", make_flips(n_flips=(1, 5, 10, 20, 30, 50, 75, 100, 200), shape=(28, 28))),
        ("fig_extra_flip_comparisons", make_flips(n_flips=(1, 5, 10, 20, 30, 50, 75, 100, 200), shape=(28, 28))),
        ("fig_4_4", make_flips(n_networks=1)),
        ("fig_4_5", make_flips(all_right=True, shape=(28, 28))),
        ("fig_4_d", make_flips(n_images=3)),
        ("fig_4_b1", make_participation(moments=(0, 20))),
    ],
)
def test_other_sizes_of_data_fit_into_the_figures(name, store):
    fig = load(FIGURES[name].place)(store)
    assert_complete(fig)
    assert_text_inside_and_panels_apart(fig, name)


def test_fig_4_1_states_standard_deviations_and_the_null_reference():
    fig = fig_4_1(make_alignment(hidden_size=16))
    text = texts(fig)
    assert any(line == "epoch 0: σ = 0.255 ± 0.007\nepoch 5: σ = 0.380 ± 0.007" for line in text)
    assert "random frames, σ = 0.250" in text
    null = next(line for line in fig.axes[0].lines if line.get_label().startswith("random"))
    x, density = null.get_xydata().T
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(density * x**2, x) ** 0.5 == pytest.approx(0.25, rel=1e-3)


def test_fig_4_5_shows_one_recognised_and_one_misclassified_image():
    flips = make_flips()
    fig = fig_4_5(flips)
    shown = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    for image, (original, flipped) in zip((0, 1), (shown[:2], shown[2:]), strict=True):
        values = flips["input"].values[image]
        np.testing.assert_array_equal(original.ravel()[flips["pixel"].values], values)
        np.testing.assert_array_equal(flipped == 1.0, original == 0)
    others = fig_4_d(flips)
    assert [text for text in texts(others) if "digit " in text] == [
        f"({letter}) digit {flips['label'].values[image]}" for letter, image in zip("adgj", range(2, 6), strict=True)
    ]


def values_and_errors(ax) -> dict[str, np.ndarray]:
    """Return heights and half-lengths (2, position) of the error bars of a panel, by label."""
    found = {}
    for drawn in ax.containers:
        _, _, (bars,) = drawn.lines
        low, high = np.array([segment[:, 1] for segment in bars.get_segments()]).T
        found[drawn.get_label()] = np.array([(low + high) / 2, (high - low) / 2])
    return found


def test_fig_4_4_shows_loss_increases_and_their_means_over_images_draws_and_networks():
    flips = make_flips()
    each, means = fig_4_4(flips).axes
    loss, n_images = flips["loss"].values, 5
    ranked = flips["loss_ranked"].values[:, :, list(flips["ranking"].values).index("expansion")] - loss[:, None]
    random = flips["loss_random"].values - loss[:, None, :, None]
    lines = {line.get_label(): line.get_ydata() for line in each.lines}
    np.testing.assert_allclose(lines[RANKING_LABELS["expansion"]], ranked[0, :, :n_images].mean(-1))
    np.testing.assert_allclose(lines[RANKING_LABELS["random"]], random[0, :, :n_images].mean((-2, -1)))
    points = [line.get_ydata() for line in each.lines if line.get_linestyle() == "None"]
    np.testing.assert_allclose(points[0], ranked[0, :, :n_images].ravel())
    np.testing.assert_allclose(points[1], random[0, :, :n_images].ravel())
    drawn = values_and_errors(means)
    assert set(drawn) == {RANKING_LABELS[name] for name in (*flips["ranking"].values, "random")}
    for name, rises in (("expansion", ranked.mean(0)), ("random", random.mean((0, 3)))):
        error = [np.std(of_images, ddof=1) / np.sqrt(len(of_images)) for of_images in rises]
        np.testing.assert_allclose(drawn[RANKING_LABELS[name]], [rises.mean(1), error])


def test_fig_extra_flip_comparisons_shows_intervals_of_95_percent():
    flips = make_flips()
    fig = fig_extra_flip_comparisons(flips)
    for ax, comparison in zip(fig.axes, flips["comparison"].values, strict=True):
        drawn = values_and_errors(ax)
        for ranking in flips["ranking"].values:
            shown = flips.sel(comparison=comparison, ranking=ranking)
            expected = [shown["excess"], 1.96 * shown["excess_error"]]
            np.testing.assert_allclose(drawn[RANKING_LABELS[ranking]], expected)


def test_fig_4_3_sorts_the_means_in_descending_order():
    flips = make_flips()
    by_step, ordered = fig_4_3(flips).axes
    np.testing.assert_array_equal(by_step.lines[0].get_ydata(), flips["mean_log_r"][0])
    np.testing.assert_array_equal(by_step.lines[1].get_ydata(), flips["running_exponent"])
    for line, values in zip(ordered.lines, flips["mean_log_r"].values, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), sorted(values, reverse=True))


def test_fig_4_5_has_a_bar_for_each_output():
    flips = make_flips()
    bars = [ax for ax in fig_4_5(flips).axes if ax.patches and not ax.images]
    for ax, image in zip(bars, (0, 1), strict=True):
        for drawn, choice in zip(ax.containers, flips["choice"].values, strict=True):
            heights = [bar.get_height() for bar in drawn]
            np.testing.assert_array_equal(heights, flips["logits"].sel(choice=choice)[image])


def test_figs_4_1_and_4_2_average_over_the_networks_of_a_row():
    alignment = make_alignment(n_networks=3)
    alignment["alignment_density"] = alignment["alignment_density"] * xr.DataArray(np.arange(1, 7), dims="variant")
    stairs = [patch for patch in fig_4_1(alignment).axes[0].patches if hasattr(patch, "get_data")]
    of_small = alignment["alignment_density"].sel(vectors="dissertation", side="right", modes="first", group="first")
    for patch, epoch in zip(stairs, (0, 5), strict=True):
        np.testing.assert_allclose(patch.get_data().values, of_small.sel(epoch=epoch).values[:3].mean(0))
    points = fig_4_2(alignment).axes[0].collections[0].get_offsets()
    stds = alignment["alignment_std_by_index"].sel(vectors="dissertation", side="right", modes="first", epoch=0)
    np.testing.assert_allclose(points[:, 1], np.sqrt((stds.values[:3] ** 2).mean(0)).ravel())
