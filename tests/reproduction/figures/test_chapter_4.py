from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.catalogue import figures, load
from lyapunov_pkg.reproduction.figures.chapter_4.alignment import EPOCH_COLORS, STEP_COLORS, fig_4_1, fig_4_2
from lyapunov_pkg.reproduction.figures.chapter_4.flips import RANDOM_COLORS, RANKING_LOOKS, _examples, fig_4_4
from lyapunov_pkg.reproduction.figures.chapter_4.participation import fig_4_b1
from lyapunov_pkg.reproduction.figures.presentation import RANKING_LABELS
from lyapunov_pkg.reproduction.sources import select_variables
from tests.reproduction.figures.checks import (
    assert_complete,
    assert_says,
    assert_text_inside_and_panels_apart,
    error_bars,
    reference_lines,
    texts,
)
from tests.reproduction.gradients.stores import make_alignment, make_flips, make_participation

STORES = {"alignment": make_alignment, "flips": make_flips, "participation": make_participation}
FIGURES = {name: record for name, record in figures().items() if record.chapter == 4}


@pytest.fixture(scope="module")
def stores() -> dict[str, xr.Dataset]:
    """Return the stores of `drawn_figure`. Tests share them, and do not change them."""
    return {name: make() for name, make in STORES.items()}


@pytest.fixture(scope="module")
def drawn_figure(stores) -> Callable[[str], Figure]:
    """Return a function of a figure's name that draws it from exactly the variables that it names, once."""

    def draw(name: str) -> Figure:
        record = FIGURES[name]
        return load(record.place)(**select_variables(record, {source: stores[source] for source in record.sources}))

    return cache(draw)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_complete_when_drawn_from_their_stored_data(name, drawn_figure):
    fig = drawn_figure(name)
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


def test_fig_4_5_shows_one_recognised_and_one_misclassified_image(drawn_figure, stores):
    flips, fig = stores["flips"], drawn_figure("fig_4_5")
    shown = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    for image, (original, flipped) in zip((0, 1), (shown[:2], shown[2:]), strict=True):
        values = flips["input"].values[image]
        np.testing.assert_array_equal(original.ravel()[flips["pixel"].values], values)
        np.testing.assert_array_equal(flipped == 1.0, original == 0)
    others = drawn_figure("fig_4_d")
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


def test_fig_4_4_shows_loss_increases_and_their_means_over_images_draws_and_networks(drawn_figure, stores):
    flips = stores["flips"]
    each, means = drawn_figure("fig_4_4").axes
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


def test_fig_extra_flip_comparisons_shows_intervals_of_95_percent(drawn_figure, stores):
    flips, fig = stores["flips"], drawn_figure("fig_extra_flip_comparisons")
    for ax, comparison in zip(fig.axes, flips["comparison"].values, strict=True):
        drawn = values_and_errors(ax)
        for ranking in flips["ranking"].values:
            shown = flips.sel(comparison=comparison, ranking=ranking)
            expected = [shown["excess"], 1.96 * shown["excess_error"]]
            np.testing.assert_allclose(drawn[RANKING_LABELS[ranking]], expected)
        # The rankings are next to each other around each number of flips, in the order of the legend.
        places = np.array([container.lines[0].get_xdata() for container in ax.containers])
        np.testing.assert_allclose(places, np.arange(3) + 0.08 * np.arange(-3, 4)[:, None])
        colors = [container.lines[0].get_color() for container in ax.containers]
        assert colors == [RANKING_LOOKS[ranking][0] for ranking in RANKING_LABELS if ranking != "random"]
        assert reference_lines(ax) == [("y", 0)] and ax.get_ylim() == fig.axes[0].get_ylim()
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "4", "12"]


def test_fig_4_3_sorts_the_means_in_descending_order(drawn_figure, stores):
    flips = stores["flips"]
    by_step, ordered = drawn_figure("fig_4_3").axes
    np.testing.assert_array_equal(by_step.lines[0].get_ydata(), flips["mean_log_r"][0])
    np.testing.assert_array_equal(by_step.lines[1].get_ydata(), flips["running_exponent"])
    for line, values in zip(ordered.lines, flips["mean_log_r"].values, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), sorted(values, reverse=True))
    for line in (*by_step.lines[:2], *ordered.lines[:2]):
        np.testing.assert_array_equal(line.get_xdata(), flips["time"])
    assert len({line.get_color() for line in ordered.lines[:2]}) == 2
    assert reference_lines(by_step) == reference_lines(ordered) == [("y", 0)]


