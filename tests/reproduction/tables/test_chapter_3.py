from __future__ import annotations

import numpy as np
import pytest

from lyapunov_pkg.reproduction.tables.chapter_3 import (
    table_3_1,
    table_3_2,
    table_3_3,
    table_3_a1,
    table_3_b2,
    table_3_b3,
    table_3_b4,
    table_3_d5,
    table_extra_autoencoder,
    table_extra_prednet,
    table_extra_pruning,
)
from lyapunov_pkg.reproduction.tables.dissertation import DISSERTATION_A1
from lyapunov_pkg.reproduction.tables.studies import table_study_classifiers
from lyapunov_pkg.reproduction.tables.writing import readable
from tests.reproduction.tables.stores import SCORES, autoencoder, final, prednet, pretrained, pruning, row


def test_table_3_1_has_means_and_spread_next_to_the_dissertations_numbers():
    frame = table_3_1(pretrained([0.2, 0.3, 0.4]))
    assert frame["training_percent"].tolist() == [0, 0, 10, 10, 20, 20, 50, 50]
    aelle = row(frame, training_percent=10, classifier="AeLLE")
    for score, printed in zip(SCORES, (0.915, 0.866, 0.89), strict=True):
        assert aelle[f"{score}_mean"] == pytest.approx(0.31)
        assert aelle[f"{score}_std"] == pytest.approx(0.1)
        assert aelle[f"{score}_dissertation"] == printed
    loss = row(frame, training_percent=50, classifier="loss at that epoch")
    assert loss["f1_mean"] == pytest.approx(0.45) and loss["f1_dissertation"] == 0.86
    assert np.isnan(row(frame, training_percent=0, classifier="loss at that epoch")["f1_dissertation"])


def test_table_3_2_has_every_classifier_in_order_and_additional_ones_last():
    frame = table_3_2(pretrained([0.2]))
    at_start = frame[frame["training_percent"] == 0]
    assert at_start["classifier"].tolist() == ["LE max", "AeLLE", "loss at that epoch", "my_own"]
    assert at_start["f1_dissertation"].tolist()[:2] == [0.72, 0.85]
    assert at_start["recall_mean"].tolist() == pytest.approx([0.4, 0.2, 0.3, 0.5])


def test_other_epochs_show_their_own_percentages_without_the_dissertations_numbers():
    frame = table_3_1(pretrained([0.2], total_epochs=4))
    assert frame["training_percent"].unique().tolist() == [0, 25, 50]
    assert np.isnan(row(frame, training_percent=25, classifier="AeLLE")["f1_dissertation"])
    assert row(frame, training_percent=50, classifier="AeLLE")["f1_mean"] == pytest.approx(0.22)


def test_pretrained_without_total_epochs_is_refused():
    data = pretrained([0.2])
    del data.attrs["total_epochs"]
    with pytest.raises(ValueError, match="total_epochs"):
        table_3_1(data)


def test_table_3_3_has_a_row_per_number_of_components():
    frame = table_3_3(pretrained([0.2, 0.4]))
    cell = row(frame, training_percent=50, n_components=10)
    assert cell["f1_mean"] == pytest.approx(0.45)
    assert cell["f1_std"] == pytest.approx(np.sqrt(0.02))
    assert cell["f1_dissertation"] == 0.91
    assert np.isnan(row(frame, training_percent=10, n_components=1)["f1_dissertation"])


def test_seeds_without_a_score_are_omitted():
    cell = row(table_3_3(pretrained([0.2, np.nan, 0.4])), training_percent=0, n_components=1)
    assert cell["f1_mean"] == pytest.approx(0.3)
    none = row(table_3_3(pretrained([np.nan, np.nan])), training_percent=0, n_components=1)
    assert np.isnan(none["f1_mean"])


def test_table_3_a1_shows_the_configuration_next_to_the_dissertations():
    levels = {"lem": {"uniform": [0.1, 9.0]}, "rnn": {"grid": [0.5, 0.2, 3.0]}, "mine": 1.0}
    groups = [
        {"architecture": architecture, "hidden_size": 32, "init_param": level, "networks": 24}
        for architecture, level in levels.items()
    ]
    sizes = [groups[0] | {"architecture": "lstm", "hidden_size": size} for size in (64, 128)]
    rank_one = [groups[1] | {"architecture": "rank_one"}]
    frame = table_3_a1(target_learning=rank_one, char_rnn_sizes=sizes, smnist=groups)
    assert frame["architecture"].tolist() == ["rank-1 RNN", "LSTM", "RNN", "LEM", "mine"]
    text = row(frame, task="CharRNN")
    assert (text["hidden_size"], text["networks"], text["networks_dissertation"]) == ("64, 128", 48, 1200)
    assert text["loss"] == row(frame, architecture="LEM")["loss"] == "cross entropy"
    assert row(frame, task="Target learning")["loss"] == "mean absolute error"
    lem = row(frame, architecture="LEM")
    assert (lem["init_param_low"], lem["init_param_high"], lem["hidden_size"], lem["networks"]) == (0.1, 9.0, "32", 24)
    assert (lem["init_param_high_dissertation"], lem["networks_dissertation"]) == (10.0, 200)
    mine = row(frame, architecture="mine")
    assert mine["init_param_low"] == mine["init_param_high"] == 1
    assert mine.filter(like="_dissertation").drop("hidden_size_dissertation").isna().all()


def test_table_3_a1_has_all_ten_rows_of_the_dissertation():
    assert len(DISSERTATION_A1) == 10
    assert sum(networks for *_, networks in DISSERTATION_A1.values()) == 1200 + 1200 + 8 * 200


