from __future__ import annotations

import json
import pickle
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from lyapunov_pkg.workflow.array_file import NamedArray, read_arrays

RNG = np.random.default_rng(0)
ARRAYS = {"inputs": RNG.normal(size=(6, 5, 3)), "targets": np.arange(6) % 2, "split": np.array(["train", "test"] * 3)}


def read(path: Path) -> dict[str, NamedArray]:
    return read_arrays(path, ("inputs", "targets"), ("split",))[0]


def write_zarr(folder: Path, zarr_format: int, **options: object) -> Path:
    group = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
    for name, values in ARRAYS.items():
        group.create_array(name, data=values, chunks=tuple(max(1, size // 2) for size in values.shape), **options)
    return folder


def zipped(folder: Path, inside: str = "") -> Path:
    """Return a zip file of a folder's content, or of the folder itself."""
    root = folder.parent if inside else folder
    return Path(shutil.make_archive(str(folder) + (inside and "_whole"), "zip", root, inside or "."))


def written_by_xarray(path: Path) -> Path:
    dims = {"inputs": ("sample", "time", "feature"), "targets": ("sample",), "split": ("sample",)}
    xr.Dataset({name: (dims[name], values) for name, values in ARRAYS.items()}).to_zarr(path)
    return path


WAYS: dict[str, Callable[[Path], Path]] = {
    "npz": lambda folder: np.savez(folder / "data", **ARRAYS) or folder / "data.npz",
    "compressed npz": lambda folder: np.savez_compressed(folder / "data", **ARRAYS) or folder / "data.npz",
    "npz of another name": lambda folder: (np.savez(folder / "a", **ARRAYS), (folder / "a.npz").rename(folder / "b"))[
        1
    ],
    "Zarr 2 folder": lambda folder: write_zarr(folder / "data.zarr", 2),
    "Zarr 3 folder": lambda folder: write_zarr(folder / "data.zarr", 3),
    "zip file of Zarr 2": lambda folder: zipped(write_zarr(folder / "data.zarr", 2)),
    "zip file of Zarr 3": lambda folder: zipped(write_zarr(folder / "data.zarr", 3)),
    "zip file with the folder": lambda folder: zipped(write_zarr(folder / "data.zarr", 3), "data.zarr"),
    "xarray": lambda folder: written_by_xarray(folder / "data.zarr"),
    "zip file by xarray": lambda folder: zipped(written_by_xarray(folder / "data.zarr")),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # The specification of Zarr 3 does not include text yet.
@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_file_gives_the_same_arrays(way: str, tmp_path: Path) -> None:
    arrays = read(WAYS[way](tmp_path))
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name].values, values)
        assert arrays[name].values.dtype.kind == values.dtype.kind
        assert arrays[name].dims == (
            {3: ("sample", "time", "feature"), 1: ("sample",)}[values.ndim] if "xarray" in way else None
        )


def test_named_dimensions_decide_and_not_their_order() -> None:
    values = RNG.normal(size=(5, 3, 6))
    array = NamedArray("inputs", values, ("time", "feature", "sample"))
    assert array.with_leading("sample", "time", "feature").shape == (6, 5, 3)
    assert array.with_leading("sample", "step").shape == values.shape


def test_other_arrays_are_listed_in_the_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "data", **ARRAYS, weights=np.ones(3))
    assert read_arrays(tmp_path / "data.npz", ("inputs",), ())[1] == ["split", "targets", "weights"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("inputs", "target"),
            "has no array targets; it has inputs, target; did you mean target, and is it to be called",
        ),
        (("x", "y"), "has no array inputs; it has x, y$"),
        ((), "has no array inputs; it has none"),
        (("inputs", "targets", "splits"), "has no array split, but splits; did you mean splits"),
    ],
)
def test_missing_arrays_are_named(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **dict.fromkeys(names, np.ones(2)))
    if not names:
        path.unlink()
        write_empty_group(path)
    with pytest.raises(ValueError, match=message):
        read(path)


def write_empty_group(path: Path) -> None:
    zarr.open_group(path, mode="w")


