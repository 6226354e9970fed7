"""Numba's compiler for the kernels, which release the interpreter's lock, with a checked cache on disk.

Numba's own cache depends only on the file that contains a function. It would still use machine code after an edit of
another file, from which a kernel is inlined. It also raises an error if its folder cannot be written or its files are
damaged. The cache in this module compares the contents of all relevant files and checks what it reads. It ignores files
that it cannot read or write.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numba import njit, types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.ccallback import CFunc
from numba.core.registry import CPUDispatcher

DIGEST_BYTES = 32

WITHOUT_WRAPPERS: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of `numba.njit` for functions that only kernels call. Numba adds wrappers to every function, for calls from
Python and from C. They take a quarter of the time to compile."""

INLINED: Any = {"forceinline": True, **WITHOUT_WRAPPERS}
"""Options for functions that become part of the kernels that call them."""


class CacheWarning(UserWarning):
    """Compiled kernels cannot be stored on disk, or stored files are damaged."""


def compiled(function: Callable[..., Any], *, sources: Sequence[Path] = (), **options: Any) -> Callable[..., Any]:
    """Return a function that is compiled on its first call for each set of argument types, with a cache on disk.

    The machine code is reused until a Python file changes in the folder of the function or in the folder of this
    module. If no folder can be written, the function is compiled in each process. If files of the cache are damaged, it
    is recompiled. In both cases each process warns once.

    Args:
        function: function that Numba can compile in nopython mode.
        sources: further files on which the machine code depends.
        options: further options of `numba.njit`, such as `error_model` and `fastmath`.

    Returns:
        a dispatcher of Numba, with the same arguments as the function. Other kernels may call it.

    Example:
        >>> @compiled
        ... def twice(x):
        ...     return 2 * x
    """
    kernel = _Kernel(
        py_func=function, targetoptions={"nopython": True, "nogil": True, "no_cfunc_wrapper": True, **options}
    )
    kernel.inner = njit(nogil=True, **WITHOUT_WRAPPERS, **options)(function)
    _keep_on_disk(kernel, function, sources)
    _keep_on_disk(kernel.inner, function, sources, "-inner")
    return kernel


class _Kernel(CPUDispatcher):
    """Numba's dispatcher of a function that Python calls. Other kernels call `inner`, which has no wrappers."""

    inner: Any

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self.inner)


def callback(function: Callable[..., Any], signature: Any, **options: Any) -> CFunc:
    """Compile a function that is called by its `address`, as functions of C are, and keep it as `compiled` does.

    Args:
        function: what Numba compiles in nopython mode.
        signature: the types of its arguments and of what it returns, such as `types.void(types.float64)`.
        options: as in `compiled`.
    """
    made = CFunc(function, (signature.args, signature.return_type), {}, options)
    _keep_on_disk(made, function, ())
    made.compile()
    return made


def _keep_on_disk(dispatcher: Any, function: Callable[..., Any], sources: Sequence[Path], suffix: str = "") -> None:
    folders = Path(function.__code__.co_filename).parent, Path(__file__).parent
    try:
        dispatcher._cache = _Cache(function, contents_of(*folders, *sources), suffix)
    except (RuntimeError, OSError) as error:  # Numba finds no writable folder for this function.
        _warn(f"compiled kernels cannot be stored on disk, and are compiled in every process: {error}")


@functools.cache
def contents_of(*places: Path) -> str:
    """Return the SHA-256 of the given Python files, and of those in the given folders."""
    digest = hashlib.sha256()
    for place in sorted(set(places)):
        for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


class _Cache(FunctionCache):
    """Numba's cache of one function, without exceptions."""

    def __init__(self, function: Callable[..., Any], stamp: str, suffix: str) -> None:
        super().__init__(function)
        self._name = self._impl.filename_base + suffix
        self._cache_file = _CheckedFile(self._cache_path, self._name, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for a signature; None if it has to be compiled."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # Damaged files can raise almost any exception.
            _warn(f"damaged files are discarded from the cache of compiled kernels in {self._cache_path}: {error!r}")
            self._discard()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store the machine code for a signature if possible."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _warn(
                f"compiled kernels cannot be stored in {self._cache_path}, and are compiled in every process: {error}"
            )
            self.disable()

    def _discard(self) -> None:
        prefix = f"{self._name}."
        try:
            for file in Path(self._cache_path).iterdir():
                if file.name.startswith(prefix) and file.suffix in (".nbi", ".nbc"):
                    file.unlink(missing_ok=True)
        except OSError:
            self.disable()


class _CheckedFile(IndexDataCacheFile):
    """Numba's files of one function, with the machine code followed by its SHA-256."""

    def _save_data(self, name: str, data: Any) -> None:
        dumped = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(dumped + hashlib.sha256(dumped).digest())

    def _load_data(self, name: str) -> Any:
        kept = Path(self._data_path(name)).read_bytes()
        dumped, digest = kept[:-DIGEST_BYTES], kept[-DIGEST_BYTES:]
        if hashlib.sha256(dumped).digest() != digest:
            raise pickle.UnpicklingError(f"{name}: the checksum does not match the contents")
        return pickle.loads(dumped)


_WARNED: list[str] = []


def _warn(message: str) -> None:
    """Issue a warning once per process."""
    if not _WARNED:
        _WARNED.append(message)
        hint = "Set NUMBA_CACHE_DIR to a writable folder to store them."
        warnings.warn(f"{message}. {hint}", CacheWarning, stacklevel=3)
