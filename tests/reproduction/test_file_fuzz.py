"""Damaged files: each gives an error that names the file, or is read correctly. A failing test reports its seed.

Together with the 2,000 configurations of `test_configuration_fuzz.py`, the slow test checks 10,000 inputs. `check(KIND,
folder, seed, case)` repeats a single case.
"""

from __future__ import annotations

import copy
import gzip
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from snakemake.utils import update_config

from lyapunov_pkg.reproduction.tasks.amc import CMU_JOINTS, parse_amc
from lyapunov_pkg.reproduction.tasks.char_rnn import load_char_rnn
from lyapunov_pkg.reproduction.tasks.content import read_content
from lyapunov_pkg.reproduction.tasks.idx import parse_idx
from lyapunov_pkg.reproduction.training.checkpoints import Checkpoints, StackCheckpoints
from lyapunov_pkg.reproduction.training.store import Kept
from lyapunov_pkg.reproduction.training.variants import Variant
from lyapunov_pkg.workflow.cache import FOLDERS, is_damaged, links, record_text, record_user
from lyapunov_pkg.workflow.pruning import entries, linked_entries
from lyapunov_pkg.workflow.settings import ConfigurationError
from lyapunov_pkg.workflow.store import open_store, save_store
from tests.reproduction.test_configuration_fuzz import CONFIGURATION, outcome

ROOT = Path(__file__).parents[2]
CLEAR, RIGHT = "clear error", "right result"
TOKENS = (
    *(b"nan", b"1e999", b"-inf", b"1_0", b"9" * 5000, b"0x10", b"1.5.2", b"--1", b"#", b":", b"\t", b"\0", b"\r"),
    *(b"\xff\xfe", "٣".encode(), "é".encode(), b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1f\x8b", b"PK\x03\x04"),
    *(b"&a", b"*a", b"<<: *a", b"!!python/object:os.system x", b"[", b"{", b"}", b"'", b'"', b"|", b"- ", b"null"),
    *(b"yes", b"? ", b"[" * 200, b"sha256:", b"%YAML 9.9\n", b"---\n", b"...\n", b".nan", b"1e-4", b"~"),
)


def bytes_damaged(content: bytes, rng: random.Random) -> bytes:
    """Truncate, flip, exchange, empty, or overwrite a part of a file."""
    n = len(content)
    first, last = sorted((rng.randrange(n + 1), rng.randrange(n + 1)))
    middle = rng.randint(first, last)
    noise = rng.randbytes(rng.choice([1, 2, 16, 300]))
    flipped = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 10])):
        flipped[rng.randrange(n)] ^= 1 << rng.randrange(8)
    return rng.choice(
        [
            lambda: content[:first],
            lambda: content[first:],
            lambda: content[:first] + content[last:],
            lambda: bytes(flipped),
            lambda: content[:first] + content[middle:last] + content[first:middle] + content[last:],
            lambda: content[:first] + bytes(last - first) + content[last:],
            lambda: content[:last] + content[first:],
            lambda: content[:first] + noise + content[first:],
            lambda: content + noise,
            lambda: rng.choice([b"", noise]),
        ]
    )()


def text_damaged(content: bytes, rng: random.Random) -> bytes:
    """Change lines and words of a text, or its bytes."""
    if rng.random() < 0.3:
        return bytes_damaged(content, rng)
    lines = content.splitlines(keepends=True)
    for _ in range(rng.choice([1, 1, 2, 5])):
        place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        words = lines[place].split(b" ")
        word = rng.randrange(len(words))
        change = rng.randrange(6)
        if change == 0 and len(lines) > 1:
            del lines[place]
        elif change == 1:
            lines[place], lines[other] = lines[other], lines[place]
        elif change == 2:
            lines.insert(place, lines[other])
        elif change == 3:
            lines[place] = b" ".join([*words[:word], rng.choice(TOKENS), *words[word:]])
        elif change == 4:
            lines[place] = b" ".join([*words[:word], rng.choice(TOKENS) + b"\n" * (word == len(words) - 1)])
        else:
            lines[place] = rng.choice([b" ", b"  ", b""]) + lines[place].lstrip()
    return b"".join(lines)


