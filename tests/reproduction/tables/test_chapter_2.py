from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from lyapunov_pkg.reproduction.tables.chapter_2 import (
    note_on_correlations,
    table_2_a1,
    table_2_a2,
    table_extra_correlations,
    table_extra_early_correlations,
    table_extra_orthonormalization,
)
from lyapunov_pkg.reproduction.tables.studies import table_study_correlations
from lyapunov_pkg.reproduction.tables.variables import COEFFICIENTS
from lyapunov_pkg.reproduction.tables.writing import write_table
from tests.reproduction.tables.stores import correlations, row


def test_tables_2_a_have_the_highlighted_networks_next_to_the_dissertations():
    dataset = correlations()
    frame = table_2_a1(dataset)
    assert frame["color"].tolist() == ["blue", "orange", "green", "red", "purple", "brown"]
    chosen = dataset.isel(network=dataset["highlighted_network"].values)
    for name in ("dropout", "learning_rate", "init_param", "best_epoch"):
        np.testing.assert_array_equal(frame[name], chosen[name])
    for position, name in enumerate(("maximum_exponent", "mean_exponent")):
        statistics = chosen["spectrum_statistic"].sel(epoch=chosen["best_epoch"]).transpose("network", "statistic")
        np.testing.assert_array_equal(frame[name], statistics.values[:, position])
    np.testing.assert_array_equal(
        frame["validation_loss"], chosen["validation_loss"].sel(epoch=chosen["best_epoch"]).values
    )
    assert frame["mean_exponent"].is_monotonic_increasing
    brown = row(frame, color="brown")
    assert (brown["dropout_dissertation"], brown["learning_rate_dissertation"]) == (0.106, 0.00485)
    of_mocap = table_2_a2(dataset, xr.Dataset({"repeat_loss": 0.5}))
    assert row(of_mocap, color="purple")["init_param_dissertation"] == 0.059
    columns = list(of_mocap)
    assert columns.index("relative_loss") == columns.index("validation_loss") + 1
    losses = 2 * dataset["validation_loss"].sel(epoch=dataset["best_epoch"]).values
    assert f"between {losses.min():.2g} and {losses.max():.2g} times" in of_mocap.attrs["note"]
    np.testing.assert_allclose(of_mocap["relative_loss"], of_mocap["validation_loss"] / 0.5)
    assert "Repeating the last frame has a loss of 0.5" in of_mocap.attrs["note"]
    few = dataset.assign(highlighted_network=("highlighted", dataset["highlighted_network"].values[:4]))
    assert table_2_a1(few)["color"].tolist() == ["blue", "orange", "green", "red"]
    assert "evenly spaced ranks of LE mean" in frame.attrs["note"] and "12 networks" in frame.attrs["note"]


def test_the_table_of_correlations_has_every_statistic_of_both_tasks(tmp_path):
    char_rnn, mocap = correlations(), correlations(n_diverged=2, classification=False)
    frame = table_extra_correlations(char_rnn, mocap)
    assert frame["task"].tolist() == ["CharRNN"] * 17 + ["Mocap"] * 8
    largest = row(frame, task="Mocap", quantity="LE max", performance="validation loss")
    assert (largest["n_used"], largest["n_diverged"]) == (11, 2)
    assert largest["pearson_low"] < largest["pearson"] == float(mocap["pearson"][0]) < largest["pearson_high"]
    for name in COEFFICIENTS:
        np.testing.assert_array_equal(frame[name], [*char_rnn[name].values, *mocap[name].values])
    for task in ("CharRNN", "Mocap"):
        assert f"{task}: Partial coefficients are given log learning rate and p." in frame.attrs["note"]
    assert "within 0.1 nats/step of zero" in frame.attrs["note"] and "below -20 nats/step" in frame.attrs["note"]
    assert "coefficients are given nothing. At" in note_on_correlations(char_rnn.assign_attrs(given=[]))
    write_table(frame, tmp_path / "table.csv", tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    numbers = [f"{largest[name]:.2f}" for name in ("pearson", "pearson_low", "pearson_high")]
    assert "{} [{}, {}]".format(*numbers) in text
    assert "| correlated with " in text and "pearson_low" not in text
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), frame)


def test_the_table_of_early_correlations_names_its_epochs(tmp_path):
    char_rnn, mocap = correlations(), correlations(classification=False)
    frame = table_extra_early_correlations(char_rnn, mocap)
    assert frame[["task", "epoch", "asked_epoch"]].drop_duplicates().values.tolist() == [
        ["CharRNN", 0, 0],
        ["CharRNN", 6, 15],
        ["Mocap", 0, 0],
        ["Mocap", 6, 15],
    ]
    late = row(frame, task="CharRNN", asked_epoch=15, quantity="LE mean")
    of_store = char_rnn.sel(asked_epoch=15, statistic="mean_exponent")
    assert late["pearson"] == of_store["early_pearson"].item()
    assert late["median"] == of_store["early_median"].item()
    for name in COEFFICIENTS:
        np.testing.assert_array_equal(late[name], of_store[f"early_{name}"])
    for task in ("CharRNN", "Mocap"):
        assert f"{task}: partial coefficients are given log learning rate and p." in frame.attrs["note"]
    write_table(frame, tmp_path / "table.csv", tmp_path / "table.md")
    assert "| epoch asked for " in (tmp_path / "table.md").read_text()


def test_the_table_of_intervals_counts_decompositions_and_operations():
    estimator = xr.Dataset(
        {
            "running_exponent": (("time", "exponent"), np.zeros((40, 8))),
            "largest_change": (("interval", "half"), [[0.0, 0.0], [1e-6, 1e-3], [0.1, 2.0]]),
        },
        coords={"interval": [1, 2, 10], "half": ["first", "second"]},
    )
    frame = table_extra_orthonormalization(estimator)
    assert frame["orthonormalize_every"].tolist() == [1, 2, 10]
    assert frame["n_decompositions"].tolist() == [40, 20, 4]
    assert frame["relative_operations"].tolist() == [1, 0.75, 0.55]
    assert frame["change_first_half"].tolist() == [0, 1e-6, 0.1]
    assert frame["change_second_half"].tolist() == [0, 1e-3, 2]
    assert "Operations are counted" in frame.attrs["note"]


def test_the_correlations_of_any_study_are_those_of_its_store():
    store = correlations()
    frame = table_study_correlations(store)
    for name in COEFFICIENTS:
        np.testing.assert_array_equal(frame[name], store[name])
    assert frame["performance"].tolist() == ["validation loss"] * 8 + ["validation accuracy"] * 8 + ["validation loss"]
    assert (frame["n_diverged"] == 1).all()
    assert "of each network among those with spectra, with 95%" in frame.attrs["note"]
