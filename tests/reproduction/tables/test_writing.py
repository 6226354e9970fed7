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
