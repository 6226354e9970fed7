from __future__ import annotations

import gzip
import hashlib
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
import xarray as xr

from lyapunov_pkg.reproduction.tasks import char_rnn
from lyapunov_pkg.reproduction.tasks.char_rnn import (
    PARTS,
    WAR_AND_PEACE_NAME,
    WAR_AND_PEACE_SHA256,
    decode,
    load_char_rnn,
)
from lyapunov_pkg.reproduction.tasks.supervised import Task, driving_sequences
from lyapunov_pkg.workflow.store import open_store, save_store

TEXT = "".join(f"Line {number}: «ein schöner Tag» – 一日.\n" for number in range(60))


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode())
    return path


def in_order_of_text(dataset: xr.Dataset) -> str:
    """Return the text, reassembled from all sequences: the inputs of each sequence and its last target."""
    sequences = {}
    for part in PARTS:
        columns = [dataset[f"{part}_{name}"].values for name in ("index", "input", "target")]
        for index, given, target in zip(*columns, strict=True):
            np.testing.assert_array_equal(given[1:], target[:-1])
            assert int(index) not in sequences
            sequences[int(index)] = decode(dataset, np.append(given, target[-1]))
    assert sorted(sequences) == list(range(len(sequences)))
    return "".join(sequences[index] for index in sorted(sequences))


@pytest.mark.parametrize("sequence_length", [2, 11, 100])
def test_sequences_do_not_overlap_and_cover_the_text(text_file, sequence_length):
    dataset = load_char_rnn("file", text_file, sequence_length=sequence_length)
    text = in_order_of_text(dataset)
    assert text == TEXT[: len(text)] and len(TEXT) - len(text) < sequence_length
    assert dataset.sizes["time"] == sequence_length - 1


def test_the_alphabet_is_the_set_of_characters_in_the_text(text_file):
    dataset = load_char_rnn("file", text_file, sequence_length=10)
    assert "".join(dataset["alphabet"].values) == "".join(sorted(set(TEXT)))
    assert dataset["train_input"].dtype == np.uint8
    assert dataset.attrs["sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()
    for variable in dataset.variables.values():
        assert variable.attrs["units"] == "1" and variable.attrs["long_name"]


def test_an_alphabet_beyond_256_characters(tmp_path):
    text = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 300))
    (tmp_path / "text").write_text(text, encoding="utf-8")
    dataset = load_char_rnn("file", tmp_path / "text", sequence_length=30)
    assert dataset["train_input"].dtype == np.uint16
    assert in_order_of_text(dataset) == text