class Harmful:
    """An object that raises an error when it is unpickled, in place of harmful code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemError('unpickled')",))


def test_python_objects_are_refused_without_unpickling(tmp_path: Path) -> None:
    objects = np.array([Harmful()] * 6)
    np.savez(tmp_path / "data", **ARRAYS | {"targets": objects})
    with pytest.raises(ValueError, match=r"^targets of .*npz holds Python objects, .*; expected numbers or text"):
        read(tmp_path / "data.npz")
    folder = write_zarr(tmp_path / "data.zarr", 2, compressors=None)
    description = json.loads((folder / "targets/.zarray").read_text())
    description |= {"filters": [{"id": "pickle", "protocol": 5}], "chunks": [6]}
    (folder / "targets/0").write_bytes(pickle.dumps(Harmful()))
    for dtype in ({}, {"dtype": "|O", "fill_value": None}):
        (folder / "targets/.zarray").write_text(json.dumps(description | dtype))
        with pytest.raises(ValueError, match=r"data\.zarr holds Python objects"):
            read(folder)


def test_scaled_values_are_refused(tmp_path: Path) -> None:
    folder = write_zarr(tmp_path / "data.zarr", 3)
    zarr.open_group(folder)["inputs"].attrs["scale_factor"] = 0.1
    with pytest.raises(ValueError, match=r"inputs of .* is packed: it has the attribute scale_factor"):
        read(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a .npz file, or a Zarr folder or zip file"),
        (
            b"\x89HDF\r\n\x1a\n" + bytes(100),
            "is no zip file or is damaged: it starts with 0x894844460d0a1a0a; expected",
        ),
        (None, "does not exist; expected a .npz file"),
    ],
)
def test_other_kinds_of_files_are_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "data").write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read(tmp_path / "data")


def test_folders_and_zip_files_with_other_contents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/letter.txt").write_text("hello")
    with pytest.raises(ValueError, match="folder cannot be read as a Zarr group"):
        read(tmp_path / "folder")
    with pytest.raises(ValueError, match=r"folder.zip is a zip file of letter\.txt; expected a .npz file, or a Zarr"):
        read(zipped(tmp_path / "folder"))


@pytest.mark.parametrize("way", ["compressed npz", "zip file of Zarr 3"])
def test_damaged_files_are_refused(way: str, tmp_path: Path) -> None:
    path = WAYS[way](tmp_path)
    content = bytearray(path.read_bytes())
    for position in range(200, len(content) // 2, 97):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        try:
            arrays = read(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            for name, values in ARRAYS.items():
                np.testing.assert_array_equal(arrays[name].values, values)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is no zip file or is damaged"):
        read(path)


def write_npz_bomb(path: Path, shape: tuple[int, ...], content: int) -> Path:
    """Write a .npz file whose header declares this shape for `inputs`, followed by `content` bytes of zeros."""
    np.savez(path, targets=ARRAYS["targets"])
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("inputs.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(content >> 20):
            member.write(bytes(1 << 20))
    return path


def write_zarr_bomb(path: Path, shape: tuple[int, ...]) -> Path:
    """Write a Zarr folder whose `inputs` have this shape and no stored chunk, so that all values are the fill value."""
    group = zarr.open_group(path, mode="w")
    group.create_array("inputs", shape=shape, chunks=(1, 1, 1000), dtype="f8")
    group.create_array("targets", data=ARRAYS["targets"])
    return path


@pytest.mark.parametrize(
    ("write", "size"),
    [
        (lambda path: write_npz_bomb(path / "a.npz", (1 << 18, 1 << 10, 4), 0), "8.0"),
        (lambda path: write_npz_bomb(path / "a.npz", (1 << 30, 1 << 20, 1 << 10), 0), "8,589,934,592.0"),
        (lambda path: write_zarr_bomb(path / "a.zarr", (1 << 18, 1 << 10, 4)), "8.0"),
    ],
)
def test_too_large_arrays_are_refused_from_their_headers(
    write: Callable[[Path], Path], size: str, tmp_path: Path
) -> None:
    path = write(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError,
            match=rf"is too large: it unpacks to inputs {size} GiB, targets 0\.0 GiB; expected at most 4 GiB",
        ):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_too_large_stored_arrays_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lyapunov_pkg.workflow.array_file.LARGEST_ARRAYS", 50_000_000)
    path = write_npz_bomb(tmp_path / "a.npz", (64, 1 << 10, 1 << 10), 64 << 23)
    assert path.stat().st_size < 4_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"unpacks to inputs 0\.5 GiB"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
