from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from zarr.storage import ZipStore

from lyapunov_pkg.labels import describe
from lyapunov_pkg.workflow.files import (
    damage,
    damage_in,
    is_regular_file,
    make_folder,
    seal,
    take_permissions_from_folder,
    whole_file,
)
from lyapunov_pkg.workflow.store import open_store, save_store
from tests.workflow.conftest import another_user


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a small store with a coordinate, a variable and attributes."""
    dataset = xr.Dataset({"loss": ("variant", [0.5, np.nan])}, {"variant": [0, 1]})
    path = tmp_path / "small.zarr.zip"
    save_store(describe(dataset, {"loss": ("nat", "loss"), "variant": ("1", "variant")}), path, {"epochs": 2})
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a small checkpoint in the format of training."""
    path = tmp_path / "epoch_0.npz"
    np.savez(path, allow_pickle=False, seed=np.array([1, 2]), weight=np.ones((2, 3), np.float32))
    seal(path)
    return path


@pytest.mark.parametrize("kind", ["store", "checkpoint"])
def test_every_flipped_bit_is_detected(request: pytest.FixtureRequest, kind: str) -> None:
    content = bytearray(request.getfixturevalue(kind).read_bytes())
    assert damage_in(io.BytesIO(content)) is None
    unnoticed = []
    for place in range(len(content)):
        for bit in range(8):
            content[place] ^= 1 << bit
            if damage_in(io.BytesIO(content)) is None:
                unnoticed.append((place, bit))
            content[place] ^= 1 << bit
    assert len(content) > 500 and not unnoticed


def test_every_change_in_the_central_directory_is_an_error_at_opening(store: Path) -> None:
    """The central directory of a zip file has no checksum: entries could vanish without an error of zipfile or Zarr."""
    whole = store.read_bytes()
    first = whole.index(b"PK\x01\x02")
    for place in range(first, len(whole), 7):
        store.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"small\.zarr\.zip is damaged \(.*\); delete it and run again"):
            open_store(store)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: b"", "shorter than its checksum"),
        (lambda content: content[:-1], "does not end with its checksum"),
        (lambda content: content + b"\0", "does not end with its checksum"),
        (lambda content: content[: len(content) // 2], "does not end with its checksum"),
        (lambda content: content[1:], "checksum is wrong"),
        (lambda content: b"\0" + content, "checksum is wrong"),
        (lambda content: content[:100] + b"\0" + content[100:], "checksum is wrong"),
    ],
)
def test_missing_and_added_bytes_are_detected(store: Path, change, problem: str) -> None:
    store.write_bytes(change(store.read_bytes()))
    assert problem in str(damage(store))


def test_a_zip_file_without_a_checksum_at_its_end_counts_as_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("member", b"x" * 200)
    assert damage(tmp_path / "a.zip") == "it does not end with its checksum"


def test_all_blocks_of_a_large_sealed_file_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "large.npz"
    np.savez(path, values=np.random.default_rng(0).random(400_000))
    seal(path)
    assert damage(path) is None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert damage(path) == "its checksum is wrong"


def test_plain_xarray_and_zarr_can_read_sealed_stores(store: Path) -> None:
    plain = xr.open_zarr(ZipStore(store, mode="r"), consolidated=False)
    np.testing.assert_array_equal(plain["loss"], [0.5, np.nan])
    with zipfile.ZipFile(store) as archive:
        assert archive.testzip() is None


def test_a_file_is_created_completely_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with whole_file(tmp_path / "a") as partial:
        partial.write_text("all")
        assert not (tmp_path / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("of_folder", "folders", "files"),
    [(0o700, 0o700, 0o600), (0o2770, 0o2770, 0o660), (0o755, 0o755, 0o644), (0o777, 0o775, 0o664)],
)
def test_new_files_and_folders_have_the_permissions_of_their_folder(
    tmp_path: Path, of_folder: int, folders: int, files: int
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(of_folder)
    make_folder(tmp_path / "cache/results")
    (tmp_path / "cache/file").write_text("")
    take_permissions_from_folder(tmp_path / "cache/file")
    assert mode(tmp_path / "cache/results") == folders
    assert mode(tmp_path / "cache/file") == files


def test_an_existing_folder_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=0o711)
    make_folder(tmp_path / "results")
    assert mode(tmp_path / "results") == 0o711


def test_links_are_neither_followed_nor_changed(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "folder").symlink_to(tmp_path / "private")
    (tmp_path / "file").symlink_to(tmp_path / "secret")
    tmp_path.chmod(0o777)
    with pytest.raises(NotADirectoryError, match=r"folder is a link or a file; expected a folder"):
        make_folder(tmp_path / "folder")
    with pytest.raises(OSError, match="symbolic links"):
        take_permissions_from_folder(tmp_path / "file")
    assert mode(tmp_path / "private") == 0o700 and mode(tmp_path / "secret") == 0o600
    assert not is_regular_file(tmp_path / "file") and is_regular_file(tmp_path / "secret")
    assert not is_regular_file(tmp_path / "private") and not is_regular_file(tmp_path / "secret/below")


def test_files_of_another_user_keep_their_permissions(public_folder: Path) -> None:
    public_folder.chmod(0o777)
    with another_user():
        (public_folder / "theirs").write_text("")
        (public_folder / "theirs").chmod(0o600)
    take_permissions_from_folder(public_folder / "theirs")
    assert mode(public_folder / "theirs") == 0o600
