from __future__ import annotations

import copy
import re
from pathlib import Path

from lyapunov_pkg.workflow.store import open_store
from tests.snakemake.conftest import SMALL, RunSnakemake


def test_a_text_is_converted_to_a_store(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    configuration = copy.deepcopy(SMALL)
    configuration["char_rnn"] = {
        "data": {"source": "file", "path": "text.txt", "sequence_length": 20, "n_sequences": None}
    }
    (tmp_path / "text.txt").write_text("All happy families are alike. " * 20)
    result = run_snakemake(tmp_path, "results/datasets/char_rnn.zarr.zip", configuration=configuration)
    assert result.returncode == 0, result.stderr
    dataset = open_store(tmp_path / "results/datasets/char_rnn.zarr.zip")
    assert dataset.sizes["train_sample"] == 24 and dataset.sizes["time"] == 19
    assert "".join(dataset["alphabet"].values) == "".join(sorted(set("All happy families are alike. ")))

    (tmp_path / "text.txt").write_text("Every unhappy family is unhappy in its own way. " * 20)
    result = run_snakemake(tmp_path, "results/datasets/char_rnn.zarr.zip", configuration=configuration)
    assert result.returncode == 0, result.stderr
    assert open_store(tmp_path / "results/datasets/char_rnn.zarr.zip").sizes["train_sample"] == 40


def test_text_that_is_not_utf_8_gives_one_clear_line(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    configuration = copy.deepcopy(SMALL)
    configuration["char_rnn"] = {"data": {"source": "file", "path": "text.txt"}}
    (tmp_path / "text.txt").write_bytes(b"caf\xe9 " * 1000)
    result = run_snakemake(tmp_path, "results/datasets/char_rnn.zarr.zip", configuration=configuration)
    assert result.returncode != 0
    assert re.search(r"ValueError: text\.txt is not UTF-8: byte 3 is 0xe9", result.stderr)
    assert not (tmp_path / "results/datasets/char_rnn.zarr.zip").exists()


def test_motions_are_converted_to_a_store(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    result = run_snakemake(tmp_path, "results/datasets/mocap.zarr.zip")
    assert result.returncode == 0, result.stderr
    dataset = open_store(tmp_path / "results/datasets/mocap.zarr.zip")
    assert dataset["train_input"].shape == (160, 100, 20)  # The frame rate is reduced from 120 to 30 frames per second.
    assert dataset["standard_deviation"].attrs["units"] == "degree"