def packed_or_not(content: bytes, damage: Callable[..., bytes], rng: random.Random) -> tuple[bytes, str]:
    """Return a damaged file and its file name extension.

    The file is uncompressed, or damaged before or after compression; the extension may be wrong.
    """
    kind = rng.randrange(4)
    if kind < 2:
        return damage(content, rng), rng.choice(["", "", ".gz"])
    packed = gzip.compress(damage(content, rng)) if kind == 2 else bytes_damaged(gzip.compress(content), rng)
    return packed, rng.choice(["", ".gz"])


def unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def names(error: Exception, path: Path) -> str:
    """Return `CLEAR` after a check that the error names the file and that its message is short and printable."""
    assert str(path) in str(error), f"{path} is not in: {error}"
    assert len(str(error)) < 2000 and all(line.isprintable() for line in str(error).splitlines()), repr(str(error))
    return CLEAR


def configuration_text(folder: Path, rng: random.Random) -> str:
    overlays = [path.read_bytes() for path in sorted((ROOT / "config").glob("*.yaml"))]
    overlays.append((ROOT / "config.yaml").read_bytes())
    path = folder / "overlay.yaml"
    path.write_bytes(text_damaged(rng.choice(overlays), rng))
    try:
        overlay = read_overlay(path)
    except ConfigurationError as error:
        assert all(line.startswith(f"{path}: ") for line in str(error).splitlines()), error
        return names(error, path)
    configuration = copy.deepcopy(CONFIGURATION)
    update_config(configuration, overlay)
    return CLEAR if outcome(configuration) == "refused" else RIGHT


def read_overlay(path: Path) -> dict:
    from lyapunov_pkg.workflow.strict_yaml import read_configuration

    overlay = read_configuration(path)
    assert overlay == yaml.safe_load(path.read_bytes()) or "nan" in str(overlay)
    return overlay


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
IDX = bytes([0, 0, 8, 3, *b"\0\0\0\5\0\0\0\x1c\0\0\0\x1c"]) + IMAGES.tobytes()


def idx_file(folder: Path, rng: random.Random) -> str:
    content, ending = packed_or_not(IDX, bytes_damaged, rng)
    path = folder / f"images{ending}"
    path.write_bytes(content)
    try:
        images = parse_idx(read_content(path), path, (28, 28))
    except ValueError as error:
        return names(error, path)
    assert images.shape == (len(images), 28, 28) and images.dtype == np.uint8
    assert images.tobytes() == unpacked(content)[16:]
    return RIGHT


def motion() -> bytes:
    generator = np.random.default_rng(0)
    lines = ["#!OML:ASF F:\\VICON", ":FULLY-SPECIFIED", ":DEGREES"]
    for number in range(1, 4):
        lines.append(str(number))
        lines += [" ".join([joint, *map(str, generator.normal(size=n).round(4))]) for joint, n in CMU_JOINTS.items()]
    return "\n".join([*lines, ""]).encode()


AMC = motion()


def amc_file(folder: Path, rng: random.Random) -> str:
    content, ending = packed_or_not(AMC, text_damaged, rng)
    path = folder / f"walk.amc{ending}"
    path.write_bytes(content)
    try:
        frames = parse_amc(read_content(path), path)
    except ValueError as error:
        return names(error, path)
    words = unpacked(content).decode(errors="replace").split()
    written = {float(word) for word in words if set(word) <= set("+-.0123456789eE") and word.strip("+-.eE")}
    assert frames.shape == (len(frames), sum(CMU_JOINTS.values())) and np.isfinite(frames).all()
    assert set(frames.ravel()) <= written
    return RIGHT


TEXT = "".join(random.Random(0).choices("the quick brown fox\njumps över 3 lazy dogs", k=400)).encode()


def text_file(folder: Path, rng: random.Random) -> str:
    content, ending = packed_or_not(TEXT, text_damaged, rng)
    path = folder / f"text.txt{ending}"
    path.write_bytes(content)
    try:
        dataset = load_char_rnn("file", path, sequence_length=11)
    except ValueError as error:
        return names(error, path)
    text = unpacked(content).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    for part in ("train", "validation", "test"):
        for index, indices, targets in zip(
            *(dataset[f"{part}_{name}"].values for name in ("index", "input", "target")), strict=True
        ):
            expected = text[11 * index : 11 * index + 11]
            assert "".join(dataset["alphabet"].values[indices]) == expected[:-1]
            assert "".join(dataset["alphabet"].values[targets]) == expected[1:]
    return RIGHT