def test_table_extra_autoencoder_counts_the_seeds_that_work():
    frame = table_extra_autoencoder(smnist_final=autoencoder([True, False]), smnist_pretrained=autoencoder([True]))
    assert frame["works"].tolist() == ["1 of 2 seeds"] * 2 + ["1 of 1 seeds"] * 2
    assert frame["experiment"].tolist() == ["final"] * 2 + ["pretrained"] * 2
    assert frame["reconstruction_error_mean"].tolist() == pytest.approx([0.2] * 4)
    assert frame["part"].tolist() == ["train", "test"] * 2 and frame["task"].tolist() == ["SMNIST"] * 4
    assert (
        frame["median_error_mean"].tolist() == [1] * 4
        and frame["r_squared_std"].isna().tolist() == [False] * 2 + [True] * 2
    )
    assert readable(frame)["R²"].tolist() == ["0.9000 ± 0.0000"] * 2 + ["0.9000"] * 2
    assert "An autoencoder works if" in frame.attrs["note"]


def test_differences_from_aelle_have_intervals_and_the_note_counts_test_networks():
    frame = table_3_b4(final())
    assert readable(frame)["F1 of AeLLE − F1"].tolist() == ["-0.25 [-0.50, 0.25]", "–"]
    assert "2 networks are for testing" in frame.attrs["note"]
    for_tests = ["test"] + ["train"] * 3
    one = final().assign(partition=(("seed", "network"), [for_tests, for_tests[::-1]]))
    assert "1 networks are for testing" in table_3_b4(one).attrs["note"]
    assert "testing" not in table_3_b4(final().drop_vars("partition")).attrs["note"]


def test_table_3_b4_has_f1_and_its_differences_for_each_classifier():
    frame = table_3_b4(final())
    assert frame["classifier"].tolist() == ["LE mean", "AeLLE"]
    assert frame["f1_mean"].tolist() == pytest.approx([0.8, 0.55])
    assert frame["f1_dissertation"].tolist() == [0.609, 0.859]
    assert frame["recall_dissertation"].tolist() == [0.610, 0.859]


def test_table_3_b3_has_the_dissertations_numbers_for_char_rnn():
    frame = table_3_b3(final())
    assert frame["f1_mean"].tolist() == table_3_b4(final())["f1_mean"].tolist()
    assert frame["f1_dissertation"].tolist() == [0.834, 0.877]


def test_table_3_b2_has_the_dissertations_numbers_for_target_learning():
    frame = table_3_b2(final())
    assert frame["f1_mean"].tolist() == table_3_b4(final())["f1_mean"].tolist()
    assert frame["f1_dissertation"].tolist() == [0.705, 0.724]
    assert frame["recall_dissertation"].tolist() == [0.702, 0.721]


def test_table_extra_pruning_has_a_row_for_each_pool_size_and_criterion():
    frame = table_extra_pruning(pruning())
    assert frame["pool_size"].tolist() == [8, 8, 16, 16]
    assert frame["criterion"].tolist() == ["AeLLE's prediction", "chance"] * 2
    assert frame["budget"].tolist() == [14, 14, 28, 28]
    # The values are averaged over seeds: 0 to 7 by seed, criterion and size.
    assert frame["saved_mean"].tolist() == [4, 2, 5, 3]
    assert frame["best_loss_std"].tolist() == pytest.approx([8**0.5] * 4)
    assert "split and autoencoder (2 of them); 60 networks, and 1 that diverged" in frame.attrs["note"]


def test_table_extra_prednet_shows_small_errors_in_thousandths():
    frame = table_extra_prednet(prednet())
    assert frame["predictor"].tolist() == ["PredNet", "mean of the training networks"]
    assert frame["rms_error_mean"].tolist() == pytest.approx([0.03, 0.11])
    shown = readable(frame)
    assert shown["RMS error [nats]"].tolist() == ["0.030 ± 0.014", "0.110 ± 0.014"]
    assert shown["R²"].tolist() == ["0.85 ± 0.07", "-0.20 ± 0.14"]
    assert "split and PredNet (2 of them); 40 networks" in frame.attrs["note"]


def test_table_3_d5_has_shares_of_architectures():
    frame = table_3_d5(final())
    assert frame["architecture"].tolist() == ["RNN", "LEM"]
    lem = row(frame, architecture="LEM")
    assert lem["right_of_median_mean"] == pytest.approx(20)
    assert lem["right_of_median_std"] == pytest.approx(np.sqrt(200))
    assert (lem["right_of_median_dissertation"], lem["right_of_mean_dissertation"]) == (11.1, 8.2)
    assert lem["right_of_mean_mean"] == 0 and row(frame, architecture="RNN")["right_of_mean_mean"] == 100
    mine = table_3_d5(final().assign_coords(share_architecture=["lem", "mine"]))
    assert mine["architecture"].tolist() == ["LEM", "mine"]
    assert np.isnan(row(mine, architecture="mine")["right_of_median_dissertation"])


def test_the_classifiers_of_any_study_have_scores_without_the_dissertations_numbers():
    frame = table_study_classifiers(final().drop_vars("partition"))
    scores = [f"{score}_{kind}" for score in SCORES for kind in ("mean", "std")]
    assert list(frame) == ["classifier", *scores, "f1_difference", "f1_difference_low", "f1_difference_high"]
    assert frame["classifier"].tolist() == ["LE mean", "AeLLE"]
    for score in SCORES:
        assert frame[f"{score}_mean"].tolist() == pytest.approx([0.8, 0.55])
        assert frame[f"{score}_std"].tolist() == pytest.approx([0.02**0.5, 0.005**0.5])
    assert frame["f1_difference_low"].tolist() == pytest.approx([-0.5, np.nan], nan_ok=True)
    assert "40 networks, and 3 that diverged" in frame.attrs["note"]
