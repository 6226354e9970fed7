from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lyapunov_pkg import tables
from lyapunov_pkg.spectra.correlations import performance_correlations
from tests.gradients.stores import make_flips
from tests.spectra.synthetic import make_study

SCORES = ("recall", "precision", "f1")


def pretrained(values, classifiers=("aelle", "loss_at_epoch", "lyapunov_max", "my_own"), total_epochs=10) -> xr.Dataset:
    """Scores values[seed] + 0.1 * classifier + 0.01 * epoch, the same for recall, precision and F1."""
    values = np.array(values)
    steps = 0.1 * np.arange(len(classifiers))[:, None] + 0.01 * np.arange(6)
    scores = values[:, None, None] + steps
    return xr.Dataset(
        {name: (("seed", "classifier", "epoch"), scores) for name in SCORES}
        | {"orthant_f1": (("seed", "n_components", "epoch"), scores[:, :2])},
        coords={"classifier": list(classifiers), "epoch": np.arange(6), "n_components": [1, 10]},
        attrs={"total_epochs": total_epochs, "n_networks": 40, "n_diverged": 3},
    )


def final() -> xr.Dataset:
    return xr.Dataset(
        {name: (("seed", "classifier"), [[0.5, 0.7], [0.6, 0.9]]) for name in SCORES}
        | {
            "share_above_median": (("seed", "share_architecture"), [[10.0, 90.0], [30.0, 70.0]]),
            "share_above_mean": (("seed", "share_architecture"), [[0.0, 100.0], [0.0, 100.0]]),
        },
        coords={"classifier": ["aelle", "lyapunov_mean"], "share_architecture": ["lem", "rnn"]},
        attrs={"n_networks": 40, "n_diverged": 3},
    )


def correlations(n_diverged=1, **options) -> xr.Dataset:
    study = make_study(13, n_diverged=n_diverged, **options)
    return performance_correlations(
        study, "mean_exponent", 6, near_zero=0.1, exponent_floor=-20.0, n_resamples=100, seed=0
    )


def prednet() -> xr.Dataset:
    errors = [[0.02, 0.10], [0.04, 0.12]]
    return xr.Dataset(
        {name: (("seed", "predictor"), errors) for name in ("mean_absolute_error", "rms_error")}
        | {"r_squared": (("seed", "predictor"), [[0.9, -0.1], [0.8, -0.3]])},
        coords={"predictor": ["prednet", "training_mean"]},
        attrs={"n_networks": 40, "n_diverged": 3},
    )


def row(frame: pd.DataFrame, **values) -> pd.Series:
    """The only row with these values."""
    chosen = frame
    for name, value in values.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_tables_2_a_have_the_highlighted_networks_beside_the_dissertations():
    dataset = correlations()
    frame = tables.table_2_a1(dataset)
    assert frame["color"].tolist() == ["blue", "orange", "green", "red", "purple", "brown"]
    chosen = dataset.isel(network=dataset["highlighted_network"].values)
    np.testing.assert_array_equal(frame["learning_rate"], chosen["learning_rate"])
    np.testing.assert_array_equal(
        frame["validation_loss"], chosen["validation_loss"].sel(epoch=chosen["best_epoch"]).values
    )
    assert frame["mean_exponent"].is_monotonic_increasing
    brown = row(frame, color="brown")
    assert (brown["dropout_dissertation"], brown["learning_rate_dissertation"]) == (0.106, 0.00485)
    assert row(tables.table_2_a2(dataset), color="purple")["init_param_dissertation"] == 0.059
    assert "evenly spaced ranks of LE mean" in frame.attrs["note"] and "12 networks" in frame.attrs["note"]


def test_table_of_correlations_has_every_statistic_of_both_tasks(tmp_path):
    char_rnn, mocap = correlations(), correlations(n_diverged=2, classification=False)
    frame = tables.table_extra_correlations(char_rnn, mocap)
    assert frame["task"].tolist() == ["CharRNN"] * 17 + ["Mocap"] * 8
    largest = row(frame, task="Mocap", quantity="LE max", performance="validation loss")
    assert (largest["n_used"], largest["n_diverged"]) == (11, 2)
    assert largest["pearson_low"] < largest["pearson"] == float(mocap["pearson"][0]) < largest["pearson_high"]
    tables.write_table(frame, tmp_path / "table.csv", tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    numbers = [f"{largest[name]:.2f}" for name in ("pearson", "pearson_low", "pearson_high")]
    assert "{} [{}, {}]".format(*numbers) in text
    assert "| correlated with " in text and "pearson_low" not in text
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), frame)


def test_table_3_1_has_means_and_spread_beside_the_dissertations_numbers():
    frame = tables.table_3_1(pretrained([0.2, 0.3, 0.4]))
    assert frame["training_percent"].tolist() == [0, 0, 10, 10, 20, 20, 50, 50]
    aelle = row(frame, training_percent=10, classifier="AeLLE")
    for score, printed in zip(SCORES, (0.915, 0.866, 0.89), strict=True):
        assert aelle[f"{score}_mean"] == pytest.approx(0.31)
        assert aelle[f"{score}_std"] == pytest.approx(0.1)
        assert aelle[f"{score}_dissertation"] == printed
    loss = row(frame, training_percent=50, classifier="loss at that epoch")
    assert loss["f1_mean"] == pytest.approx(0.45) and loss["f1_dissertation"] == 0.86
    assert np.isnan(row(frame, training_percent=0, classifier="loss at that epoch")["f1_dissertation"])


