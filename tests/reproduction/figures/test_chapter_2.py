from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.catalogue import figures, load
from lyapunov_pkg.reproduction.figures.presentation import STATISTIC_LABELS
from lyapunov_pkg.reproduction.figures.style import SERIES_COLORS
from lyapunov_pkg.reproduction.populations.correlations import performance_correlations
from lyapunov_pkg.reproduction.populations.evolution import spectrum_evolution
from lyapunov_pkg.reproduction.sources import joined, select_variables
from tests.reproduction.figures.checks import assert_complete, assert_says, assert_text_inside_and_panels_apart, texts
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