def example(seed: int) -> xr.Dataset:
    generator, label = np.random.default_rng(seed), {"units": "1", "long_name": "x"}
    spectra = xr.Variable(("variant", "exponent"), generator.normal(size=(3, 4)), label)
    cells = xr.Variable(("variant",), np.array(["gru", "lstm", "rnn"]), label)
    return xr.Dataset({"spectra": spectra}, {"architecture": cells})


def store(folder: Path, rng: random.Random) -> str:
    path, other = folder / "0.zarr.zip", folder / "1.zarr.zip"
    save_store(example(1), path, {"job": "test"})
    save_store(example(2), other, {"job": "test"})
    whole = path.read_bytes()
    change = rng.choice(["bytes", "bytes", "bytes", "of another", "gone", "a folder", "no store"])
    if change == "bytes":
        path.write_bytes(bytes_damaged(whole, rng))
    elif change == "of another":
        path.write_bytes(other.read_bytes() if rng.random() < 0.5 else whole + other.read_bytes())
    elif change == "no store":
        with gzip.open(path, "wb") as file:
            file.write(rng.randbytes(rng.choice([0, 1, 500])))
    else:
        path.unlink()
        if change == "a folder":
            path.mkdir()
    try:
        with open_store(path) as found:
            dataset = found.load()
    except (ValueError, FileNotFoundError) as error:
        assert not path.is_file() or path.read_bytes() != whole
        return names(error, path)
    assert path.read_bytes() in (whole, other.read_bytes())
    xr.testing.assert_equal(dataset, example(1 if path.read_bytes() == whole else 2))
    return RIGHT


def checkpoint(folder: Path, rng: random.Random) -> str:
    """Check that a damaged file counts as missing, so that training continues from an earlier epoch or starts again."""
    stack = [Variant(index, "gru", 3, 1.0, 0.1, seed=5 + index) for index in range(2)]
    kept = Checkpoints(folder / "checkpoints", {"job": "test"})
    results = [{"validation_loss": np.full(2, float(epoch))} for epoch in range(3)]
    parameters = [{"weight": np.full((2, 9), 2.0 + epoch)} for epoch in range(3)]
    moments = [{"moment": np.full(2, 10.0 * epoch)} for epoch in range(3)]
    with kept.of(stack) as own:
        for epoch in range(3):
            own.save(epoch, results[epoch], dict(enumerate(parameters[: epoch + 1])), moments[epoch])
            # This is the state after a kill, before the optimiser state of the previous epoch was deleted.
            if rng.random() < 0.5:
                shutil.copyfile(own.folder / f"optimizer_{epoch}.npz", folder / f"optimizer_{epoch}.npz")
    for copied in folder.glob("optimizer_*.npz"):
        copied.replace(own.folder / copied.name)
    for _ in range(rng.choice([1, 1, 3])):
        damage_a_file(own.folder, rng)
    if rng.random() < 0.2:
        (kept.directory / rng.choice(["a-b", "3-", "-", "0-1-2", "1-0", "lost+found", "²-3"])).mkdir(exist_ok=True)
    assert [[variant.index for variant in stack] for stack in kept.stacks(stack, 2)] == [[0, 1]]
    with kept.of(stack) as own:
        assert isinstance(own, StackCheckpoints)
        found = own.load(5, Kept())
    if found is None:
        return RIGHT
    last = len(found.history) - 1
    assert found.optimizer is not None
    pairs = [*zip(found.history, results[: last + 1], strict=True), (found.optimizer, moments[last])]
    pairs += [(arrays, parameters[epoch]) for epoch, arrays in found.parameters.items()]
    assert set(found.parameters) == set(range(last + 1))
    for arrays, expected in pairs:
        assert all(np.array_equal(arrays[name], values) for name, values in expected.items())
    return RIGHT


