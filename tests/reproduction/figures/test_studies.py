"""Kinds of networks in a study, and how figures distinguish them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lyapunov_pkg.reproduction.catalogue import load, of_every_study
from lyapunov_pkg.reproduction.figures.studies import kinds
from lyapunov_pkg.reproduction.populations.correlations import performance_correlations
from lyapunov_pkg.reproduction.populations.evolution import spectrum_evolution
from lyapunov_pkg.reproduction.sources import select_variables
from tests.reproduction.figures.checks import assert_lettered, assert_text_inside_and_panels_apart
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
