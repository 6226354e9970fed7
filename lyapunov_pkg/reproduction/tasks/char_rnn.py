"""CharRNN: predict the next character of a text (dissertation, chapters 2 and 3).

The text is cut into disjoint sequences. In a sequence, every character but the last is an input, and the next character
is the target. The text is War and Peace, any text file, or `python_topics`. The latter are the English help texts of
Python, for runs without a download.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import xarray as xr

from lyapunov_pkg.reproduction.tasks.content import read_content
from lyapunov_pkg.reproduction.tasks.download import fetch
from lyapunov_pkg.reproduction.tasks.missing import WAR_AND_PEACE_NAME, missing_text, text_file

SOURCES = ("python_topics", "war_and_peace", "file")
WAR_AND_PEACE_SHA256 = "eaecfcb30408e2bc35ffe69b297127e3a6ca75548c033df4d2e703b5ff711f8d"
WAR_AND_PEACE_SIZE = 3_202_320  # bytes
WAR_AND_PEACE_MIRRORS = ("https://cs.stanford.edu/people/karpathy/char-rnn",)
SEQUENCE_LENGTH = 101  # characters (chapter 3): 100 inputs and 100 targets
HELD_OUT_SHARE = 10  # one sequence in ten is for validation, one for testing
PARTS = ("train", "validation", "test")
BYTE_ORDER_MARK = "\ufeff"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def load_char_rnn(
    source: str,
    path: Path | None = None,
    mirrors: Sequence[str] = WAR_AND_PEACE_MIRRORS,
    sequence_length: int = SEQUENCE_LENGTH,
    n_sequences: int | None = None,
    seed: int = 0,
    download_directory: Path | None = None,
    progress: Callable[[str], None] = print,
) -> xr.Dataset:
    """Return a text as disjoint sequences of characters, split 80/10/10 into training, validation and test parts.

    The alphabet is that of the whole text, in the order of Unicode. A remainder at the end of the text that is shorter
    than a sequence is dropped. Sequences are shuffled with a seed before the split.

    Args:
        source: "python_topics" (some 0.5 million characters; they differ from one version of Python to another),
            "war_and_peace" (3.2 million characters, 82 of them distinct) or "file".
        path: for the source "file", a text file in UTF-8, plain or gzip. Its byte-order mark is removed, and line ends
            become LF. For War and Peace, its file, or the folder that contains the file under its own name. None:
            download War and Peace.
        mirrors: addresses of folders from which War and Peace is downloaded, tried in order.
        sequence_length: number of characters of a sequence, including the last one, which is only a target.
        n_sequences: number of sequences, drawn at random; None takes all.
        seed: seed of the order, which determines the split.
        download_directory: folder for a downloaded file; needed if War and Peace is downloaded.
        progress: called with lines of text during a download, and on changes of a text.

    Returns:
        Dataset with these variables, for training and in the same way for validation and test:

        * train_input and train_target (train_sample, time), indices into the alphabet, uint8 or the smallest sufficient
          type.
        * coordinates alphabet (character), one character each, and train_index (train_sample), the number of the
          sequence in the text.

        Attributes: source, seed, sequence_length and sha256 of the text in UTF-8.

    Raises:
        ValueError: the source is unknown, a required path is missing, or a count is out of range. Or the text is empty,
            too short, altered (War and Peace), or not UTF-8 (the message names the byte).
        FileNotFoundError: `path` does not exist.
        DownloadError: War and Peace could not be downloaded from any mirror.
    """
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r} of char_rnn; expected one of {', '.join(SOURCES)}")
    if sequence_length < 2:
        raise ValueError(f"sequence_length is {sequence_length}; expected at least 2 characters, an input and a target")
    if source == "python_topics":
        name, text = "python_topics", "".join(topics[key] for key in sorted(topics))
    else:
        file = _find_file(source, path, mirrors, download_directory, progress)
        name, text = str(file), _read_text(file, WAR_AND_PEACE_SHA256 if source == "war_and_peace" else None)
        if source == "file":
            text = _normalised(name, text, progress)
    alphabet, characters = _encode(name, text)
    sequences = _cut(name, characters, sequence_length)
    order = np.random.default_rng(seed).permutation(len(sequences))[: _checked_count(n_sequences, len(sequences))]
    n_held_out = len(order) // HELD_OUT_SHARE
    splits = np.split(order, [len(order) - 2 * n_held_out, len(order) - n_held_out])
    variables: dict[str, xr.Variable] = {}
    for part, index in zip(PARTS, splits, strict=True):
        variables |= _variables(part, sequences[index], index)
    label = {"long_name": "character that an index stands for", "units": "1"}
    dataset = xr.Dataset(
        variables | {"alphabet": xr.Variable(("character",), alphabet, label)},
        attrs={
            "source": source,
            "seed": seed,
            "sequence_length": sequence_length,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        },
    )
    return dataset.set_coords(["alphabet", *(f"{part}_index" for part in PARTS)])


def decode(dataset: xr.Dataset, characters: np.ndarray) -> str:
    """Return the text of a row of indices (n,) into the dataset's alphabet."""
    return "".join(dataset["alphabet"].values[characters])


