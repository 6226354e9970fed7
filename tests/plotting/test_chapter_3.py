from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from lyapunov_pkg.plotting import chapter_3
from lyapunov_pkg.plotting.drawn_from import figure_data, joined
from lyapunov_pkg.plotting.presentation import ARCHITECTURE_LABELS
from lyapunov_pkg.plotting.style import save_figure
from tests.plotting.checks import assert_complete, assert_text_inside_and_panels_apart, texts

FIGURES = [
    *(
        "fig_3_1",
        "fig_3_5",
        "fig_3_6",
        "fig_3_7",
        "fig_3_8",
        "fig_3_9",
        "fig_3_10",
        "fig_3_11",
        "fig_3_12",
        "fig_3_13",
        "fig_3_14",
    ),
    *("fig_extra_pruning", "fig_3_15", "fig_3_b1", "fig_3_b2", "fig_3_b3", "fig_3_b4"),
]
OVER_SEEDS = ["fig_3_1", "fig_3_2", "fig_3_3", "fig_3_4", "fig_3_5", "fig_extra_pruning"]  # the others show one seed
STUDIES = ("target_learning", "char_rnn_sizes", "smnist")
NAMING_ARCHITECTURES = ["fig_3_5", "fig_3_9", "fig_3_12", "fig_3_13", "fig_3_15"]


def draw(name: str, datasets: dict) -> Figure:
    if name == "fig_3_b4":
        return chapter_3.fig_3_b4(**{study: datasets["final"] for study in STUDIES})
    if name == "fig_3_3":
        return chapter_3.fig_3_3(datasets["eigenvalues"])  # which has spectra, too
    function = getattr(chapter_3, name)
    return function(*[datasets[argument] for argument in inspect.signature(function).parameters])


@pytest.mark.parametrize("name", FIGURES)
def test_is_complete(name, datasets):
    assert_complete(draw(name, datasets()))


@pytest.mark.parametrize("name", FIGURES)
def test_is_complete_with_one_seed_and_few_architectures(name, datasets):
    fig = draw(name, datasets(architectures=("gru", "lem"), n_seeds=1))
    assert_complete(fig)
    assert not any("of 2 seeds" in text for text in texts(fig))


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in OVER_SEEDS])
def test_says_which_seed_is_shown(name, datasets):
    assert any("first of 2 seeds" in text for text in texts(draw(name, datasets())))


@pytest.mark.parametrize("low", [True, False])
@pytest.mark.parametrize("name", FIGURES)
def test_is_complete_with_a_test_part_of_one_class(name, low, datasets):
    sets = datasets()
    for experiment in ("final", "pretrained"):
        sets[experiment]["low_error"][:] = low
        sets[experiment]["f1"][:] = np.nan
        sets[experiment]["threshold"][:] = np.nan
    assert_complete(draw(name, sets))


@pytest.mark.parametrize("name", NAMING_ARCHITECTURES)
def test_legend_names_the_architectures_that_are_there(name, datasets):
    shown = texts(draw(name, datasets(architectures=("cornn", "noisy", "rnn"))))
    for architecture, label in ARCHITECTURE_LABELS.items():
        assert (label in shown) == (architecture in ("cornn", "noisy", "rnn")), label


def test_an_architecture_without_a_style_keeps_its_name(datasets):
    assert "reservoir" in texts(draw("fig_3_9", datasets(architectures=("rnn", "reservoir"))))


@pytest.mark.parametrize("name", ["fig_3_5", "fig_3_11", "fig_3_12", "fig_3_14", "fig_3_15", "fig_3_b3"])
def test_exponents_have_units(name, datasets):
    assert any("[nats/step]" in text for text in texts(draw(name, datasets())))


def test_text_stays_inside_the_figure_and_panels_apart(datasets):
    for name in FIGURES:
        fig = draw(name, datasets())
        assert_text_inside_and_panels_apart(fig, name)


def test_far_points_are_counted_and_do_not_set_the_limits(datasets):
    final = datasets(n_seeds=1)["final"]
    final["partition"][:] = "test"
    fig = chapter_3.fig_3_13(final)
    assert "1 outside" in texts(fig)
    assert fig.axes[0].get_xlim()[1] < 20


