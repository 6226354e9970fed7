from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lyapunov_pkg.plots import COLORS
from lyapunov_pkg.reproduction.catalogue import figures, load
from lyapunov_pkg.reproduction.figures.chapter_2.evolution import shown_epochs
from lyapunov_pkg.reproduction.figures.chapter_2.performance import OTHERS_COLOR, limit_scatter
from lyapunov_pkg.reproduction.figures.chapter_2.stability_regimes import REGIME_COLORS
from lyapunov_pkg.reproduction.figures.panels import robust_limits
from lyapunov_pkg.reproduction.figures.presentation import STATISTIC_LABELS
from lyapunov_pkg.reproduction.figures.style import SERIES_COLORS, SERIES_MARKERS
from lyapunov_pkg.reproduction.populations.correlations import performance_correlations
from lyapunov_pkg.reproduction.populations.evolution import spectrum_evolution
from lyapunov_pkg.reproduction.sources import joined, select_variables
from tests.reproduction.figures.checks import (
    assert_complete,
    assert_notes_count_points_outside,
    assert_says,
    assert_text_inside_and_panels_apart,
    panel,
    reference_lines,
    texts,
)
from tests.reproduction.populations.synthetic import make_study

# The optimiser figure is tested in tests/reproduction/populations/test_optimizers.py.
FIGURES = [name for name, record in figures().items() if record.chapter == 2 and name != "fig_extra_optimizers"]


def make_layers(n_layers: int) -> xr.Dataset:
    layer = np.repeat(np.arange(1, n_layers + 1), 5)
    jacobian = np.random.default_rng(0).standard_normal((len(layer), len(layer)))
    jacobian[layer[:, None] < layer] = 0
    coordinates = {"layer": ("unit", layer), "previous_layer": ("previous_unit", layer)}
    return xr.Dataset({"jacobian": (("unit", "previous_unit"), jacobian)}, coordinates)


def make_regimes() -> xr.Dataset:
    rng = np.random.default_rng(1)
    gains = np.array([0.5, 1.7, 3.0])
    exponents = np.log(gains)[:, None, None, None] - np.linspace(0, 3, 30) + 0.01 * rng.standard_normal((3, 2, 4, 1))
    exponents[2, ..., -1] = -np.inf
    dims = ("regime", "input", "initial_state")
    return xr.Dataset(
        {
            "lyapunov_exponent": ((*dims, "exponent"), exponents),
            "activation": ((*dims, "time"), np.tanh(rng.standard_normal((3, 2, 4, 50)))),
        },
        coords={
            "regime": ["stable", "marginal", "chaotic"],
            "gain": ("regime", gains),
            "exponent": np.arange(1, 31),
            "time": np.arange(50),
        },
    )


def make_estimator(warmups=(0, 100, 250), intervals=(1, 2, 5, 10, 20, 50)) -> xr.Dataset:
    spectrum = -0.5 - np.linspace(0, 3, 32) ** 2
    time = np.arange(1, 61)
    fall = np.exp(-time / 10)[:, None] * (np.array(warmups) == 0)[:, None, None]
    floor = -10 / np.array(intervals)[:, None]
    return xr.Dataset(
        {
            "running_exponent": (("warmup", "time", "exponent"), spectrum + fall),
            "lyapunov_exponent": (("warmup", "exponent"), np.stack([spectrum] * len(warmups))),
            "lyapunov_exponent_std": (("warmup", "exponent"), np.full((len(warmups), 32), 0.1)),
            "early_change": ("warmup", np.linspace(0.5, 0.1, len(warmups))),
            "early_bias": ("warmup", np.linspace(0.4, 0, len(warmups))),
            "interval_exponent": (("interval", "exponent"), np.maximum(spectrum, floor)),
            "largest_change": (("interval", "half"), np.geomspace(1e-6, 1, 2 * len(intervals)).reshape(-1, 2)),
        },
        coords={
            "warmup": list(warmups),
            "interval": list(intervals),
            "time": time,
            "exponent": np.arange(1, 33),
            "half": ["first", "second"],
        },
        attrs={"n_sequences": 10, "early_steps": 10, "init_param": 0.12, "epoch": 14},
    )