def _find_file(
    source: str,
    path: Path | None,
    mirrors: Sequence[str],
    download_directory: Path | None,
    progress: Callable[[str], None],
) -> Path:
    if path is None:
        if source == "file":
            raise ValueError("char_rnn source 'file' has no path; expected that of a text file")
        if download_directory is None:
            raise ValueError(
                f"char_rnn source {source!r} has neither path nor download_directory; expected one of them"
            )
        return fetch(
            WAR_AND_PEACE_NAME,
            mirrors,
            WAR_AND_PEACE_SHA256,
            Path(download_directory),
            size=WAR_AND_PEACE_SIZE,
            progress=progress,
        )
    file = text_file(Path(path), source)
    if file is None:
        raise FileNotFoundError(missing_text(Path(path), source))
    return file


def _read_text(path: Path, sha256: str | None) -> str:
    content = read_content(path)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"{path} is not the known text of War and Peace: found content with sha256 {found}, expected {sha256}; "
            "source 'file' takes any text"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.start} is 0x{content[error.start]:02x} ({error.reason}); "
            "expected text in UTF-8"
            + ("; it begins as UTF-16 does: save it as UTF-8" if content.startswith(UTF_16_MARKS) else "")
        ) from None


def _normalised(name: str, text: str, report: Callable[[str], None]) -> str:
    """Return the text without a byte-order mark and with LF at line ends. `report` is called on replacements."""
    if text.startswith(BYTE_ORDER_MARK):
        text = text.removeprefix(BYTE_ORDER_MARK)
        report(f"{name}: left out the byte-order mark U+FEFF at the beginning")
    if n_returns := text.count("\r"):
        n_pairs = text.count("\r\n")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        report(f"{name}: replaced {n_pairs} CR LF and {n_returns - n_pairs} single CR at ends of lines by LF")
    return text


def _encode(name: str, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the alphabet (character,), and the text as indices into it (n,)."""
    if "\0" in text:
        raise ValueError(f"{name} holds the character U+0000 at position {text.index(chr(0))}; expected text")
    code_points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    distinct, characters = np.unique(code_points, return_inverse=True)
    alphabet = np.array([chr(point) for point in distinct], dtype="<U1")
    return alphabet, characters.astype(np.min_scalar_type(max(0, len(distinct) - 1)))


def _cut(name: str, characters: np.ndarray, sequence_length: int) -> np.ndarray:
    """Return disjoint sequences, (n_sequences, sequence_length)."""
    n_sequences = len(characters) // sequence_length
    if n_sequences < HELD_OUT_SHARE:
        raise ValueError(
            f"{name} is too short: found {len(characters)} characters, {n_sequences} sequences of {sequence_length}; "
            f"expected at least {HELD_OUT_SHARE} sequences, {HELD_OUT_SHARE * sequence_length} characters"
        )
    return characters[: n_sequences * sequence_length].reshape(n_sequences, sequence_length)


def _checked_count(n_sequences: int | None, available: int) -> int:
    if n_sequences is None:
        return available
    if not HELD_OUT_SHARE <= n_sequences <= available:
        raise ValueError(
            f"n_sequences is {n_sequences}; expected {HELD_OUT_SHARE} to {available}, the number available, "
            "or None for all"
        )
    return n_sequences


def _variables(part: str, sequences: np.ndarray, index: np.ndarray) -> dict[str, xr.Variable]:
    def variable(dims: tuple[str, ...], values: np.ndarray, long_name: str) -> xr.Variable:
        return xr.Variable(dims, values, {"long_name": long_name, "units": "1"})

    dims = (f"{part}_sample", "time")
    return {
        f"{part}_input": variable(dims, sequences[:, :-1], "index of the character in the alphabet"),
        f"{part}_target": variable(dims, sequences[:, 1:], "index of the character after it"),
        f"{part}_index": variable(dims[:1], index, "number of the sequence in the text"),
    }
