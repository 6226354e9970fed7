"""Numba's compiler as the kernels use it: without the interpreter's lock, cached on disk until any kernel changes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on its first call for each set of argument types.

    Numba's cache knows only the file in which a function stands, and would go on using machine code in which an edited
    kernel of another file is inlined. What it compares is replaced by the contents of all files of both folders.
    """
    dispatcher = njit(nogil=True, cache=True)(function)
    cache_file = getattr(dispatcher._cache, "_cache_file", None)  # none where no folder for a cache can be written
    if cache_file is not None:
        cache_file._source_stamp = contents_of(Path(function.__code__.co_filename).parent, Path(__file__).parent)
    return dispatcher


@functools.cache
def contents_of(*folders: Path) -> str:
    """Return the SHA-256 of the Python files in these folders."""
    files = [file for folder in sorted(set(folders)) for file in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"\0".join(file.name.encode() + b"\0" + file.read_bytes() for file in files)).hexdigest()
