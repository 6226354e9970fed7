from __future__ import annotations

import itertools

import numpy as np
import pytest

from lyapunov_pkg.reproduction.tables.dissertation import (
    DISSERTATION_3_1_AND_3_2,
    DISSERTATION_3_3,
    DISSERTATION_4_1,
    DISSERTATION_A1,
    DISSERTATION_B2,
    DISSERTATION_B3,
    DISSERTATION_B4,
    DISSERTATION_D5,
)

PREDICTORS = ("lyapunov_mean", "lyapunov_max", "spectrum_pca", "aelle")


def test_the_dissertations_shares_sum_to_100_percent():
    assert np.sum(list(DISSERTATION_D5.values()), axis=0) == pytest.approx([100, 100])


def test_every_row_and_column_of_the_dissertations_tables_is_present():
    expected = set(itertools.product((0, 10, 20, 50), (*PREDICTORS, "loss_at_epoch"))) - {(0, "loss_at_epoch")}
    assert set(DISSERTATION_3_1_AND_3_2) == expected
    assert set(DISSERTATION_3_3) == set(itertools.product((0, 50), (1, 2, 4, 10)))
    assert list(DISSERTATION_4_1) == [1, 5, 10, 20, 30, 50, 75, 100, 200]
    assert all(tuple(table) == PREDICTORS for table in (DISSERTATION_B2, DISSERTATION_B3, DISSERTATION_B4))
    of_smnist = {architecture for task, architecture in DISSERTATION_A1 if task == "smnist"}
    assert of_smnist == set(DISSERTATION_D5)


def test_recall_precision_and_f1_are_fractions_that_agree():
    for recall, precision, f1 in DISSERTATION_3_1_AND_3_2.values():
        assert 0 < min(recall, precision) < f1 < max(recall, precision) <= 1
        # Some printed F1 differ by up to 0.07 from the harmonic mean of the printed recall and precision.
        assert f1 == pytest.approx(2 * recall * precision / (recall + precision), abs=0.07)
    assert all(0 < f1 < 1 for f1 in DISSERTATION_3_3.values())


def test_variances_and_p_values_of_table_4_1_are_possible():
    assert all(variance > 0 and 0 < p < 1 for _, variance, p in DISSERTATION_4_1.values())


@pytest.mark.parametrize("table", [DISSERTATION_B2, DISSERTATION_B3, DISSERTATION_B4])
def test_f1_is_the_harmonic_mean_of_recall_and_precision(table):
    for recall, precision, f1 in table.values():
        assert f1 == pytest.approx(2 * recall * precision / (recall + precision), abs=2e-3)
