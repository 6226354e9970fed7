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
    assert np.isnan(row(frame, ranking="brightest", n_flips=100)["mean_excess_dissertation"])
    assert table_4_1(make_flips(n_flips=(1, 12)))["mean_excess_dissertation"].isna().all()
    assert (
        "2 networks with validation accuracies 0.900, 0.800" in frame.attrs["note"]
        and "784 pixels" in frame.attrs["note"]
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
    ours = row(frame, weights="small", vectors="Q of Jᵀ Q (eq. 4.11)", side="right", group="first")
    assert (ours["before_dissertation"], ours["after_dissertation"]) == (0.089, 0.2)
    assert ours["before_mean"] == pytest.approx(0.255) and ours["after_std"] == pytest.approx(0.01 / 2**0.5)
    assert ours["averaged_after_mean"] == pytest.approx(0.9 * ours["after_mean"])
    assert frame["before_dissertation"].notna().sum() == 2 * 3
