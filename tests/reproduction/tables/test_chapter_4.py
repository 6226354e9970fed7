from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.gradients.input_flips import RANKINGS
from lyapunov_pkg.reproduction.tables.chapter_4 import table_4_1, table_extra_alignment
from lyapunov_pkg.reproduction.tables.writing import readable
from tests.reproduction.gradients.stores import make_alignment, make_flips
from tests.reproduction.tables.stores import row


def test_table_4_1_has_both_tests_and_the_dissertations_numbers_for_equally_long_sequences():
    flips = make_flips(n_flips=(1, 100), shape=(28, 28))
    frame = table_4_1(flips)
    assert len(frame) == 2 * len(RANKINGS)
    ours = row(frame, ranking="largest R value", n_flips=100)
    assert (ours["mean_excess_dissertation"], ours["p_pooled_dissertation"]) == (1.05, 0.024)
    found = flips.sel(ranking="expansion", n_flips=100)
    for name in ("mean_excess", "p_pooled"):
        assert ours[name] == pytest.approx(found[name].item(), abs=1e-4)
    for name in ("p_paired", "p_holm", "effect_size"):
        assert ours[name] == pytest.approx(found[name].sel(comparison="random").item(), abs=1e-4)
    assert ours["excess_later_mean"] == pytest.approx(found["excess"].sel(comparison="later").item(), abs=1e-4)
    assert ours["excess_same_steps_mean"] == found["excess"].sel(comparison="same_steps").item()
    assert ours["p_paired_same_steps"] == found["p_paired"].sel(comparison="same_steps").item()
    assert ours["up_share"] == 0.25
    assert np.isnan(row(frame, ranking="brightest", n_flips=100)["mean_excess_dissertation"])
    assert np.isnan(row(frame, ranking="largest R, warm-up", n_flips=100)["mean_excess_dissertation"])
    assert table_4_1(make_flips(n_flips=(1, 12)))["mean_excess_dissertation"].isna().all()
    note = frame.attrs["note"]
    assert "7 images of 784 pixels, 6 random choices of pixels for each; 2 networks" in note
    assert "validation accuracies 0.900, 0.800" in note and "for the first 5 images and" in note
    assert "exclude the first 3 steps" in note and "for the 2 numbers of flips. Warm-up: 2 steps" in note
    assert "of the first 3 R values" in note and "it is 0.50 for random flips" in note
    rankings = ("largest R value", "largest R, warm-up", "largest R of Jᵀ Q", "largest R of Jᵀ Q, warm-up")
    shares = ", ".join(f"75% ({ranking})" for ranking in rankings)
    assert f"Of the first 4 pixels of a ranking, {shares} are among the first 4 steps" in note
    few = flips.isel(image=slice(4), ranking=[0]).assign(best_accuracy=flips["best_accuracy"][::-1])
    assert (
        "accuracies 0.900, 0.800" in table_4_1(few).attrs["note"] and "first 4 images" in table_4_1(few).attrs["note"]
    )


def test_table_4_1_keeps_all_digits_and_shows_four_decimals():
    flips = make_flips(n_flips=(1,))
    flips["p_pooled"][:], flips["p_paired"][:], flips["mean_excess"][:] = 0.00123456, 1e-9, 0.00312345
    frame = table_4_1(flips)
    assert (frame["p_pooled"] == 0.00123456).all() and (frame["p_paired"] == 1e-9).all()
    shown = readable(frame).iloc[0]
    assert shown["p, images independent"] == "0.0012" and shown["p, paired by image"] == "< 0.0001"
    assert shown["μ - μ rand [nats]"] == "0.0031"


def test_alignment_has_the_dissertations_numbers_next_to_its_own_convention():
    alignment = make_alignment(n_networks=2, hidden_size=16)
    frame = table_extra_alignment(alignment)
    assert len(frame) == 2 * 5 * 2 * 3
    assert frame["weights"].tolist() == ["small"] * 30 + ["uniform"] * 30
    labels = ["Q of Jᵀ Q (eq. 4.11)", "Q of Jᵀ Q, warm-up", "Q of J Q", "Q of J Q, settled", "covariant vectors"]
    assert frame["vectors"].tolist() == [label for label in labels * 2 for _ in range(6)]
    assert frame["side"].tolist()[:6] == ["right"] * 3 + ["left"] * 3
    assert frame["group"].tolist()[:3] == ["first", "last", "random"]
    ours = row(frame, weights="small", vectors="Q of Jᵀ Q (eq. 4.11)", side="right", group="first")
    assert (ours["before_dissertation"], ours["after_dissertation"]) == (0.089, 0.2)
    assert ours["before_mean"] == pytest.approx(0.255) and ours["after_std"] == pytest.approx(0.01 / 2**0.5)
    assert ours["averaged_after_mean"] == pytest.approx(0.9 * ours["after_mean"])
    assert ours["averaged_after_std"] == pytest.approx(0.9 * ours["after_std"])
    assert ours["averaged_before_mean"] == pytest.approx(0.9 * ours["before_mean"]) != ours["averaged_after_mean"]
    assert frame["before_dissertation"].notna().sum() == 2 * 3
    assert readable(frame)["σ before training"][0] == "0.255 ± 0.007"
    note = frame.attrs["note"]
    assert "First 2 singular vectors, 4 Lyapunov vectors of 16; epochs 0 and 5." in note
    assert "(2 from small, 2 from uniform weights)" in note and "Unrelated frames have 0.250." in note
    alone = table_extra_alignment(alignment.isel(variant=[0, 2]))
    assert alone["before_std"].isna().all() and alone["averaged_after_std"].isna().all()