def damage_a_file(folder: Path, rng: random.Random) -> None:
    """Damage a file of a folder, exchange it with another file, or replace it by something else."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    path, other = rng.choice(files), rng.choice(files)
    content = path.read_bytes()
    change = rng.choice(["bytes", "bytes", "exchanged", "copied", "gone", "a folder", "a link"])
    if change == "bytes":
        path.write_bytes(bytes_damaged(content, rng) if content else rng.randbytes(9))
    elif change == "exchanged":
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif change == "copied":
        other.write_bytes(content)
    elif path.name != "lock":
        path.unlink()
        if change == "a folder":
            path.mkdir()
        elif change == "a link":
            path.symlink_to(other)


def cache_record(folder: Path, rng: random.Random) -> str:
    """Check that linked entries are never deletable and that damaged entries are never used."""
    cache, results = folder / "cache", folder / "clone/results"
    for name in FOLDERS:
        (cache / name).mkdir(parents=True)
    results.mkdir(parents=True)
    entry = cache / "results" / "digest.zip"
    save_store(example(1), entry, {"job": "test"})
    whole = entry.read_bytes()
    (results / "0.zarr.zip").symlink_to(entry)
    record_user(cache, results)
    folder_of = cache / rng.choice(["users", "users", "results", "checkpoints/way"])
    if folder_of.name == "way":
        folder_of.mkdir()
        (folder_of / "about.json").write_text('{"job": "test"}')
    elif folder_of.name == "users" and rng.random() < 0.3:  # The disk of the clone is not mounted.
        shutil.rmtree(folder / "clone")
        (record,) = folder_of.iterdir()
        record.write_text(record_text(results, folder / "clone"))
    damage_a_file(folder_of, rng)
    if folder_of.name == "users" and not list(folder_of.iterdir()):
        return RIGHT  # A deleted record means that the results folder is gone.
    listed, (linked, unseen) = entries(cache), linked_entries(cache)
    assert all(found.description and found.description.isprintable() for found in listed)
    assert all(found.in_use for found in listed if found.path == entry)
    if folder_of.name == "users":
        named = [str(path) for path in (*folder_of.iterdir(), results)]
        assert linked == {entry} or any(name in reason for reason in unseen for name in named)
        return CLEAR if unseen else RIGHT
    changed = entry.is_symlink() or not entry.is_file() or entry.read_bytes() != whole
    there = entry.is_symlink() or entry.exists()
    if entry.is_dir() and not entry.is_symlink():
        return CLEAR  # Snakemake's cache reports this case.
    assert is_damaged(entry) == (changed and there)
    assert not changed or not entry.exists()
    assert [path for path, _ in links(cache, results)] == [results / "0.zarr.zip"]
    return CLEAR if changed else RIGHT


KINDS: dict[Callable[[Path, random.Random], str], int] = {
    configuration_text: 1500,
    idx_file: 1500,
    amc_file: 1500,
    text_file: 1000,
    store: 1000,
    checkpoint: 750,
    cache_record: 750,
}


def check(kind: Callable[[Path, random.Random], str], folder: Path, seed: int, case: int) -> str:
    """Create one damaged input in an empty folder and read it."""
    place = folder / str(case)
    place.mkdir(parents=True)
    try:
        found = kind(place, random.Random(f"{kind.__name__} {seed} {case}"))
    except Exception as error:
        raise AssertionError(f"{kind.__name__}, seed {seed}, case {case}: {type(error).__name__}: {error}") from error
    shutil.rmtree(place)
    return found


def count(kind: Callable[[Path, random.Random], str], folder: Path, seed: int, cases: Iterable[int]) -> Counter[str]:
    return Counter(check(kind, folder, seed, case) for case in cases)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_damaged_files_are_refused_or_read_correctly(
    tmp_path: Path, kind: Callable[[Path, random.Random], str]
) -> None:
    count(kind, tmp_path, 0, range(40))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "n_cases"), KINDS.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_many_damaged_files_are_refused_or_read_correctly(
    tmp_path: Path, kind: Callable[[Path, random.Random], str], n_cases: int, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = count(kind, tmp_path, 1, range(n_cases))
    with capsys.disabled():
        print(f"\n{kind.__name__}: {dict(counts)}")
    assert counts.total() == n_cases


def test_the_number_of_inputs_is_ten_thousand() -> None:
    assert sum(KINDS.values()) + 2000 == 10_000