def test_split_is_80_10_10(text_file):
    dataset = load_char_rnn("file", text_file, sequence_length=20)
    n = len(TEXT) // 20
    assert [dataset.sizes[f"{part}_sample"] for part in PARTS] == [n - 2 * (n // 10), n // 10, n // 10]
    assert not (np.diff(dataset["train_index"]) > 0).all()


def test_order_depends_on_the_seed_alone(text_file):
    first, again, other = (load_char_rnn("file", text_file, sequence_length=20, seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(first, again)
    assert set(first["test_index"].values) != set(other["test_index"].values)


def test_n_sequences_selects_some_of_all_sequences(text_file):
    dataset = load_char_rnn("file", text_file, sequence_length=20, n_sequences=30)
    assert [dataset.sizes[f"{part}_sample"] for part in PARTS] == [24, 3, 3]
    assert max(dataset["train_index"].values) > 30


def test_gzip_is_read_like_plain_text(text_file, tmp_path):
    packed = tmp_path / "text.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    plain = load_char_rnn("file", text_file, sequence_length=20)
    xr.testing.assert_identical(load_char_rnn("file", packed, sequence_length=20), plain)


def test_store_keeps_every_character(text_file, tmp_path):
    dataset = load_char_rnn("file", text_file, sequence_length=20)
    save_store(dataset, tmp_path / "char_rnn.zarr.zip", {})
    text = in_order_of_text(open_store(tmp_path / "char_rnn.zarr.zip").load())
    assert text == TEXT[: len(text)]


def test_the_bundled_text_is_the_python_help():
    dataset = load_char_rnn("python_topics")
    assert dataset.sizes["time"] == 100
    text = in_order_of_text(dataset)
    assert len(text) > 300_000
    assert text.startswith(topics[min(topics)][:500])
    assert 60 < dataset.sizes["character"] < 256


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: found 0 bytes"),
        (b"abc" * 30, "is too short: found 90 characters, 4 sequences of 20; expected at least 10 sequences, 200 char"),
        ("schön".encode("latin-1") * 100, r"is not UTF-8: byte 3 is 0xf6 \(invalid .* byte\); expected text in UTF-8"),
        (b"plain text " * 50 + b"\xff", "is not UTF-8: byte 550 is 0xff"),
        (b"text\0" * 100, r"holds the character U\+0000 at position 4; expected text"),
    ],
    ids=["empty", "short", "latin-1", "late", "binary"],
)
def test_unusable_texts_are_refused(tmp_path, content, message):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        load_char_rnn("file", path, sequence_length=20)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "bible"}, "unknown source 'bible' of char_rnn; expected one of python_topics, war_and_peace, file"),
        ({"source": "file"}, "source 'file' has no path"),
        ({"source": "war_and_peace"}, "has neither path nor download_directory"),
        ({"source": "python_topics", "sequence_length": 1}, "sequence_length is 1; expected at least 2"),
        ({"source": "python_topics", "n_sequences": 9}, r"n_sequences is 9; expected 10 to \d+"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_char_rnn(**arguments)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt does not exist; expected a text file"):
        load_char_rnn("file", tmp_path / "nowhere.txt")
    with pytest.raises(FileNotFoundError, match="is a folder; expected a text file"):
        load_char_rnn("file", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"has no warpeace_input\.txt; expected a folder with"):
        load_char_rnn("war_and_peace", tmp_path)


def test_another_text_is_not_accepted_as_war_and_peace(tmp_path):
    (tmp_path / WAR_AND_PEACE_NAME).write_text(TEXT, encoding="utf-8")
    with pytest.raises(ValueError, match=f"is not the known text of War and Peace: .* expected {WAR_AND_PEACE_SHA256}"):
        load_char_rnn("war_and_peace", tmp_path)


def test_the_download_is_requested_with_its_checksum(text_file, tmp_path, monkeypatch):
    """The download itself is tested in test_download.py."""
    asked = []

    def fake_fetch(name, mirrors, sha256, directory, *, size, progress):
        asked.append((name, mirrors, sha256, directory))
        return text_file

    monkeypatch.setattr(char_rnn, "fetch", fake_fetch)
    monkeypatch.setattr(char_rnn, "WAR_AND_PEACE_SHA256", hashlib.sha256(TEXT.encode()).hexdigest())
    dataset = load_char_rnn("war_and_peace", mirrors=["http://a"], download_directory=tmp_path, sequence_length=20)
    assert asked == [(WAR_AND_PEACE_NAME, ["http://a"], char_rnn.WAR_AND_PEACE_SHA256, tmp_path)]
    assert TEXT.startswith(in_order_of_text(dataset))


@pytest.mark.real_data
@pytest.mark.parametrize("as_folder", [True, False])
def test_real_war_and_peace(real_data, as_folder):
    folder = real_data / "war_and_peace"
    dataset = load_char_rnn("war_and_peace", folder if as_folder else folder / WAR_AND_PEACE_NAME)
    assert dataset.sizes["character"] == 82
    n = 3_202_303 // 101
    assert [dataset.sizes[f"{part}_sample"] for part in PARTS] == [n - 2 * (n // 10), n // 10, n // 10]
    assert in_order_of_text(dataset).startswith('CHAPTER I\n\n"Well, Prince, so Genoa and Lucca')


def test_line_ends_and_byte_order_marks_are_removed_and_reported(tmp_path):
    plain, marked = tmp_path / "plain", tmp_path / "marked"
    plain.write_bytes(TEXT.encode())
    marked.write_bytes(b"\xef\xbb\xbf" + (TEXT[:-1].replace("\n", "\r\n", 50) + "\r").encode())
    said = []
    expected = load_char_rnn("file", plain, sequence_length=20, progress=said.append)
    assert not said
    xr.testing.assert_identical(load_char_rnn("file", marked, sequence_length=20, progress=said.append), expected)
    assert said == [
        f"{marked}: left out the byte-order mark U+FEFF at the beginning",
        f"{marked}: replaced 50 CR LF and 1 single CR at ends of lines by LF",
    ]


def test_utf_16_is_recognised_in_the_error(tmp_path):
    (tmp_path / "text").write_bytes(TEXT.encode("utf-16"))
    with pytest.raises(ValueError, match=r"text is not UTF-8: byte 0 is 0xff .*; it begins as UTF-16 does: save it"):
        load_char_rnn("file", tmp_path / "text")


def test_a_text_with_1740_distinct_characters_can_be_trained(tmp_path):
    greek, chinese = (range(first, first + n) for first, n in ((0x391, 17), (0x4E00, 1723)))
    (tmp_path / "text").write_text("".join(map(chr, [*greek, *chinese])), encoding="utf-8")
    dataset = load_char_rnn("file", tmp_path / "text", sequence_length=20)
    assert dataset["train_input"].dtype == np.uint16
    task = Task.from_dataset(dataset, "all", torch.device("cpu"))
    assert (task.input_size, task.output_size) == (1740, 1740)
    inputs, targets = task.take(task.train, torch.arange(3))
    np.testing.assert_array_equal(inputs.argmax(-1), dataset["train_input"].values[:3])
    outputs = torch.zeros(1, *inputs.shape)
    assert task.losses(outputs, targets).item() == pytest.approx(np.log(1740))
    assert task.accuracies(inputs[None].roll(1, -1), targets).shape == (1,)
    assert driving_sequences(dataset, 2).shape == (2, 19, 1740)
