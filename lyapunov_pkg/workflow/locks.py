"""Locks between processes. A lock ends with the process that holds it, even if the process is killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lyapunov_pkg.workflow.files import take_permissions_from_folder


@contextlib.contextmanager
def file_lock(path: str | Path, *, shared: bool = False, wait: bool = True) -> Iterator[int]:
    """Hold an advisory lock (flock) on the file `path`, which is created if missing, and yield its descriptor.

    If the lock file was deleted or replaced while this process waited, the lock is acquired again on the new file.

    Args:
        path: the lock file, a regular file. Links are not followed. All users of its folder may use the lock.
        shared: whether several processes may hold the lock at the same time. False: this process holds it alone.
        wait: whether to wait until the lock is free, with a message on standard error.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is False.
        FileNotFoundError: the folder does not exist.
        OSError: the lock file is not a regular file, or cannot be created or opened.
    """
    path = Path(path)
    while True:
        descriptor = _open(path)
        try:
            _acquire(descriptor, path, shared, wait)
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _acquire(descriptor: int, path: Path, shared: bool, wait: bool) -> None:
    """Lock an open file."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        print(f"waiting for another process, which holds {path}", file=sys.stderr, flush=True)
        fcntl.flock(descriptor, kind)


def _open(path: Path) -> int:
    """Open a lock file, which is created if missing. Without permission to write it is opened for reading."""
    while True:
        try:
            return _make(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.EACCES, errno.EROFS):
                raise
            is_there = error.errno == errno.EEXIST
        try:
            return _open_existing(path)
        except FileNotFoundError:
            if not is_there:  # otherwise it was deleted in the meantime, so create it
                raise


def _make(path: Path) -> int:
    """Create a lock file with the permissions of its folder, and open it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with contextlib.suppress(FileNotFoundError):  # it was deleted in the meantime, which `file_lock` detects
        take_permissions_from_folder(path)
    return descriptor


def _open_existing(path: Path) -> int:
    """Open an existing lock file."""
    for access in (os.O_RDWR, os.O_RDONLY):
        try:
            descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(error.errno, "a link is not followed; expected a lock file", str(path)) from None
            if access == os.O_RDONLY or error.errno not in (errno.EACCES, errno.EROFS):
                raise
            continue
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        break
    raise OSError(errno.EINVAL, "expected a lock file", str(path))


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def is_locked(path: str | Path) -> bool:
    """Return whether another process holds a lock. If the lock file does not exist, no process holds it.

    Raises:
        OSError: the lock file cannot be opened.
    """
    if not os.path.lexists(path):
        return False
    try:
        with file_lock(path, wait=False):
            return False
    except BlockingIOError:
        return True


def lock_for_this_process(path: str | Path, purpose: str) -> None:
    """Hold a lock until this process ends, and write a description of this process into its file.

    Args:
        path: the lock file.
        purpose: description of what is locked, for the message to other processes.

    Raises:
        BlockingIOError: another process holds the lock. The message says which process, since when, and what to do.
    """
    try:
        descriptor = _held.enter_context(file_lock(path, wait=False))
    except BlockingIOError:
        holder = Path(path).read_text().strip() or "another process"
        raise BlockingIOError(f"{purpose} is locked by {holder}; wait until it has ended, or end it") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {platform.node()}, since {time.strftime('%F %T')}".encode())


_held = contextlib.ExitStack()
