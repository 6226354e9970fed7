from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.gradients.input_flips import RANKINGS
from lyapunov_pkg.reproduction.tables.chapter_4 import table_4_1
from tests.reproduction.gradients.stores import make_flips
from tests.reproduction.tables.stores import row


def test_table_4_1_has_both_tests_and_the_dissertations_numbers_for_sequences_as_long_as_its_own():
    flips = make_flips(n_flips=(1, 100), shape=(28, 28))
    frame = table_4_1(flips)
    assert len(frame) == 2 * len(RANKINGS)
    ours = row(frame, ranking="largest R value", n_flips=100)
    assert (ours["mean_excess_dissertation"], ours["p_pooled_dissertation"]) == (1.05, 0.024)
    for name in ("mean_excess", "p_pooled", "p_paired", "p_holm", "effect_size"):
        assert ours[name] == pytest.approx(flips[name].sel(ranking="expansion", n_flips=100).item(), abs=1e-4)
    assert np.isnan(row(frame, ranking="brightest", n_flips=100)["mean_excess_dissertation"])
    assert table_4_1(make_flips(n_flips=(1, 12)))["mean_excess_dissertation"].isna().all()
    assert "accuracy is 0.900" in frame.attrs["note"] and "784 pixels" in frame.attrs["note"]
