"""Kinds of networks in a study, and how figures distinguish them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from lyapunov_pkg.reproduction.catalogue import load, of_every_study
from lyapunov_pkg.reproduction.figures.panels import robust_limits
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS, STATISTIC_LABELS
from lyapunov_pkg.reproduction.figures.studies import fig_study_statistics, fig_study_training, kinds, loss_label
from lyapunov_pkg.reproduction.figures.style import architecture_style
from lyapunov_pkg.reproduction.populations.correlations import performance_correlations
from lyapunov_pkg.reproduction.populations.evolution import spectrum_evolution
from lyapunov_pkg.reproduction.sources import select_variables
from tests.reproduction.figures.checks import (
    assert_lettered,
    assert_text_inside_and_panels_apart,
    curves,
    panel,
    points_by_label,
    written,
)
from tests.reproduction.figures.conftest import ARCHITECTURES
from tests.reproduction.populations.synthetic import make_study

FIGURES = {record.function: record for record in of_every_study() if record.kind == "figure"}


def test_networks_of_one_architecture_are_distinguished_by_the_varying_hyperparameter():
    sizes = np.array([16, 32, 16, 64])
    networks = xr.Dataset(coords={"architecture": ("network", ["lstm"] * 4), "hidden_size": ("network", sizes)})
    found = kinds(networks)
    assert len(found) == 3
    for kind, size in zip(found, (16, 32, 64), strict=True):
        np.testing.assert_array_equal(kind.members, sizes == size)
        assert kind.label == f"hidden size {size}"


def test_several_architectures_are_distinguished_by_name():
    networks = xr.Dataset(coords={"architecture": ("network", ["gru", "lstm", "gru"])})
    selected = [kind.members.tolist() for kind in kinds(networks)]
    assert sorted(selected) == [[False, True, False], [True, False, True]]


def test_a_hyperparameter_with_too_many_or_equal_values_does_not_distinguish_networks():
    names, sizes = ("network", ["lstm"] * 9), ("network", [16] * 9)
    p, rate = ("network", np.arange(9) / 10), ("network", [0.1, 0.2, 0.3] * 3)
    coordinates = {"architecture": names, "hidden_size": sizes, "init_param": p}
    (alone,) = kinds(xr.Dataset(coords=coordinates))
    assert alone.label == "LSTM" and alone.members.all() and alone.color == architecture_style("lstm").color
    assert [kind.label for kind in kinds(xr.Dataset(coords=coordinates | {"learning_rate": rate}))] == [
        f"learning rate {value}" for value in (0.1, 0.2, 0.3)
    ]
    two = xr.Dataset(coords=coordinates | {"dropout": ("network", [0.0] * 8 + [0.5])})
    assert [kind.label for kind in kinds(two)] == ["dropout 0", "dropout 0.5"]
    eight = xr.Dataset(coords=coordinates).isel(network=slice(8))
    assert [kind.label for kind in kinds(eight)] == [f"p {value:g}" for value in np.arange(8) / 10]


def test_the_unit_of_the_loss_is_that_of_the_store():
    for unit, expected in (("nat", " [nats]"), ("1", ""), ("mV", " [mV]")):
        networks = xr.Dataset({"validation_loss": ("network", [1.0], {"units": unit})})
        assert loss_label(networks) == "validation loss" + expected
    assert loss_label(xr.Dataset({"validation_loss": ("network", [1.0])})) == "validation loss"


@pytest.fixture
def stores(datasets) -> dict[str, xr.Dataset]:
    """Return all Datasets of the figures by argument name."""
    study = make_study(12, 8).assign_coords(architecture=("variant", ["gru", "lstm"] * 6))
    settings = {"n_highlighted": 6, "near_zero": 0.1, "exponent_floor": -20.0, "n_resamples": 20, "seed": 0}
    return {
        "training": study,
        "evolution": spectrum_evolution(study),
        "networks": performance_correlations(study, "mean_exponent", **settings),
        "final": datasets()["final"],
    }


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_any_study_have_data_in_every_panel_and_no_panels_overlap(name, stores):
    record = FIGURES[name]
    fig = load(record.place)(**select_variables(record, {source: stores[source] for source in record.sources}))
    assert_lettered(fig)
    assert all(ax.has_data() for ax in fig.axes)
    assert_text_inside_and_panels_apart(fig, name)
    SHOWN[name](fig, stores)


def _shows_losses(fig: Figure, stores: dict[str, xr.Dataset]) -> None:
    study, (ax,) = stores["training"].isel(variant=slice(11)), fig.axes  # The last network diverged.
    losses = study["validation_loss"].values
    for (label, points), loss, name in zip(curves(ax), losses, study["architecture"].values, strict=True):
        np.testing.assert_array_equal(points, np.stack([study["epoch"], loss], axis=1))
        assert label == ARCHITECTURE_LABELS[name]
    colors = [line.get_color() for line in ax.lines]
    assert colors == [architecture_style(name).color for name in study["architecture"].values]
    assert ax.get_ylim() == pytest.approx(robust_limits(losses))
    assert {line.get_marker() for line in ax.lines} == {"None"}
    assert written(fig)[1:] == [
        "11 networks; 1 more diverged | epoch | validation loss [nats]",
        "legend in 7 columns: GRU, LSTM",
    ]


def _shows_spectra(fig: Figure, stores: dict[str, xr.Dataset]) -> None:
    evolution, change = stores["evolution"], panel(fig, "d")
    drawn = [line for line in change.lines if line.get_label() != "1/t"]
    assert [line.get_marker() for line in drawn] == ["."] * 11
    for ax, epoch in zip(fig.axes[:3], (0, 4, 8), strict=True):
        exponents = evolution["lyapunov_exponent"].transpose("network", "epoch", "exponent").sel(epoch=epoch).values
        np.testing.assert_array_equal([points[:, 1] for _, points in curves(ax)], exponents)
        assert [label for label, _ in curves(ax)] == ["GRU", "LSTM"] * 5 + ["GRU"]


def _shows_statistics(fig: Figure, stores: dict[str, xr.Dataset]) -> None:
    networks = stores["networks"]
    at_best = networks.sel(epoch=networks["best_epoch"])
    assert len(fig.axes) == 8
    for letter, ax, statistic in zip("abcdefgh", fig.axes, STATISTIC_LABELS, strict=True):
        x, y = at_best["spectrum_statistic"].sel(statistic=statistic).values, at_best["validation_loss"].values
        for label, name in (("GRU", "gru"), ("LSTM", "lstm")):
            expected = np.stack([x, y], axis=1)[networks["architecture"].values == name]
            np.testing.assert_array_equal(points_by_label(ax)[label], expected)
        if statistic not in ("number_near_zero", "number_above_zero", "kaplan_yorke_dimension"):
            assert ax.get_xlim() == pytest.approx(robust_limits(x))
        assert ax.get_ylim() == pytest.approx(robust_limits(y)) and ax.get_ylabel() == "loss [nats]"
        assert ax.get_title(loc="left").startswith(f"({letter}) {STATISTIC_LABELS[statistic][0]}")
    title = "11 networks; near zero: within 0.1 nats/step of it"
    assert fig.legends[0].get_title().get_text() == title


def _shows_aelle(fig: Figure, stores: dict[str, xr.Dataset]) -> None:
    data = stores["final"].isel(seed=0)
    whole = panel(fig, "b")
    for name in ARCHITECTURES:
        expected = data["aelle_component"].values[data["architecture"].values == name, :2]
        np.testing.assert_array_equal(points_by_label(whole)[ARCHITECTURE_LABELS[name]], expected)
    assert panel(fig, "a").get_title(loc="left") == "(a) 21 test networks, first of 2 seeds"
    by_error = fig.axes[0]
    assert by_error.get_xlim() == panel(fig, "a").get_xlim() == whole.get_xlim()
    assert by_error.get_ylim() == whole.get_ylim()


SHOWN = {
    "fig_study_training": _shows_losses,
    "fig_study_spectra": _shows_spectra,
    "fig_study_statistics": _shows_statistics,
    "fig_study_aelle_plane": _shows_aelle,
}


def test_losses_of_a_single_epoch_are_points_and_no_network_has_no_legend():
    study = make_study(4, 8, n_diverged=0).assign_coords(architecture=("variant", ["gru"] * 4))
    fig = fig_study_training(study.isel(epoch=[8]))
    assert {line.get_marker() for line in fig.axes[0].lines} == {"o"}
    assert fig.axes[0].get_title(loc="left") == "4 networks"
    gone = study.assign(diverged=("variant", [True] * 4))
    fig = fig_study_training(gone)
    assert fig.axes[0].get_title(loc="left") == "0 networks; 4 more diverged" and not fig.legends


def test_an_odd_number_of_statistics_leaves_no_empty_panel(stores):
    networks = stores["networks"].isel(statistic=slice(3))
    fig = fig_study_statistics(networks)
    assert [ax.get_subplotspec().rowspan.start for ax in fig.axes] == [0, 0, 1]