def make_stores(n_char_rnn=24, n_mocap=12, n_epochs=8) -> dict[str, xr.Dataset]:
    """Return all Datasets of the figures by argument name, with a loss and some exponents as outliers."""
    char_rnn = make_study(n_char_rnn, n_epochs)
    char_rnn["validation_loss"][0] = 40.0
    char_rnn["lyapunov_exponent"][1, :, -2:] = -np.inf
    mocap = make_study(n_mocap, n_epochs, classification=False, seed=1)
    settings = {"n_highlighted": 6, "near_zero": 0.1, "exponent_floor": -20.0, "n_resamples": 100, "seed": 0}
    return {
        "layers": make_layers(4),
        "regimes": make_regimes(),
        "estimator": make_estimator(),
        "evolution": spectrum_evolution(make_study(7, 15, seed=2)),
        "char_rnn": performance_correlations(char_rnn, "maximum_exponent", **settings),
        "mocap": performance_correlations(mocap, "mean_exponent", **settings),
    }


@pytest.fixture(scope="module")
def stores() -> dict[str, xr.Dataset]:
    return make_stores()


def draw(name: str, stores: dict[str, xr.Dataset]) -> Figure:
    record = figures()[name]
    return load(record.place)(**{argument: stores[argument] for argument in record.sources})


@pytest.fixture(scope="module")
def drawn_figure(stores) -> Callable[[str], Figure]:
    """Return a function of a figure's name that draws it from exactly the variables that it names, once."""
    return cache(lambda name: draw(name, select_variables(figures()[name], stores)))


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_complete_when_drawn_from_their_stored_data(name, drawn_figure):
    fig = drawn_figure(name)
    assert_complete(fig)
    assert_says(fig, name)
    assert_text_inside_and_panels_apart(fig, name)


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ("fig_2_1", "fig_2_3")])
def test_figures_are_complete_with_few_networks_and_epochs(name):
    stores = make_stores(n_char_rnn=4, n_mocap=3, n_epochs=2)
    stores["evolution"] = spectrum_evolution(make_study(3, 2))
    stores["estimator"] = make_estimator((50,), (1, 4))
    assert_complete(draw(name, stores))


def test_stores_of_both_tasks_keep_their_own_variables(stores):
    data = joined(select_variables(figures()["fig_2_7"], stores))
    for task in ("char_rnn", "mocap"):
        np.testing.assert_array_equal(data[f"{task}_validation_loss"], stores[task]["validation_loss"])
    assert joined({"char_rnn": stores["char_rnn"]}).identical(stores["char_rnn"])


def test_fig_2_1_is_white_where_a_layer_does_not_depend_on_another():
    (image,) = draw("fig_2_1", {"layers": make_layers(3)}).axes[0].images
    pixels = image.get_array().reshape(3, 5, 3, 5, 3)
    for row in range(3):
        for column in range(3):
            block = pixels[row, :, column].reshape(-1, 3)
            assert (block == 1).all() == (column > row)
    assert len(np.unique(np.argmin(pixels[2, :, 0], axis=-1))) > 1  # The colours of all three layers occur.


def test_the_shade_in_fig_2_1_is_the_square_root_of_the_size_and_no_nonzero_entry_is_white():
    layers = make_layers(2)
    layers["jacobian"][:] = 8.0
    layers["jacobian"][0, :4] = [2.0, -2.0, 1e-12, 0.0]
    (image,) = draw("fig_2_1", {"layers": layers}).axes[0].images
    shade = 1 - image.get_array()[0, :5, 0]  # of red, in the colour of layer 1
    np.testing.assert_allclose(shade[:4] / shade[4], [0.15 + 0.85 / 2, 0.15 + 0.85 / 2, 0.15, 0], atol=1e-5)


def points(ax) -> list[np.ndarray]:
    """Return the heights of all lines of a panel except error bars, the zero line and legend entries."""
    return [line.get_ydata() for line in ax.lines if len(line.get_ydata()) > 2 and line.get_linestyle() != "None"]


