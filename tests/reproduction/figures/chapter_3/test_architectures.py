from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.figures.chapter_3.architectures import _final_losses, fig_3_13, fig_3_14
from lyapunov_pkg.reproduction.figures.panels import held_out, robust_limits
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS
from lyapunov_pkg.reproduction.figures.style import architecture_style
from tests.reproduction.figures.checks import (
    assert_notes_count_points_outside,
    curves,
    points_by_label,
    reference_lines,
    texts,
)
from tests.reproduction.figures.conftest import ARCHITECTURES


def test_outliers_are_counted_and_do_not_set_the_limits(datasets):
    final = datasets(n_seeds=1)["final"]
    final["partition"][:] = "test"
    fig = fig_3_13(final)
    assert "1 outside" in texts(fig)
    assert fig.axes[0].get_xlim()[1] < 20


def quality(data) -> str:
    values = [data[name].sel(part="test").item() for name in ("reconstruction_error", "median_error", "r_squared")]
    of_spectra = "Test networks: reconstruction error {:.2g} nats/step (median spectrum: {:.2g})"
    return (of_spectra + ", R² of the predicted loss {:.2f}").format(*values)


def test_fig_3_12_shows_the_example_of_each_architecture_three_times(default_sets, default_figure):
    data = default_sets["final"].isel(seed=0)
    shown = data.isel(network=data["example_network"].values)
    spectra, embedding, losses = default_figure("fig_3_12").axes
    for (label, drawn), name, exponents in zip(
        curves(spectra), ARCHITECTURES, shown["lyapunov_exponent"].values, strict=True
    ):
        assert label == ARCHITECTURE_LABELS[name]
        np.testing.assert_array_equal(drawn, np.stack([np.arange(1, 33), exponents], axis=1))
    everything = data["aelle_component"].values[:, :2]
    np.testing.assert_array_equal(points_by_label(embedding)["all networks"], everything)
    places = np.concatenate([points for _, points in curves(embedding)])
    np.testing.assert_array_equal(places, shown["aelle_component"].values[:, :2])
    assert reference_lines(embedding) == [("x", pytest.approx(0.3))]
    assert embedding.get_xlim() == pytest.approx(robust_limits(everything[:, 0]))
    assert_notes_count_points_outside(embedding)
    expected = np.stack([shown["final_loss"].values, np.arange(8)], axis=1)
    np.testing.assert_array_equal(np.concatenate([points for _, points in curves(losses)]), expected)
    assert reference_lines(losses) == [("x", pytest.approx(data["final_loss"].median().item()))]
    assert losses.get_ylim() == (7.5, -0.5)
    assert [tick.get_text() for tick in losses.get_yticklabels()] == [
        ARCHITECTURE_LABELS[name] for name in ARCHITECTURES
    ]
    for ax in (embedding, losses):
        drawn = [line for line in ax.lines if len(line.get_xdata()) == 1]
        assert [line.get_color() for line in drawn] == [architecture_style(name).color for name in ARCHITECTURES]


@pytest.mark.parametrize(("largest", "scale"), [(10.0, "linear"), (10.1, "log")])
def test_the_axis_of_final_losses_is_logarithmic_if_they_differ_by_more_than_ten_times(largest, scale):
    ax = Figure().subplots()
    _final_losses(ax, ["rnn", "gru"], np.array([1.0, largest]), 2.0)
    assert ax.get_xscale() == scale