def test_fig_4_5_has_a_bar_for_each_output(drawn_figure, stores):
    flips = stores["flips"]
    bars = [ax for ax in drawn_figure("fig_4_5").axes if ax.patches and not ax.images]
    for ax, image in zip(bars, (0, 1), strict=True):
        for drawn, choice in zip(ax.containers, flips["choice"].values, strict=True):
            heights = [bar.get_height() for bar in drawn]
            np.testing.assert_array_equal(heights, flips["logits"].sel(choice=choice)[image])
        # The four bars of a digit are next to each other, and symmetric around its tick.
        centres = np.array([[bar.get_x() + bar.get_width() / 2 for bar in drawn] for drawn in ax.containers])
        expected = np.arange(10) + 0.85 / 4 * np.array([-1.5, -0.5, 0.5, 1.5])[:, None]
        np.testing.assert_allclose(centres, expected)
        assert ax.containers[0][0].get_width() == pytest.approx(0.85 / 4)
        assert ax.get_xticks().tolist() == list(range(10)) and reference_lines(ax) == [("y", 0)]
        assert [to_hex(drawn[0].get_facecolor()).upper() for drawn in ax.containers] == [
            "#000000",
            "#0072B2",
            *RANDOM_COLORS[:2],
        ]


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


def test_images_of_fig_4_5_have_one_scale_and_no_ticks(drawn_figure):
    for ax in drawn_figure("fig_4_5").axes:
        if ax.images:
            assert ax.images[0].get_clim() == (0, 1) and not len(ax.get_xticks()) and not len(ax.get_yticks())
            assert not any(spine.get_visible() for spine in ax.spines.values())


@pytest.mark.parametrize(("all_right", "n_images", "expected"), [(True, 7, [0, 1]), (False, 7, [0, 1]), (True, 1, [0])])
def test_two_images_are_examples_if_all_are_recognised(all_right, n_images, expected):
    flips = make_flips(all_right=all_right).isel(image=slice(n_images))
    assert _examples(flips) == expected
    if not all_right:
        assert _examples(flips.isel(image=[2, 5, 4, 1])) == [0, 2]  # The third of these images is misclassified.


def test_fig_4_4_puts_images_beside_each_number_of_flips(drawn_figure, stores):
    each, means = drawn_figure("fig_4_4").axes
    ranked, random = (line.get_xdata() for line in each.lines if line.get_linestyle() == "None")
    np.testing.assert_allclose(ranked, np.add.outer(np.arange(3), -0.15 + np.linspace(-0.1, 0.1, 5)).ravel())
    np.testing.assert_allclose(random, np.add.outer(np.arange(3), 0.15 + np.linspace(-0.1, 0.1, 30)).ravel())
    for ax in (each, means):
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "4", "12"]
        assert reference_lines(ax) == [("y", 0)]
    for container in means.containers:
        assert container.lines[0].get_xdata().tolist() == [0, 1, 2]
    second = fig_4_4(stores["flips"].assign_attrs(best_position=1)).axes[0]
    loss = stores["flips"]["loss"].values[1]
    position = list(stores["flips"]["ranking"].values).index("expansion")
    expected = stores["flips"]["loss_ranked"].values[1, :, position, :5] - loss[:5]
    np.testing.assert_allclose(second.lines[0].get_ydata(), expected.ravel())


@pytest.mark.parametrize("name", ["fig_4_1", "fig_4_c2", "fig_extra_clv_alignment"])
def test_densities_of_each_reading_weights_and_group_are_between_the_edges_of_bins(name, drawn_figure, stores):
    alignment, fig = stores["alignment"], drawn_figure(name)
    readings = [("dissertation", "right"), ("tangent", "left")]
    if name == "fig_extra_clv_alignment":
        readings = list(itertools.product(("settled", "covariant"), ("left", "right")))
    rows = [(*reading, weights) for reading in readings for weights in ("small", "uniform")]
    modes = "last" if name == "fig_4_c2" else "first"
    axes = np.reshape(fig.axes, (len(rows), 3))
    null = alignment.attrs["null_std"]
    for row, (vectors, side, weights) in zip(axes, rows, strict=True):
        of_row = alignment.sel(vectors=vectors, side=side, modes=modes)
        of_row = of_row.isel(variant=alignment["weights"].values == weights)
        highest = 0.0
        for ax, group in zip(row, ("first", "last", "random"), strict=True):
            stairs = [patch for patch in ax.patches if hasattr(patch, "get_data")]
            for drawn, epoch, color in zip(stairs, (0, 5), EPOCH_COLORS, strict=True):
                density = of_row["alignment_density"].sel(group=group, epoch=epoch).mean("variant")
                np.testing.assert_allclose(drawn.get_data().values, density)
                np.testing.assert_allclose(drawn.get_data().edges, np.linspace(-1, 1, 51))
                assert to_hex(drawn.get_edgecolor()).upper() == color
                highest = max(highest, density.max().item())
            stds = of_row["alignment_std"].sel(group=group).transpose("epoch", "variant").values
            lines = zip((0, 5), stds, strict=True)
            expected = [f"epoch {epoch}: σ = {own.mean():.3f} ± {own.std(ddof=1):.3f}" for epoch, own in lines]
            assert ax.texts[0].get_text() == "\n".join(expected)
            assert ax.get_ylim() == row[0].get_ylim() and ax.get_ylim()[0] == 0
        assert ax.get_ylim()[1] > 1.4 * highest
    reach = min(1, 8 * null)
    assert fig.axes[0].get_xlim() == pytest.approx((-reach, reach))