def error_bars(drawn) -> np.ndarray:
    """Return the middle and half-length of error bars as an array (2, position)."""
    (bars,) = drawn.lines[2]
    low, high = np.array([segment[:, 1] for segment in bars.get_segments() if len(segment)]).T
    return np.array([(low + high) / 2, (high - low) / 2])


def test_fig_2_2_shows_estimates_without_warmup_at_evenly_spaced_indices(stores):
    estimator = stores["estimator"].assign_coords(warmup=[100, 0, 250])
    estimator["lyapunov_exponent_std"] = estimator["lyapunov_exponent_std"] * np.arange(1, 33)
    running, spectrum = draw("fig_2_2", {"estimator": estimator}).axes
    shown = np.unique(np.linspace(0, 31, 24).round().astype(int))
    without = estimator.isel(warmup=1)
    np.testing.assert_array_equal(points(running), without["running_exponent"].values[:, shown].T)
    np.testing.assert_array_equal(running.lines[0].get_xdata(), estimator["time"])
    expected = without["lyapunov_exponent"], without["lyapunov_exponent_std"]
    np.testing.assert_allclose(error_bars(spectrum.containers[0]), expected)


def test_fig_2_3_shows_means_over_initial_states_and_standard_deviations_over_all_runs(stores, drawn_figure):
    regimes = stores["regimes"]
    axes = {ax.get_title(loc="left")[:3] or ax.get_title()[:3]: ax for ax in drawn_figure("fig_2_3").axes}
    for letter, activations in zip("abc", regimes["activation"].values, strict=True):
        np.testing.assert_array_equal(points(axes[f"({letter})"]), activations[..., :40].reshape(-1, 40))
    for letter, n_shown in (("d", 30), ("e", 20)):
        exponents = regimes["lyapunov_exponent"].values[..., :n_shown]
        np.testing.assert_allclose(points(axes[f"({letter})"]), exponents.mean(2).reshape(-1, n_shown))
        for drawn, own in zip(axes[f"({letter})"].containers, exponents, strict=True):
            finite = np.isfinite(own).all((0, 1))
            expected = own.mean((0, 1))[finite], own.std((0, 1))[finite]
            np.testing.assert_allclose(error_bars(drawn), expected, atol=1e-12)


def test_fig_2_4_has_a_panel_for_each_warmup(stores, drawn_figure):
    estimator = stores["estimator"]
    for ax, values in zip(drawn_figure("fig_2_4").axes, estimator["running_exponent"].values, strict=True):
        shown = np.unique(np.linspace(0, 31, 24).round().astype(int))
        np.testing.assert_array_equal(points(ax), values[:, shown].T)


def test_fig_2_5_shows_all_exponents_and_their_first_half(stores, drawn_figure):
    spectra = stores["estimator"]["interval_exponent"].values
    whole, first = drawn_figure("fig_2_5").axes
    np.testing.assert_array_equal(points(whole), spectra)
    np.testing.assert_array_equal(points(first), spectra[:, :16])
    (shade,) = whole.collections
    assert np.unique(shade.get_paths()[0].vertices[:, 0]).tolist() == [1, 16]


def test_fig_2_5_states_the_change_in_the_first_half(stores, drawn_figure):
    labels = texts(drawn_figure("fig_2_5"))
    changes = stores["estimator"]["largest_change"].sel(interval=50).values
    assert any(f"50: {changes[0]:.1g} and {changes[1]:.1g}" in label for label in labels)