@pytest.mark.parametrize(("total_epochs", "expected"), [(10, ["0", "10", "20", "50"]), (4, ["0", "25", "50"])])
def test_fig_3_10_shows_the_epochs_nearest_to_the_dissertations(total_epochs, expected, datasets):
    fig = chapter_3.fig_3_10(datasets()["pretrained"].assign_attrs(total_epochs=total_epochs))
    assert [text.split("%")[0] for text in texts(fig) if "% of training" in text] == expected


def test_fig_3_10_shades_the_side_of_low_error(datasets):
    pretrained = datasets(n_seeds=1)["pretrained"]
    for low_is_above in (True, False):
        pretrained["low_is_above"][:] = low_is_above
        ax = chapter_3.fig_3_10(pretrained).axes[0]
        (shaded,) = [patch for patch in ax.patches if patch.get_label() == "predicted low error"]
        left, right = shaded.get_x(), shaded.get_x() + shaded.get_width()
        assert (left, right) == pytest.approx((0, ax.get_xlim()[1]) if low_is_above else (ax.get_xlim()[0], 0))


def test_fig_3_11_counts_every_test_network_within_the_limits(datasets):
    pretrained = datasets(n_seeds=1)["pretrained"]
    n_test = int((pretrained["partition"] == "test").sum())
    for ax in chapter_3.fig_3_11(pretrained).axes:
        drawn = sum(bar.get_height() for container in ax.containers for bar in container)
        outside = sum(int(text.get_text().split()[0]) for text in ax.texts)
        assert drawn + outside == n_test


def test_fig_3_5_marks_maximum_and_number_above_zero(datasets):
    spectra = datasets(architectures=("gru",))["spectra"].isel(variant=[5])
    exponents = np.linspace(0.31, -0.62, spectra.sizes["exponent"])  # 11 of 32 above zero, slope -0.03
    spectra["lyapunov_exponent"][:] = exponents
    shown = texts(chapter_3.fig_3_5(spectra))
    assert {"maximum 0.31", "11 above zero", "initial slope −0.03", "final slope −0.03"} <= set(shown)


def test_fig_3_5_leaves_out_diverged_networks_and_says_if_none_is_left(datasets):
    spectra = datasets(architectures=("gru", "lem"))["spectra"]
    spectra["diverged"][spectra["architecture"].values == "gru"] = True
    shown = texts(chapter_3.fig_3_5(spectra))
    assert "LEM" in shown and "GRU" not in shown
    spectra["diverged"][:] = True
    with pytest.raises(ValueError, match="all 16 networks diverged"):
        chapter_3.fig_3_5(spectra)


def test_fig_3_1_names_errors_of_all_predictors_and_leaves_out_who_was_never_held_out(datasets):
    prednet = datasets()["prednet"]
    fig = chapter_3.fig_3_1(prednet)
    true, predicted = fig.axes[:2]
    assert [sum(len(points.get_offsets()) for points in ax.collections) for ax in (true, predicted)] == [40, 40]
    finite = [np.isfinite(points.get_offsets()).all(axis=1).sum() for points in predicted.collections]
    assert sum(finite) == 39
    for name in ("PredNet", "mean of the training networks", "linear in p and log₂ hidden size"):
        assert any(text.startswith(f"{name}: ") for text in texts(fig))
    assert "(b) predicted at 40% of training" in texts(fig)


def test_figs_3_2_and_3_3_show_the_largest_gamma_at_the_ends_of_eps_without_diverged_networks(datasets):
    networks = datasets()["eigenvalues"]
    networks["diverged"][18] = True
    for figure in (chapter_3.fig_3_2, chapter_3.fig_3_3):
        shown = texts(figure(networks))
        assert {"(a) ε = 0.01, γ = 0.1: 5 networks", "(b) ε = 1, γ = 0.1: 6 networks"} <= set(shown)
    drawn = chapter_3.fig_3_2(networks).axes[0].collections
    chosen = networks.isel(variant=[12, 14, 16, 20, 22])
    worst = chosen.isel(variant=int(chosen["validation_loss"].values.argmax()))
    np.testing.assert_allclose(drawn[0].get_offsets()[:, 0], worst["eigenvalue_real"])
    assert len(drawn) == 5


