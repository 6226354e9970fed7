"""Messages about missing local data, and no message if the data are present."""

from __future__ import annotations

from pathlib import Path

import pytest

from lyapunov_pkg.reproduction.tasks.idx_files import MNIST_FILES
from lyapunov_pkg.reproduction.tasks.missing import WAR_AND_PEACE_NAME, missing_data, missing_text, text_file


def test_an_existing_text_gives_no_message(tmp_path: Path) -> None:
    text = tmp_path / WAR_AND_PEACE_NAME
    text.write_text("Well, Prince")
    for path, source in ((text, "file"), (text, "war_and_peace"), (tmp_path, "war_and_peace")):
        assert text_file(path, source) == text
        assert missing_text(path, source) is None
        assert missing_data("char_rnn", {"source": source, "path": str(path)}) is None


def test_the_folder_of_war_and_peace_may_contain_the_compressed_text(tmp_path: Path) -> None:
    compressed = tmp_path / f"{WAR_AND_PEACE_NAME}.gz"
    compressed.touch()
    assert text_file(tmp_path, "war_and_peace") == compressed
    assert missing_text(tmp_path, "war_and_peace") is None


def test_a_missing_text_is_named_with_the_expected_file(tmp_path: Path) -> None:
    folder = missing_text(tmp_path, "file")
    assert folder == f"text of char_rnn: {tmp_path} is a folder; expected a text file (plain or .gz)"
    without = missing_text(tmp_path, "war_and_peace")
    assert without is not None and f"{tmp_path} has no {WAR_AND_PEACE_NAME}; expected a folder with" in without
    (tmp_path / "novel.txt").touch()
    misspelt = missing_text(tmp_path / "novell.txt", "file")
    assert misspelt is not None and f"does not exist (did you mean {tmp_path / 'novel.txt'}?)" in misspelt


def test_missing_user_sequences_are_named(tmp_path: Path) -> None:
    own = tmp_path / "mine.npz"
    found = missing_data("sequences", {"path": str(own)})
    assert found == f"sequences: {own} does not exist; expected a .npz or Zarr file"
    own.touch()
    assert missing_data("sequences", {"path": str(own)}) is None


def test_missing_images_and_motions_are_reported(tmp_path: Path) -> None:
    images = {"source": "idx", "directory": str(tmp_path)}
    motions = {"source": "cmu", "directory": str(tmp_path), "trials": ["13_29"]}
    assert missing_data("smnist", images) is not None
    assert missing_data("mocap", motions) is not None
    for name in (*(file.name for file in MNIST_FILES.values()), "13_29.amc"):
        (tmp_path / name).touch()
    assert missing_data("smnist", images) is None
    assert missing_data("mocap", motions) is None


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("smnist", {"source": "digits", "directory": "nowhere"}),
        ("smnist", {"source": "mnist", "directory": None}),
        ("mocap", {"source": "synthetic", "directory": "nowhere", "trials": None}),
        ("char_rnn", {"source": "python_topics", "path": "nowhere"}),
    ],
)
def test_data_that_are_not_local_give_no_message(task: str, data: dict) -> None:
    assert missing_data(task, data) is None
