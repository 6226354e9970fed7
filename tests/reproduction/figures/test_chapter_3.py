from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from lyapunov_pkg.reproduction.catalogue import figures
from lyapunov_pkg.reproduction.figures.presentation import ARCHITECTURE_LABELS
from lyapunov_pkg.reproduction.figures.style import save_figure
from lyapunov_pkg.reproduction.sources import joined, select_variables
from tests.reproduction.figures.checks import assert_complete, assert_says, assert_text_inside_and_panels_apart, texts
from tests.reproduction.figures.conftest import draw

FIGURES = [name for name, record in figures().items() if record.chapter == 3]

# The other figures show one seed.
OVER_SEEDS = ["fig_3_1", "fig_3_2", "fig_3_3", "fig_3_4", "fig_3_5", "fig_extra_pruning"]

STUDIES = ("target_learning", "char_rnn_sizes", "smnist")

NAMING_ARCHITECTURES = ["fig_3_5", "fig_3_9", "fig_3_12", "fig_3_13", "fig_3_15"]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_complete(name, default_figure):
    fig = default_figure(name)
    assert_complete(fig)
    assert_says(fig, name)
    assert_text_inside_and_panels_apart(fig, name)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_complete_with_one_seed_and_few_architectures(name, datasets):
    fig = draw(name, datasets(architectures=("gru", "lem"), n_seeds=1))
    assert_complete(fig)
    assert not any("of 2 seeds" in text for text in texts(fig))


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in OVER_SEEDS])
def test_figures_say_which_seed_they_show(name, default_figure):
    assert any("first of 2 seeds" in text for text in texts(default_figure(name)))


@pytest.mark.parametrize("low", [True, False])
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_complete_if_all_test_networks_have_the_same_class(name, low, datasets):
    sets = datasets()
    for experiment in ("final", "pretrained"):
        sets[experiment]["low_error"][:] = low
        sets[experiment]["f1"][:] = np.nan
        sets[experiment]["threshold"][:] = np.nan
    assert_complete(draw(name, sets))


@pytest.mark.parametrize("name", NAMING_ARCHITECTURES)
def test_the_legend_names_the_architectures_in_the_data(name, datasets):
    shown = texts(draw(name, datasets(architectures=("cornn", "noisy", "rnn"))))
    for architecture, label in ARCHITECTURE_LABELS.items():
        assert (label in shown) == (architecture in ("cornn", "noisy", "rnn")), label


def test_an_architecture_without_a_style_keeps_its_name(datasets):
    assert "reservoir" in texts(draw("fig_3_9", datasets(architectures=("rnn", "reservoir"))))


@pytest.mark.parametrize("name", ["fig_3_5", "fig_3_11", "fig_3_12", "fig_3_14", "fig_3_15", "fig_3_b3"])
def test_exponents_have_units(name, default_figure):
    assert any("[nats/step]" in text for text in texts(default_figure(name)))


def test_stores_with_the_same_schema_are_saved_separately(datasets):
    sets = datasets()
    finals = {study: sets["final"].isel(network=slice(7 + n)) for n, study in enumerate(STUDIES)}
    merged = joined(select_variables(figures()["fig_3_b4"], finals))
    assert merged["smnist_f1"].dims == ("smnist_seed", "smnist_classifier")
    assert [merged.sizes[f"{study}_network"] for study in STUDIES] == [7, 8, 9]
    assert "final_loss" in joined(select_variables(figures()["fig_3_9"], sets))


# Together these figures contain lines, images, histograms and points.
@pytest.mark.parametrize("name", ["fig_3_5", "fig_3_9", "fig_3_10"])
def test_saving_twice_gives_the_same_bytes(name, datasets, tmp_path):
    contents = []
    for copy in ("first", "second"):
        pdf, png = tmp_path / f"{copy}.pdf", tmp_path / f"{copy}.png"
        save_figure(draw(name, datasets()), pdf, png)
        contents.append((pdf.read_bytes(), png.read_bytes()))
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"%PDF") and contents[0][1].startswith(b"\x89PNG")
    assert min(map(len, contents[0])) > 5000


def test_drawing_does_not_import_torch():
    code = (
        "import sys; from lyapunov_pkg.reproduction.catalogue import figures, load, tables; "
        "[load(record.place) for record in (*figures().values(), *tables().values())]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