def test_fig_3_4_says_whether_spectra_predict_better(datasets):
    shown = texts(chapter_3.fig_3_4(datasets()["prednets"]))
    assert {"last epoch: spectra predict better", "lowest error: no difference to be told"} <= set(shown)


def test_fig_3_7_shows_free_runs_whose_errors_are_low_middle_and_high(datasets):
    sets = datasets()
    runs = sets["free_runs"]  # errors 0.1, 0.2, ..., 1.1, and a network that diverged with an error of 0
    ax = chapter_3.fig_3_7(sets["final"], runs).axes[0]
    assert [text.get_text() for text in ax.texts] == [
        f"{name} error: {error}" for name, error in (("low", "0.20"), ("middle", "0.60"), ("high", "1.00"))
    ]
    targets, outputs = (ax.lines[first::2] for first in (0, 1))
    for row, shown in enumerate((1, 5, 9)):
        below = targets[row].get_ydata() - outputs[row].get_ydata()
        np.testing.assert_allclose(below, runs["target"].values[shown] - runs["free_output"].values[shown], atol=1e-6)


def test_fig_3_8_shows_the_text_and_shades_its_target(datasets):
    text = datasets()["text"]
    ax = chapter_3.fig_3_8(datasets()["final"], text).axes[0]
    shown = "".join(character.get_text() for character in ax.texts)
    sequence = np.append(text["test_input"].values[0], text["test_target"].values[0, -1])
    expected = "".join(text["alphabet"].values[sequence])
    assert shown == expected.replace(" ", "␣").replace("\n", "↵")
    shaded = ax.images[0].get_array()
    assert shaded.sum() == 1 and shaded.flat[len(expected) - 1] == 1


def test_fig_extra_pruning_draws_every_criterion_and_what_aelle_has_cost(datasets):
    fig = chapter_3.fig_extra_pruning(datasets()["pruning"])
    names = ("AeLLE's prediction", "architecture", "loss so far", "chance")
    for label in (*(f"halving by {name}" for name in names), "none is stopped"):
        assert texts(fig).count(label) == 1
    assert len(fig.axes[0].containers) == len(names)
    assert len(fig.axes[1].containers) == len(names) + 1
    assert [tick.get_text() for tick in fig.axes[1].get_xticklabels()] == ["8", "16", "32"]


def test_fig_3_b4_has_a_column_for_each_study_in_the_order_of_the_chapter(datasets):
    final = datasets()["final"]
    fig = chapter_3.fig_3_b4(smnist=final, target_learning=final, char_rnn_sizes=final)
    headings = [text.split("\n")[0] for text in texts(fig) if "test networks" in text]
    assert headings == ["Target learning", "CharRNN", "SMNIST"]
    assert len(fig.axes) == 9


def test_stores_of_one_schema_are_kept_apart_beside_a_figure(datasets):
    sets = datasets()
    merged = joined(
        figure_data("fig_3_b4", {study: sets["final"].isel(network=slice(7 + n)) for n, study in enumerate(STUDIES)})
    )
    assert merged["smnist_f1"].dims == ("smnist_seed", "smnist_classifier")
    assert [merged.sizes[f"{study}_network"] for study in STUDIES] == [7, 8, 9]
    assert "final_loss" in joined(figure_data("fig_3_9", sets))


@pytest.mark.parametrize("name", ["fig_3_5", "fig_3_9", "fig_3_10"])  # between them: lines, images, histograms, points
def test_saves_the_same_bytes_twice(name, datasets, tmp_path):
    contents = []
    for copy in ("first", "second"):
        pdf, png = tmp_path / f"{copy}.pdf", tmp_path / f"{copy}.png"
        save_figure(draw(name, datasets()), pdf, png)
        contents.append((pdf.read_bytes(), png.read_bytes()))
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"%PDF") and contents[0][1].startswith(b"\x89PNG")
    assert min(map(len, contents[0])) > 5000


def test_drawing_does_not_import_torch():
    code = "import sys, lyapunov_pkg.plotting.chapter_3, lyapunov_pkg.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