def test_fig_2_6_has_a_line_for_every_network_and_a_line_proportional_to_1_over_t(stores, drawn_figure):
    fig = drawn_figure("fig_2_6")
    change, difference = fig.axes[3:]
    assert [ax.get_title(loc="left").split(":")[0] for ax in fig.axes[:3]] == [
        "(a) epoch 0",
        "(b) epoch 4",
        "(c) epoch 15",
    ]
    columns = [ax.get_subplotspec().colspan for ax in fig.axes]  # Panels of a row have equal width.
    assert [(span.start, span.stop) for span in columns] == [(0, 2), (2, 4), (4, 6), (0, 3), (3, 6)]
    assert len({ax.get_ylim() for ax in fig.axes[:3]}) == 1  # one scale, and so one label
    assert [bool(ax.get_ylabel()) for ax in fig.axes] == [True, False, False, True, True]
    one_over_t = change.lines[-1].get_xydata()
    np.testing.assert_allclose(one_over_t[:, 1] * one_over_t[:, 0], one_over_t[0, 1])
    assert len(change.lines) == 6 + 1 and len(difference.lines) == 6 + 1  # The zero line is included.
    networks = stores["evolution"].sortby("init_param")
    assert one_over_t[0, 1] == pytest.approx(np.median(networks["mean_squared_change"].sel(epoch=1)))
    for ax, epoch in zip(fig.axes[:3], (0, 4, 15), strict=True):
        of_epoch = networks["lyapunov_exponent"].transpose("network", "epoch", "exponent").sel(epoch=epoch)
        np.testing.assert_array_equal(points(ax), of_epoch)
    for ax, name in ((change, "mean_squared_change"), (difference, "mean_difference")):
        of_networks = networks[name].transpose("network", "epoch").values
        np.testing.assert_array_equal(points(ax)[: len(of_networks)], of_networks)
    assert [f"p = {p:g}" in texts(fig) for p in (0.04, 0.5)] == [True, True]


def drawn(ax, color: str) -> list:
    """Return the lines of a colour that have points; legend entries have none."""
    return [line for line in ax.lines if line.get_color() == color and len(line.get_xdata())]


def test_fig_2_7_shows_highlighted_networks_in_both_panels(stores, drawn_figure):
    fig = drawn_figure("fig_2_7")
    for row, task in ((0, "char_rnn"), (1, "mocap")):
        networks, (spectra, scatter) = stores[task], fig.axes[2 * row : 2 * row + 2]
        at_best = networks.sel(epoch=networks["best_epoch"])
        for color, network in zip(SERIES_COLORS.values(), networks["highlighted_network"].values, strict=True):
            (line,) = drawn(spectra, color)
            np.testing.assert_array_equal(line.get_ydata(), networks["lyapunov_exponent"][network])
            (point,) = drawn(scatter, color)
            assert point.get_ydata() == at_best["validation_loss"].values[network]
            left, right = scatter.get_xlim()
            bottom, top = scatter.get_ylim()
            assert left < point.get_xdata() < right and bottom < point.get_ydata() < top


def test_fig_2_8_becomes_more_opaque_with_the_epoch(drawn_figure):
    fig = drawn_figure("fig_2_8")
    alpha = fig.axes[0].collections[0].get_facecolors()[:, 3]
    assert len(alpha) == 9 and (np.diff(alpha) > 0).all() and alpha[-1] == 1
    assert {"epoch 0", "epoch 4", "epoch 8"} <= set(texts(fig))


@pytest.mark.parametrize(
    ("name", "across", "up"),
    [
        ("fig_2_8", ("maximum_exponent", "mean_exponent"), "validation_loss"),
        ("fig_2_b2", ("validation_loss", "maximum_exponent", "mean_exponent"), "validation_accuracy"),
    ],
)
def test_figs_2_8_and_2_b2_show_the_highlighted_networks_at_every_epoch(name, across, up, stores, drawn_figure):
    shown = stores["char_rnn"].isel(network=stores["char_rnn"]["highlighted_network"].values)
    for ax, quantity in zip(drawn_figure(name).axes, across, strict=True):
        x = shown[quantity] if quantity in shown else shown["spectrum_statistic"].sel(statistic=quantity)
        expected = [of.transpose("network", "epoch").values for of in (x, shown[up])]
        found = [collection.get_offsets() for collection in ax.collections if len(collection.get_offsets()) > 1]
        np.testing.assert_allclose(np.moveaxis(found, -1, 0), expected)