def test_fig_4_1_of_wide_networks_shows_eight_standard_deviations_and_one_network_has_no_spread():
    alignment = make_alignment(n_networks=1, hidden_size=100)
    ax = fig_4_1(alignment.isel(variant=[0])).axes[0]
    assert ax.get_xlim() == pytest.approx((-0.8, 0.8))
    assert ax.texts[0].get_text() == "epoch 0: σ = 0.100\nepoch 5: σ = 0.150"


def test_fig_4_2_colours_points_by_step_and_shows_the_null_reference(drawn_figure, stores):
    alignment, fig = stores["alignment"], drawn_figure("fig_4_2")
    axes = np.reshape(fig.axes, (4, 4))
    readings, kinds = (("dissertation", "right"), ("tangent", "left")), ("small", "uniform")
    rows = [(*reading, kind) for reading in readings for kind in kinds]
    columns = list(itertools.product(("first", "last"), (0, 5)))
    for (row, (vectors, side, weights)), (column, (modes, epoch)) in itertools.product(
        enumerate(rows), enumerate(columns)
    ):
        ax = axes[row, column]
        stds = alignment["alignment_std_by_index"].sel(vectors=vectors, side=side, modes=modes, epoch=epoch)
        stds = stds.values[alignment["weights"].values == weights]
        points = ax.collections[0].get_offsets()
        np.testing.assert_allclose(points[:, 1], np.sqrt((stds**2).mean(0)).ravel())
        np.testing.assert_array_equal(points[:, 0], np.tile(np.arange(1, 13), 5))
        colors = ax.collections[0].get_facecolors()
        np.testing.assert_allclose(colors, np.repeat(STEP_COLORS(np.linspace(0, 1, 5)), 12, axis=0))
        assert reference_lines(ax) == [("y", pytest.approx(alignment.attrs["null_std"]))]
        assert ax.get_ylim() == (0, fig.axes[0].get_ylim()[1])
    entries = [drawn for drawn in fig.axes[0].collections if drawn.get_label().startswith("step")]
    np.testing.assert_allclose([entry.get_facecolor()[0] for entry in entries], STEP_COLORS([0.0, 0.5, 1.0]))
    assert fig.axes[0].get_ylim()[1] > 1.12 * points[:, 1].max()


def test_fig_4_b1_shows_means_over_networks_and_states_at_each_update():
    participation = make_participation()
    rng = np.random.default_rng(0)
    for name in ("participation_ratio", "batch_loss"):
        participation[name] = participation[name] * xr.DataArray(rng.uniform(0.5, 1, 4), dims="variant")
    axes = fig_4_b1(participation).axes
    kinds = {"small": slice(2), "uniform": slice(2, 4)}
    for line, chosen in zip(axes[0].lines[:2], kinds.values(), strict=True):
        expected = participation["batch_loss"].values[chosen].mean(0)
        np.testing.assert_allclose(line.get_xydata(), np.stack([np.arange(1, 21) / 10, expected], axis=1))
    assert axes[0].get_ylim()[0] == 0 and reference_lines(axes[0]) == [("x", at) for at in (0, 0.2, 0.5, 1, 2)]
    for ax, update in zip(axes[1:], (0, 2, 5, 10, 20), strict=True):
        drawn = error_bars(ax)
        for kind, chosen in kinds.items():
            ratios = participation["participation_ratio"].sel(update=update).values[chosen].reshape(-1, 6)
            mean, spread = ratios.mean(0), ratios.std(0)
            np.testing.assert_allclose(drawn[f"{kind} weights"], [np.arange(1, 7), mean, mean - spread, mean + spread])
        lowest = ax.lines[-1].get_xydata()
        np.testing.assert_allclose(lowest[:, 1], 1 / np.arange(1, 7))
        assert ax.get_ylim() == (0, 1.05)
    colors = [[container.lines[0].get_color() for container in ax.containers] for ax in axes[1:]]
    assert colors == [[line.get_color() for line in axes[0].lines[:2]]] * 5


def test_fig_4_b1_has_no_empty_panel_for_an_even_number_of_updates():
    fig = fig_4_b1(make_participation(moments=(0, 2, 5, 10)))
    assert [ax.get_subplotspec().rowspan.start for ax in fig.axes] == [0, 0, 0, 1, 1]
    assert fig.axes[0].get_subplotspec().get_gridspec().get_geometry() == (2, 3)
    assert [bool(ax.get_ylabel()) for ax in fig.axes] == [True, True, False, True, False]
