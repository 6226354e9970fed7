from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.catalogue import figures, load
from lyapunov_pkg.reproduction.figures.chapter_4.alignment import fig_4_1
from lyapunov_pkg.reproduction.figures.chapter_4.flips import fig_4_5, fig_4_d
from lyapunov_pkg.reproduction.sources import select_variables
from tests.reproduction.figures.checks import assert_complete, assert_text_inside_and_panels_apart, texts
from tests.reproduction.gradients.stores import make_alignment, make_flips, make_participation

STORES = {"alignment": make_alignment, "flips": make_flips, "participation": make_participation}
FIGURES = {name: record for name, record in figures().items() if record.chapter == 4}


@pytest.mark.parametrize("name", FIGURES)
def test_is_complete_and_drawn_from_what_is_kept_beside_it(name):
    record = FIGURES[name]
    fig = load(record.place)(**select_variables(record, {store: STORES[store]() for store in record.sources}))
    assert_complete(fig)
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
def test_other_scales_fit_in(name, store):
    fig = load(FIGURES[name].place)(store)
    assert_complete(fig)
    assert_text_inside_and_panels_apart(fig, name)


def test_fig_4_1_writes_standard_deviations_and_the_null_reference():
    fig = fig_4_1(make_alignment(hidden_size=16))
    text = texts(fig)
    assert any(line == "epoch 0: σ = 0.255 ± 0.007\nepoch 5: σ = 0.380 ± 0.007" for line in text)
    assert "random frames, σ = 0.250" in text
    null = next(line for line in fig.axes[0].lines if line.get_label().startswith("random"))
    x, density = null.get_xydata().T
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(density * x**2, x) ** 0.5 == pytest.approx(0.25, rel=1e-3)


def test_fig_4_5_shows_one_recognised_and_one_mistaken_image_in_their_place():
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