@pytest.mark.parametrize("name", ["fig_2_7", "fig_2_8", "fig_2_b1", "fig_2_b2"])
def test_legend_names_the_highlighted_networks_in_their_colours(name, drawn_figure):
    (legend,) = drawn_figure(name).legends
    named = {text.get_text(): handle for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)}
    for color, code in SERIES_COLORS.items():
        assert named[color].get_color() == code
    assert "smallest LE max (CharRNN)" in legend.get_title().get_text()


def test_fig_2_3_names_both_inputs(drawn_figure):
    fig = drawn_figure("fig_2_3")
    shown = fig.axes[2].lines  # These are activations of the first regime.
    assert len({line.get_color() for line in shown}) == 2
    assert {"first input (light colours)", "second input (dark)"} <= set(texts(fig))


def test_fig_2_4_has_units_in_its_panel_titles(drawn_figure):
    titles = [text for text in texts(drawn_figure("fig_2_4")) if "early change" in text]
    assert len(titles) == 3 and all(title.count("nats/step") == title.count("early") for title in titles)


def test_fig_2_b1_has_every_statistic_with_its_coefficients(stores, drawn_figure):
    found = texts(drawn_figure("fig_2_b1"))
    assert all(any(label in text for text in found) for label, _ in STATISTIC_LABELS.values())
    mocap = stores["mocap"]
    coefficients = [f"{float(mocap[name][0]):.2f}".replace("-", "−") for name in ("pearson", "spearman")]
    assert "(b) LE max [nats/step]: r = {}, ρ = {}".format(*coefficients) in found


def test_fig_2_1_has_lines_between_layers_and_their_names(drawn_figure):
    ax = drawn_figure("fig_2_1").axes[0]
    assert sorted(reference_lines(ax)) == [(axis, edge) for axis in "xy" for edge in range(5)]
    assert ax.images[0].get_extent() == [0, 4, 4, 0]
    for axis in (ax.xaxis, ax.yaxis):
        assert axis.get_ticklocs().tolist() == [0.5, 1.5, 2.5, 3.5]
        assert [label.get_text() for label in axis.get_ticklabels()] == [f"layer {number}" for number in range(1, 5)]
    entries = [line for line in ax.lines if line.get_label().startswith("layer")]
    assert [line.get_color() for line in entries] == list(COLORS[:4])


def test_rows_of_a_block_of_fig_2_1_have_the_colours_of_the_layers_in_its_product():
    layers = make_layers(8)
    layers["jacobian"][:] = np.where(layers["jacobian"] == 0, 0, 8.0)
    (image,) = draw("fig_2_1", {"layers": layers}).axes[0].images
    pixels = image.get_array().reshape(8, 5, 8, 5, 3)
    colors = [np.array(to_rgb(COLORS[layer % len(COLORS)])) for layer in range(8)]
    np.testing.assert_allclose(pixels[2, :, 2, 0], [colors[2]] * 5, atol=1e-12)
    np.testing.assert_allclose(pixels[2, :, 1, 0], [colors[1]] * 3 + [colors[2]] * 2, atol=1e-12)
    np.testing.assert_allclose(pixels[7, :, 3, 0], [colors[layer] for layer in range(3, 8)], atol=1e-12)


def test_the_darkest_shade_in_fig_2_1_begins_at_the_90th_percentile_of_the_sizes():
    layers = make_layers(1)
    layers["jacobian"][:] = np.arange(1.0, 26).reshape(5, 5)
    layers["jacobian"][0, 0] = 0
    (image,) = draw("fig_2_1", {"layers": layers}).axes[0].images
    shade = (1 - image.get_array()[..., 0]) / (1 - to_rgb(COLORS[0])[0])
    sizes = np.arange(1.0, 26)
    expected = 0.15 + 0.85 * np.sqrt(np.minimum(1, sizes / np.percentile(sizes[1:], 90)))
    np.testing.assert_allclose(shade.ravel()[1:], expected[1:])