def test_table_3_2_has_every_classifier_in_order_and_new_ones_last():
    frame = tables.table_3_2(pretrained([0.2]))
    at_start = frame[frame["training_percent"] == 0]
    assert at_start["classifier"].tolist() == ["LE max", "AeLLE", "loss at that epoch", "my_own"]
    assert at_start["f1_dissertation"].tolist()[:2] == [0.72, 0.85]
    assert at_start["recall_mean"].tolist() == pytest.approx([0.4, 0.2, 0.3, 0.5])


def test_other_numbers_of_epochs_show_their_own_percentages_without_the_dissertations():
    frame = tables.table_3_1(pretrained([0.2], total_epochs=4))
    assert frame["training_percent"].unique().tolist() == [0, 25, 50]
    assert np.isnan(row(frame, training_percent=25, classifier="AeLLE")["f1_dissertation"])
    assert row(frame, training_percent=50, classifier="AeLLE")["f1_mean"] == pytest.approx(0.22)


def test_pretrained_without_total_epochs_is_refused():
    data = pretrained([0.2])
    del data.attrs["total_epochs"]
    with pytest.raises(ValueError, match="total_epochs"):
        tables.table_3_1(data)


def test_table_3_3_has_a_row_per_number_of_components():
    frame = tables.table_3_3(pretrained([0.2, 0.4]))
    cell = row(frame, training_percent=50, n_components=10)
    assert cell["f1_mean"] == pytest.approx(0.45)
    assert cell["f1_std"] == pytest.approx(np.sqrt(0.02))
    assert cell["f1_dissertation"] == 0.91
    assert np.isnan(row(frame, training_percent=10, n_components=1)["f1_dissertation"])


def test_seeds_without_a_score_do_not_count():
    cell = row(tables.table_3_3(pretrained([0.2, np.nan, 0.4])), training_percent=0, n_components=1)
    assert cell["f1_mean"] == pytest.approx(0.3)
    none = row(tables.table_3_3(pretrained([np.nan, np.nan])), training_percent=0, n_components=1)
    assert np.isnan(none["f1_mean"])


def test_table_3_a1_is_the_configuration_beside_the_dissertations():
    levels = {"lem": {"uniform": [0.1, 9.0]}, "rnn": {"grid": [0.5, 0.2, 3.0]}, "mine": 1.0}
    groups = [
        {"architecture": architecture, "hidden_size": 32, "init_param": level, "networks": 24}
        for architecture, level in levels.items()
    ]
    frame = tables.table_3_a1(groups)
    assert frame["architecture"].tolist() == ["RNN", "LEM", "mine"]
    lem = row(frame, architecture="LEM")
    assert (lem["init_param_low"], lem["init_param_high"], lem["hidden_size"], lem["networks"]) == (0.1, 9.0, 32, 24)
    assert (lem["init_param_high_dissertation"], lem["networks_dissertation"]) == (10.0, 200)
    mine = row(frame, architecture="mine")
    assert mine["init_param_low"] == mine["init_param_high"] == 1
    assert mine.filter(like="_dissertation").isna().all()


def test_table_3_b4():
    frame = tables.table_3_b4(final())
    assert frame["classifier"].tolist() == ["LE mean", "AeLLE"]
    assert frame["f1_mean"].tolist() == pytest.approx([0.8, 0.55])
    assert frame["f1_dissertation"].tolist() == [0.609, 0.859]
    assert frame["recall_dissertation"].tolist() == [0.610, 0.859]


def test_table_3_b3_is_beside_char_rnns_numbers():
    frame = tables.table_3_b3(final())
    assert frame["f1_mean"].tolist() == tables.table_3_b4(final())["f1_mean"].tolist()
    assert frame["f1_dissertation"].tolist() == [0.834, 0.877]


def test_table_3_b2_is_beside_target_learnings_numbers():
    frame = tables.table_3_b2(final())
    assert frame["f1_mean"].tolist() == tables.table_3_b4(final())["f1_mean"].tolist()
    assert frame["f1_dissertation"].tolist() == [0.705, 0.724]
    assert frame["recall_dissertation"].tolist() == [0.702, 0.721]


def pruning():
    """Halving of pools of 8 and 16, with two seeds."""
    by_pool = ("seed", "criterion", "pool_size")
    values = np.arange(8.0).reshape(2, 2, 2)
    variables = {name: (by_pool, values) for name in ("best_loss", "better_in_pool", "saved", "saved_in_all")}
    return xr.Dataset(
        variables | {"budget": ("pool_size", [14, 28])},
        coords={"seed": [0, 1], "criterion": ["random", "aelle"], "pool_size": [8, 16]},
        attrs={"n_networks": 60, "n_diverged": 1},
    )


