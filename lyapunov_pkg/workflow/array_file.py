"""Reading of named arrays from one file: NumPy's `.npz`, or a Zarr hierarchy in a folder or a zip file.

No code in a file is run: arrays of Python objects, which only pickle can read, raise an error. A small file can contain
arrays of terabytes. The sizes of arrays are therefore read from their headers before an array is loaded.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore, ZipStore

from lyapunov_pkg.workflow.settings import suggestion

ZARR_ROOTS = (".zgroup", "zarr.json")
PACKED_ATTRIBUTES = ("scale_factor", "add_offset")
LARGEST_ARRAYS = 4 << 30  # bytes, total of all arrays that are read together
EXPECTED = "expected a .npz file, or a Zarr folder or zip file"


@dataclass(frozen=True)
class NamedArray:
    """An array of a file.

    Attributes:
        place: description of the file and the name, for errors.
        values: the array; text is `str`.
        dims: names of its dimensions, if the file has them.
    """

    place: str
    values: NDArray[Any]
    dims: tuple[str, ...] | None = None

    def with_leading(self, *dims: str) -> NDArray[Any]:
        """Return the values with the named dimensions first, in order; unchanged if the dimensions have no names."""
        if self.dims is None or not set(dims) <= set(self.dims):
            return self.values
        return np.moveaxis(self.values, [self.dims.index(dim) for dim in dims], range(len(dims)))


def read_arrays(
    path: Path, required: Iterable[str], optional: Iterable[str]
) -> tuple[dict[str, NamedArray], list[str]]:
    """Return the arrays with the given names.

    Returns:
        The arrays as {name: array}, without optional ones that are missing, and the names of all other arrays in the
        file.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: the file is of another kind or damaged, a required array is missing, an optional one is missing
            while another has nearly the same name, an array contains Python objects, or the arrays are larger than
            `LARGEST_ARRAYS`.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {EXPECTED}")
    source = _Npz(path) if _is_npz(path) else _Zarr(path)
    present, wanted = source.names, [*required, *optional]
    for name in [name for name in required if name not in present]:
        raise ValueError(f"{path} has no array {name}; it has {', '.join(present) or 'none'}{_likely(name, present)}")
    others = [name for name in present if name not in wanted]
    for name in [name for name in optional if name not in present]:
        if get_close_matches(name, others, n=1):
            raise ValueError(f"{path} has no array {name}, but {', '.join(others)}{_likely(name, others)}")
    to_read = [name for name in wanted if name in present]
    _check_size(path, {name: source.size(name) for name in to_read})
    return {name: source.read(name) for name in to_read}, others


def _check_size(path: Path, sizes: dict[str, int]) -> None:
    if sum(sizes.values()) > LARGEST_ARRAYS:
        found = ", ".join(f"{name} {size / 2**30:,.1f} GiB" for name, size in sizes.items())
        raise ValueError(
            f"{path} is too large: it unpacks to {found}; expected at most {LARGEST_ARRAYS / 2**30:g} GiB together. "
            "Take fewer samples or steps, or store them as float32"
        )


def _likely(name: str, present: Iterable[str]) -> str:
    """Return a question with the name of an array that is similar to a missing one."""
    text = suggestion(name, present)
    return f"; {text.removesuffix('?')}, and is it to be called {name}?" if text.startswith("did you mean") else ""


def _is_npz(path: Path) -> bool:
    """Return whether a file is .npz; otherwise it is Zarr.

    Raises:
        ValueError: the file is neither.
    """
    if path.is_dir():
        return False
    with path.open("rb") as file:
        beginning = file.read(8)
    if not zipfile.is_zipfile(path):
        found = "is empty" if not beginning else f"is no zip file or is damaged: it starts with 0x{beginning.hex()}"
        raise ValueError(f"{path} {found}; {EXPECTED}")
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


class _Npz:
    """Arrays of a .npz file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.names = sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))

    def size(self, name: str) -> int:
        """Return the bytes of an array, from its header."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as member:
                version = np.lib.format.read_magic(member)
                formats = np.lib.format
                read_header = formats.read_array_header_1_0 if version[0] == 1 else formats.read_array_header_2_0
                shape, _, dtype = read_header(member)
        except Exception as error:
            raise _damaged(f"{name} of {self.path}", error) from error
        return math.prod(shape) * dtype.itemsize

    def read(self, name: str) -> NamedArray:
        place = f"{name} of {self.path}"
        try:
            with np.load(self.path, allow_pickle=False) as file:
                values = file[name]
        except Exception as error:
            if "allow_pickle" in str(error):
                raise ValueError(_of_objects(place)) from None
            raise _damaged(place, error) from error
        return NamedArray(place, values)


class _Zarr:
    """Arrays of a Zarr group, format 2 or 3, in a folder or in a zip file, possibly in a folder of the zip file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        root = "" if path.is_dir() else _root_in_zip(path)
        try:
            store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
            self.group = zarr.open_group(store, path=root, mode="r", use_consolidated=False)
            self.names = sorted(name for name, _ in self.group.arrays())
        except Exception as error:
            if "object_codec_id" in str(error):
                raise ValueError(_of_objects(f"an array of {path}")) from None
            raise ValueError(
                f"{path} cannot be read as a Zarr group ({type(error).__name__}: {error}); {EXPECTED}"
            ) from error

    def size(self, name: str) -> int:
        """Return the bytes of an array, from its description. Missing chunks count too, because reading fills them."""
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array.nbytes

    def read(self, name: str) -> NamedArray:
        place = f"{name} of {self.path}"
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        if "pickle" in json.dumps(array.metadata.to_dict(), default=str).lower():
            raise ValueError(_of_objects(place))
        packed = [attribute for attribute in PACKED_ATTRIBUTES if attribute in array.attrs]
        if packed:
            raise ValueError(f"{place} is packed: it has the attribute {packed[0]}; expected the values themselves")
        try:
            values = np.asarray(array[...])
        except Exception as error:
            raise _damaged(place, error) from error
        if values.dtype.kind in "OT":
            if not all(isinstance(value, str) for value in values.flat):
                raise ValueError(_of_objects(place))
            values = values.astype(str)
        return NamedArray(place, values, _dims(array))


def _dims(array: zarr.Array[Any]) -> tuple[str, ...] | None:
    """Return the names of an array's dimensions, if all of them have one."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, list | tuple) or len(names) != array.ndim or None in names:
        return None
    return tuple(str(name) for name in names)


def _root_in_zip(path: Path) -> str:
    """Return the folder of a zip file that contains the outermost group."""
    with zipfile.ZipFile(path) as archive:
        members = [PurePosixPath(name) for name in archive.namelist()]
    roots = [member.parent for member in members if member.name in ZARR_ROOTS]
    if not roots:
        found = ", ".join(str(member) for member in members[:3]) or "nothing"
        raise ValueError(f"{path} is a zip file of {found}; {EXPECTED}")
    root = min(roots, key=lambda folder: len(folder.parts)).as_posix()
    return "" if root == "." else root


def _of_objects(place: str) -> str:
    return (
        f"{place} holds Python objects, which could run code when they are read; expected numbers or text. Cut "
        "sequences of several lengths to one length"
    )


def _damaged(place: str, error: Exception) -> ValueError:
    return ValueError(f"{place} cannot be read ({type(error).__name__}: {error}): is the file damaged?")