def test_exponents_are_drawn_from_dark_to_light_and_all_of_them_if_there_are_few(drawn_figure):
    for name in ("fig_2_2", "fig_2_4"):
        lines = [line for line in drawn_figure(name).axes[0].lines if len(line.get_xdata()) == 60]
        colors = [line.get_color() for line in lines]
        assert colors[0] == colormaps["viridis"](0.0) and colors[-1] == colormaps["viridis"](0.95)
        assert (np.diff([sum(color[:3]) for color in colors]) > 0).all()
    few = make_estimator().isel(exponent=slice(7))
    running = draw("fig_2_2", {"estimator": few}).axes[0]
    assert running.get_title(loc="left") == "(a) 7 of 7 exponents"
    np.testing.assert_array_equal(points(running), few["running_exponent"].values[0].T)


def test_fig_2_4_has_one_scale_that_includes_zero_and_states_change_and_bias(drawn_figure, stores):
    estimator, fig = stores["estimator"], drawn_figure("fig_2_4")
    limits = robust_limits(estimator["running_exponent"].values, include=(0.0,))
    assert [ax.get_ylim() for ax in fig.axes] == [pytest.approx(limits)] * 3
    changes = zip(fig.axes, estimator["early_change"].values, estimator["early_bias"].values, strict=True)
    for ax, change, bias in changes:
        assert f"early change {change:.2g} nats/step" in ax.get_title(loc="left")
        assert (f"early bias {bias:.2g}" in ax.get_title(loc="left")) == (ax is not fig.axes[2])
    assert fig.texts[0].get_text() == "network of p = 0.12 after epoch 14"


def test_fig_2_5_distinguishes_intervals_and_shades_the_range_of_the_first_half(drawn_figure):
    whole, first = drawn_figure("fig_2_5").axes
    for ax in (whole, first):
        looks = [(line.get_color(), line.get_linestyle()) for line in ax.lines if len(line.get_xdata()) > 2]
        assert len({tuple(color) for color, _ in looks}) == 6
        assert [style for _, style in looks] == ["-", "--", "-.", ":", "-", "--"]
    heights = whole.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx(first.get_ylim())


def test_fig_2_6_has_a_colour_and_marker_for_each_p(drawn_figure, stores):
    fig = drawn_figure("fig_2_6")
    networks = stores["evolution"].sortby("init_param")
    values = np.unique(networks["init_param"])
    for ax in fig.axes:
        lines = [line for line in ax.lines if line.get_label().startswith("p = ")]
        expected = [f"p = {value:g}" for value in networks["init_param"].values]
        assert [line.get_label() for line in lines] == expected
        numbers = np.searchsorted(values, networks["init_param"].values)
        assert [line.get_color() for line in lines] == [COLORS[number] for number in numbers]
        markers = [SERIES_MARKERS[number] if ax in fig.axes[3:] else "None" for number in numbers]
        assert [line.get_marker() for line in lines] == markers
        x = networks["epoch"] if ax in fig.axes[3:] else networks["exponent"]
        assert all((line.get_xdata() == x.values).all() for line in lines)


def test_fig_2_6_labels_some_of_many_epochs_on_logarithmic_axes(drawn_figure, stores):
    change, difference = drawn_figure("fig_2_6").axes[3:]
    assert (change.get_xscale(), change.get_yscale()) == ("log", "log")
    ticks = zip(change.get_xticks(), change.get_xticklabels(), strict=True)
    assert {int(place): label.get_text() for place, label in ticks} == {
        epoch: str(epoch) if epoch in (1, 2, 5, 10) else "" for epoch in range(1, 16)
    }
    assert not len(change.get_xticks(minor=True))
    slope = np.median(stores["evolution"]["decay_power"])
    assert f"t^{{{slope:.2f}}}" in change.get_title(loc="left")
    assert reference_lines(difference) == [("y", 0)]
    exponents = stores["evolution"]["lyapunov_exponent"].sel(epoch=[0, 4, 15]).values
    assert drawn_figure("fig_2_6").axes[0].get_ylim() == pytest.approx(robust_limits(exponents, include=[0]))


