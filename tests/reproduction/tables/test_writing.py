from __future__ import annotations

import numpy as np
import pandas as pd

from lyapunov_pkg.reproduction.tables.chapter_3 import (
    table_3_1,
    table_3_2,
    table_3_3,
    table_3_a1,
    table_3_b2,
    table_3_b3,
    table_3_b4,
    table_3_d5,
    table_extra_prednet,
    table_extra_pruning,
)
from lyapunov_pkg.reproduction.tables.writing import readable, write_table
from tests.reproduction.tables.stores import final, prednet, pretrained, pruning


def test_markdown_is_formatted_for_readers_and_csv_has_the_numbers(tmp_path):
    frame = table_3_1(pretrained([0.2, 0.3, 0.4]))
    write_table(frame, tmp_path / "table.csv", tmp_path / "table.md")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), frame, check_dtype=False)
    lines = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:4] == ["training [%]", "classifier", "recall", "recall (dissertation)"]
    assert cells[2] == ["0", "AeLLE", "0.30 ± 0.10", "0.938", "0.30 ± 0.10", "0.770", "0.30 ± 0.10", "0.85", "–"]
    assert cells[3][2:4] == ["0.40 ± 0.10", "–"]
    assert "3 of them" in lines[-1] and "40 networks, and 3 that diverged" in lines[-1]


def test_markdown_of_one_seed_has_no_spread_and_percentages_have_one_decimal():
    one_seed = readable(table_3_3(pretrained([0.2])))
    assert one_seed["F1"][0] == "0.20"
    none = readable(table_3_3(pretrained([np.nan])))
    assert set(none["F1"]) == {"–"}
    shares = readable(table_3_d5(final()))
    assert shares["right of median of PC1 [%]"].tolist() == ["80.0 ± 14.1", "20.0 ± 14.1"]


def test_every_table_can_be_written(tmp_path):
    groups = [{"architecture": "rnn", "hidden_size": 8, "init_param": {"uniform": [0.1, 3]}, "networks": 2}]
    experiment = pretrained([0.2, 0.4])
    frames = [table_3_1(experiment), table_3_2(experiment), table_3_3(experiment)]
    frames += [table_3_a1(smnist=groups), table_3_b4(final()), table_3_d5(final())]
    frames += [
        table_extra_pruning(pruning()),
        table_3_b2(final()),
        table_3_b3(final()),
        table_extra_prednet(prednet()),
    ]
    for number, frame in enumerate(frames):
        csv, markdown = tmp_path / f"{number}.csv", tmp_path / f"{number}.md"
        write_table(frame, csv, markdown)
        assert len(pd.read_csv(csv)) == len(frame)
        assert markdown.read_text(encoding="utf-8").count("\n|") == len(frame) + 1


def test_a_column_without_a_label_keeps_its_name(tmp_path):
    frame = pd.DataFrame(
        {"my_own_quantity": [1.5], "share_mean": [0.4], "share_std": [0.1], "share_dissertation": [0.3]}
    )
    assert list(readable(frame)) == ["my own quantity", "share", "share (dissertation)"]
    write_table(frame, tmp_path / "table.csv", tmp_path / "table.md")
    assert "| my own quantity " in (tmp_path / "table.md").read_text()


def test_numbers_have_enough_decimals_for_four_digits_of_each():
    frame = pd.DataFrame(
        {
            "share": [0.1234567, 12.0, np.nan],
            "count": [3, 20, 100],
            "whole": [2.0, 30.0, np.nan],
            "text": ["a", "b", None],
            "none": [np.nan] * 3,
        }
    )
    shown = readable(frame)
    assert shown["share"].tolist() == ["0.1235", "12.0000", "–"]
    assert shown["count"].tolist() == ["3", "20", "100"] and shown["whole"].tolist() == ["2", "30", "–"]
    assert shown["text"].tolist()[:2] == ["a", "b"] and shown["none"].tolist() == ["–"] * 3
    frame.attrs["most_decimals"] = 2
    assert readable(frame)["share"].tolist() == ["0.12", "12.00", "–"]
    assert readable(frame)["count"].tolist() == ["3", "20", "100"]


def test_p_values_have_four_decimals_except_printed_ones():
    frame = pd.DataFrame({"p_paired": [4e-5, 6e-5, 0.5, np.nan], "p_pooled_dissertation": [0.998, 0.02, 0.5, np.nan]})
    shown = readable(frame)
    assert shown["p, paired by image"].tolist() == ["< 0.0001", "0.0001", "0.5000", "–"]
    assert shown["p, images independent (dissertation)"].tolist() == ["0.998", "0.020", "0.500", "–"]


def test_decimals_of_means_follow_the_largest_unless_they_are_given():
    def shown(*means: float, **attrs: int) -> list[str]:
        frame = pd.DataFrame({"x_mean": means, "x_std": [0.04] * len(means)})
        frame.attrs.update(attrs)
        return readable(frame)["x"].tolist()

    assert shown(-0.19, 0.1) == ["-0.190 ± 0.040", "0.100 ± 0.040"]
    assert shown(0.2, 0.1) == ["0.20 ± 0.04", "0.10 ± 0.04"]
    assert shown(0.1, -9.9, np.nan) == ["0.10 ± 0.04", "-9.90 ± 0.04", "–"]
    assert shown(0.1, 10) == ["0.1 ± 0.0", "10.0 ± 0.0"]
    assert shown(0.1, 10, decimals=3) == ["0.100 ± 0.040", "10.000 ± 0.040"]


def test_the_ends_of_an_interval_belong_to_its_column():
    frame = pd.DataFrame({"r_low": [-0.5, 0.0], "r": [0.25, np.nan], "r_high": [1, 0.5], "own_low": [1.25, 2]})
    shown = readable(frame)
    assert list(shown) == ["r", "own low"]
    assert shown["r"].tolist() == ["0.25 [-0.50, 1.00]", "–"]


def test_a_note_is_below_the_table(tmp_path):
    frame = pd.DataFrame({"x": [1]})
    write_table(frame, tmp_path / "table.csv", tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text().count("\n") == 3
    assert (tmp_path / "table.csv").read_text() == "x\n1\n"
    frame.attrs["note"] = "Of one network."
    write_table(frame, tmp_path / "table.csv", tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text().endswith("|\n\nOf one network.\n")