def test_table_extra_pruning_has_a_row_for_each_pool_size_and_criterion():
    frame = tables.table_extra_pruning(pruning())
    assert frame["pool_size"].tolist() == [8, 8, 16, 16]
    assert frame["criterion"].tolist() == ["AeLLE's prediction", "chance"] * 2
    assert frame["budget"].tolist() == [14, 14, 28, 28]
    assert frame["saved_mean"].tolist() == [4, 2, 5, 3]  # over seeds: values 0 to 7 by seed, criterion and size


def test_table_extra_prednet_has_small_errors_in_thousandths():
    frame = tables.table_extra_prednet(prednet())
    assert frame["predictor"].tolist() == ["PredNet", "mean of the training networks"]
    assert frame["rms_error_mean"].tolist() == pytest.approx([0.03, 0.11])
    readable = tables.readable(frame)
    assert readable["RMS error [nats]"].tolist() == ["0.030 ± 0.014", "0.110 ± 0.014"]
    assert readable["R²"].tolist() == ["0.85 ± 0.07", "-0.20 ± 0.14"]
    assert "split and PredNet (2 of them); 40 networks" in frame.attrs["note"]


def test_table_3_d5():
    frame = tables.table_3_d5(final())
    assert frame["architecture"].tolist() == ["RNN", "LEM"]
    lem = row(frame, architecture="LEM")
    assert lem["right_of_median_mean"] == pytest.approx(20)
    assert lem["right_of_median_std"] == pytest.approx(np.sqrt(200))
    assert (lem["right_of_median_dissertation"], lem["right_of_mean_dissertation"]) == (11.1, 8.2)


def test_dissertations_shares_sum_to_all():
    assert np.sum(list(tables.DISSERTATION_D5.values()), axis=0) == pytest.approx([100, 100])


def test_markdown_is_for_readers_and_csv_has_the_numbers(tmp_path):
    frame = tables.table_3_1(pretrained([0.2, 0.3, 0.4]))
    tables.write_table(frame, tmp_path / "table.csv", tmp_path / "table.md")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), frame, check_dtype=False)
    lines = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:4] == ["training [%]", "classifier", "recall", "recall (dissertation)"]
    assert cells[2] == ["0", "AeLLE", "0.30 ± 0.10", "0.938", "0.30 ± 0.10", "0.770", "0.30 ± 0.10", "0.85"]
    assert cells[3][2:4] == ["0.40 ± 0.10", "–"]
    assert "3 of them" in lines[-1] and "40 networks, 3 more" in lines[-1]


def test_markdown_of_one_seed_has_no_spread_and_of_percentages_one_decimal():
    one_seed = tables.readable(tables.table_3_3(pretrained([0.2])))
    assert one_seed["F1"][0] == "0.20"
    none = tables.readable(tables.table_3_3(pretrained([np.nan])))
    assert set(none["F1"]) == {"–"}
    shares = tables.readable(tables.table_3_d5(final()))
    assert shares["right of median of PC1 [%]"].tolist() == ["80.0 ± 14.1", "20.0 ± 14.1"]


def test_every_table_can_be_written(tmp_path):
    groups = [{"architecture": "rnn", "hidden_size": 8, "init_param": {"uniform": [0.1, 3]}, "networks": 2}]
    experiment = pretrained([0.2, 0.4])
    frames = [tables.table_3_1(experiment), tables.table_3_2(experiment), tables.table_3_3(experiment)]
    frames += [tables.table_3_a1(groups), tables.table_3_b4(final()), tables.table_3_d5(final())]
    frames += [
        tables.table_extra_pruning(pruning()),
        tables.table_3_b2(final()),
        tables.table_3_b3(final()),
        tables.table_extra_prednet(prednet()),
    ]
    for number, frame in enumerate(frames):
        csv, markdown = tmp_path / f"{number}.csv", tmp_path / f"{number}.md"
        tables.write_table(frame, csv, markdown)
        assert len(pd.read_csv(csv)) == len(frame)
        assert markdown.read_text(encoding="utf-8").count("\n|") == len(frame) + 1


def test_table_4_1_has_both_tests_and_the_dissertations_numbers_for_sequences_as_long_as_its_own():
    flips = make_flips(n_flips=(1, 100), shape=(28, 28))
    frame = tables.table_4_1(flips)
    assert len(frame) == 2 * 3
    ours = row(frame, ranking="largest R value", n_flips=100)
    assert (ours["mean_excess_dissertation"], ours["p_pooled_dissertation"]) == (1.05, 0.024)
    for name in ("mean_excess", "p_pooled", "p_paired", "p_holm", "effect_size"):
        assert ours[name] == pytest.approx(flips[name].sel(ranking="expansion", n_flips=100).item(), abs=1e-4)
    assert np.isnan(row(frame, ranking="brightest", n_flips=100)["mean_excess_dissertation"])
    assert tables.table_4_1(make_flips(n_flips=(1, 12)))["mean_excess_dissertation"].isna().all()
    assert "accuracy is 0.900" in frame.attrs["note"] and "784 pixels" in frame.attrs["note"]