def test_fig_2_6_of_few_epochs_labels_all_and_names_gaps():
    study = make_study(3, 6)
    fig = draw("fig_2_6", {"evolution": spectrum_evolution(study.isel(epoch=[0, 2, 3, 6]))})
    change = panel(fig, "d")
    assert "from the previous measured epoch to t" in change.get_title(loc="left")
    assert [label.get_text() for label in change.get_xticklabels()] == ["2", "3", "6"]
    assert panel(fig, "a").get_title(loc="left") == "(a) epoch 0: before training"
    two = draw("fig_2_6", {"evolution": spectrum_evolution(study.isel(epoch=[0, 6]))})
    change = panel(two, "c")
    assert change.get_xscale() == "linear" and change.get_xticks().tolist() == [6]
    assert "propto" not in change.get_title(loc="left")
    alone = draw("fig_2_6", {"evolution": spectrum_evolution(study.isel(epoch=[3]))})
    assert [ax.get_title(loc="left") for ax in alone.axes] == ["(a) epoch 3"]
    (legend,) = alone.legends
    assert [text.get_text() for text in legend.get_texts()] == ["p = 0.04", "p = 0.08"]
    assert alone.get_figheight() < fig.get_figheight()


def test_the_shown_epochs_are_the_nearest_to_0_and_4_and_the_last_each_once():
    for epochs, expected in (
        ([0, 1, 2, 9], [0, 2, 9]),
        ([0, 5, 6], [0, 5, 6]),
        ([1, 2, 4], [1, 4]),
        ([0, 2, 3], [0, 3]),
        ([7], [7]),
        ([0, 3, 8], [0, 3, 8]),
    ):
        assert shown_epochs(np.array(epochs)) == expected


def coefficients(networks: xr.Dataset, quantity: str) -> str:
    """Return the coefficients of a quantity and the validation loss as in titles."""
    of_loss = (networks["quantity"] == quantity) & (networks["performance"] == "validation_loss")
    found = networks.isel(pair=np.flatnonzero(of_loss))
    return f"r = {found['pearson'].item():.2f}, ρ = {found['spearman'].item():.2f}".replace("-", "−")


def test_fig_2_7_shows_all_networks_in_grey_with_limits_and_coefficients(drawn_figure, stores):
    fig = drawn_figure("fig_2_7")
    for row, (task, letter) in enumerate((("char_rnn", "b"), ("mocap", "d"))):
        networks, (spectra, scatter) = stores[task], fig.axes[2 * row : 2 * row + 2]
        exponents = networks["lyapunov_exponent"].values
        np.testing.assert_array_equal([line.get_ydata() for line in drawn(spectra, OTHERS_COLOR)], exponents)
        assert (drawn(spectra, OTHERS_COLOR)[0].get_xdata() == networks["exponent"].values).all()
        assert spectra.get_ylim() == pytest.approx(robust_limits(exponents, include=[0]))
        at_best = networks.sel(epoch=networks["best_epoch"])
        statistic = networks.attrs["highlighted_by"]
        x, y = at_best["spectrum_statistic"].sel(statistic=statistic).values, at_best["validation_loss"].values
        np.testing.assert_array_equal(scatter.collections[0].get_offsets(), np.stack([x, y], axis=1))
        shown = networks["highlighted_network"].values
        assert [drawn(scatter, color)[0].get_xdata()[0] for color in COLORS] == [x[network] for network in shown]
        assert scatter.get_xlim() == pytest.approx(robust_limits(x, include=x[shown]))
        assert scatter.get_ylim() == pytest.approx(robust_limits(y, include=y[shown]))
        assert_notes_count_points_outside(scatter)
        assert panel(fig, letter).get_title(loc="left").endswith(f": {coefficients(networks, statistic)}")


