"""Locks between processes. They end with the process that holds them, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def file_lock(path: str | Path, *, shared: bool = False, wait: bool = True) -> Iterator[int]:
    """Hold an advisory lock (flock) on the file `path`, which is made if it is missing; yields its descriptor.

    Args:
        path: the lock file; everyone may lock it, whoever made it.
        shared: many may hold the lock at once, unless somebody wants it alone.
        wait: wait until the lock is free, saying so on standard error.

    Raises:
        BlockingIOError: another process holds it, and `wait` is false.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        share(path)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            print(f"waiting for another process, which holds {path}", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)


def share(path: str | Path) -> None:
    """Let every user write a file or folder, as Snakemake does for its cache; what is another user's stays as it is."""
    path = Path(path)
    with contextlib.suppress(PermissionError):
        path.chmod(0o777 if path.is_dir() else 0o666)


def lock_for_this_process(path: str | Path, purpose: str) -> None:
    """Hold a lock until this process ends, and write into its file who holds it.

    Args:
        path: the lock file.
        purpose: what is locked, for the message to others.

    Raises:
        BlockingIOError: another process holds it; the message says which, since when, and what to do.
    """
    try:
        descriptor = _held.enter_context(file_lock(path, wait=False))
    except BlockingIOError:
        holder = Path(path).read_text().strip() or "another process"
        raise BlockingIOError(f"{purpose} is locked by {holder}; wait until it has ended, or end it") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {platform.node()}, since {time.strftime('%F %T')}".encode())


_held = contextlib.ExitStack()