def test_fig_3_13_shows_all_networks_and_the_moved_test_networks_in_the_same_limits(default_sets, default_figure):
    data = default_sets["final"].isel(seed=0)
    fig = default_figure("fig_3_13")
    by_architecture, by_shift = fig.axes
    places = data["aelle_component"].values[:, :2]
    for name in ARCHITECTURES:
        drawn = points_by_label(by_architecture)[ARCHITECTURE_LABELS[name]]
        np.testing.assert_array_equal(drawn, places[data["architecture"].values == name])
    moved = held_out(data)["shifted_component"].transpose("loss_shift", "network", "component").values[..., :2]
    labels = ("ΔT = −0.5", "ΔT = −0.25", "ΔT = 0", "ΔT = +0.25", "ΔT = +0.5")
    for label, points in zip(labels, moved, strict=True):
        np.testing.assert_array_equal(points_by_label(by_shift)[label], points)
    both = np.concatenate([places, moved.reshape(-1, 2)])
    for ax in fig.axes:
        assert ax.get_xlim() == pytest.approx(robust_limits(both[:, 0]))
        assert ax.get_ylim() == pytest.approx(robust_limits(both[:, 1]))
        assert_notes_count_points_outside(ax)
    assert fig.texts[0].get_text() == quality(data)


def test_a_failed_autoencoder_is_named(datasets):
    final = datasets(architectures=("gru", "lem"), n_seeds=1)["final"]
    final["autoencoder_works"][:] = False
    final["r_squared"][:] = -0.5
    title = fig_3_13(final).texts[0].get_text()
    assert title.startswith("THE AUTOENCODER FAILED. Test networks:") and title.endswith("loss −0.50")


def test_fig_3_14_shows_measured_and_decoded_spectra_of_each_example(default_sets, default_figure):
    data = default_sets["final"].isel(seed=0)
    fig = default_figure("fig_3_14")
    index = np.arange(1, 33)
    for example, (ax, network) in enumerate(zip(fig.axes, data["example_network"].values, strict=True)):
        drawn = dict(curves(ax))
        measured, decoded = data["lyapunov_exponent"].values[network], data["shifted_exponent"].values[:, example]
        assert list(drawn) == ["measured", "ΔT = −0.5", "ΔT = −0.25", "ΔT = 0", "ΔT = +0.25", "ΔT = +0.5"]
        for points, exponents in zip(drawn.values(), [measured, *decoded], strict=True):
            np.testing.assert_array_equal(points, np.stack([index, exponents], axis=1))
        limits = robust_limits(np.append(decoded, measured), include=[0])
        assert ax.get_ylim() == pytest.approx(limits) and reference_lines(ax) == [("y", 0)]
    assert fig.texts[1].get_text().endswith(f"first of 2 seeds\n{quality(data)}")


def test_fig_3_14_has_rows_of_four_panels_with_the_index_below_the_lowest(datasets):
    sets = datasets(architectures=("rnn", "lstm", "gru", "asrnn", "lem"), n_seeds=1)
    fig = fig_3_14(sets["final"])
    assert [ax.get_subplotspec().rowspan.start for ax in fig.axes] == [0] * 4 + [1]
    assert [ax.get_xlabel() for ax in fig.axes] == ["", *["index of exponent"] * 4]


def test_fig_3_15_shows_points_of_zero_predicted_loss_and_their_spectra(default_sets, default_figure):
    data = default_sets["final"].isel(seed=0)
    embedding, spectra = default_figure("fig_3_15").axes
    places, zero = (data[name].values[:, :2] for name in ("aelle_component", "zero_loss_component"))
    drawn = points_by_label(embedding)
    np.testing.assert_array_equal(drawn["predicted loss zero"], zero)
    for name in ARCHITECTURES:
        np.testing.assert_array_equal(drawn[ARCHITECTURE_LABELS[name]], places[data["architecture"].values == name])
    both = np.concatenate([places, zero])
    assert embedding.get_xlim() == pytest.approx(robust_limits(both[:, 0]))
    assert embedding.get_ylim() == pytest.approx(robust_limits(both[:, 1]))
    assert_notes_count_points_outside(embedding)
    for (_, points), exponents in zip(curves(spectra), data["zero_loss_exponent"].values, strict=True):
        np.testing.assert_array_equal(points, np.stack([np.arange(1, 33), exponents], axis=1))
    assert default_figure("fig_3_15").texts[0].get_text() == quality(data)