def test_fig_2_b1_shows_every_statistic_at_the_best_epoch_with_its_coefficients(drawn_figure, stores):
    axes = np.reshape(drawn_figure("fig_2_b1").axes, (8, 2))
    for column, task in zip(axes.T, ("char_rnn", "mocap"), strict=True):
        networks = stores[task]
        at_best = networks.sel(epoch=networks["best_epoch"])
        shown, y = networks["highlighted_network"].values, at_best["validation_loss"].values
        for ax, statistic in zip(column, STATISTIC_LABELS, strict=True):
            x = at_best["spectrum_statistic"].sel(statistic=statistic).values
            np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.stack([x, y], axis=1))
            colored = [line.get_xydata()[0] for color in COLORS for line in drawn(ax, color)]
            np.testing.assert_array_equal(colored, np.stack([x, y], axis=1)[shown])
            is_count = statistic in ("number_near_zero", "number_above_zero", "kaplan_yorke_dimension")
            limits = (-0.5, max(1, x.max()) + 0.5) if is_count else robust_limits(x, include=x[shown])
            assert ax.get_xlim() == pytest.approx(limits)
            assert_notes_count_points_outside(ax)
            assert ax.get_title(loc="left").endswith(f": {coefficients(networks, statistic)}")


def test_limits_of_counts_are_those_of_all_counts_and_highlighted_networks_are_inside():
    ax = Figure().subplots()
    x = np.array([0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9])
    limit_scatter(ax, x, x, np.array([], dtype=int), counted=True)
    assert ax.get_xlim() == (-0.5, 9.5) and ax.get_ylim()[1] < 1
    assert [text.get_text() for text in ax.texts] == ["1 outside"]
    limit_scatter(ax, np.zeros(21), x, np.array([20]), counted=True)
    assert ax.get_xlim() == (-0.5, 1.5) and ax.get_ylim()[1] > 9
    limit_scatter(ax, x, x, np.array([20]), counted=False)
    assert ax.get_xlim()[1] > 9


def test_a_constant_quantity_has_no_coefficients(stores):
    constant = stores["mocap"].copy()
    constant["pearson"] = constant["pearson"] * np.nan
    assert "(b) LE max [nats/step]: constant" in texts(draw("fig_2_b1", stores | {"mocap": constant}))


def test_figs_2_8_and_2_b2_connect_the_epochs_of_a_network_in_its_colour(drawn_figure, stores):
    for name in ("fig_2_8", "fig_2_b2"):
        for ax in drawn_figure(name).axes:
            scattered = [collection for collection in ax.collections if len(collection.get_offsets()) > 1]
            for collection, color in zip(scattered, COLORS, strict=True):
                (line,) = drawn(ax, color)
                np.testing.assert_array_equal(line.get_xydata(), collection.get_offsets())
                assert to_rgb(collection.get_facecolor()[0][:3]) == to_rgb(color)
                np.testing.assert_allclose(collection.get_facecolor()[:, 3], np.linspace(0.12, 1, 9))
        handles = drawn_figure(name).legends[0].legend_handles[-3:]
        assert [handle.get_alpha() for handle in handles] == [0.12, 0.56, 1]
    expected = coefficients(stores["char_rnn"], "validation_accuracy")
    assert drawn_figure("fig_2_b2").axes[0].get_title(loc="left") == f"(a) {expected}"


def test_fig_2_3_has_light_and_dark_lines_over_the_first_steps_and_the_largest_exponents(drawn_figure, stores):
    fig, regimes = drawn_figure("fig_2_3"), stores["regimes"]
    for index, letter in enumerate("abc"):
        ax = panel(fig, letter)
        light, dark = REGIME_COLORS[index]
        assert [line.get_color() for line in ax.lines] == [light] * 4 + [dark] * 4
        assert (ax.lines[0].get_xdata() == np.arange(40)).all()
        largest = regimes["lyapunov_exponent"].values[index, ..., 0].mean()
        title = f"({letter}) gain {regimes['gain'].values[index]:g}: λ₁ = {largest:+.3f}".replace("-", "−")
        assert ax.get_title(loc="left") == title
        assert ax.get_ylim() == panel(fig, "a").get_ylim()
    for letter, n_shown in (("d", 30), ("e", 20)):
        lines = [line for line in panel(fig, letter).lines if len(line.get_xdata()) == n_shown]
        lines = [line for line in lines if line.get_linestyle() == "-"]
        assert [line.get_color() for line in lines] == [color for colors in REGIME_COLORS for color in colors]
        assert (lines[0].get_xdata() == np.arange(1, n_shown + 1)).all()
