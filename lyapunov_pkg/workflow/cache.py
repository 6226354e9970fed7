"""The cache of results and checkpoints that clones and branches share, and users who want to: its folder, and its use.

Layout of the folder:

- `results/`: one file for each result, named by the digest of all that it depends on.
- `checkpoints/`: one folder for each way of training, named likewise (`reproduction.training.checkpoints`). Who trains
  there holds its `lock`, shared.
- `users/`: the folders of results that link here, one file each.
- `lock`: held, shared, while a result is taken or stored, and alone while the cache is pruned.

The folder is made for its owner alone, or for a group. What is made in it later can be used as the folder itself can,
and nothing that is there already changes its permissions. Links in it are not followed.

`lyapunov_pkg.workflow.pruning` lists what is in it, and deletes what nobody uses.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lyapunov_pkg.workflow.files import (
    PARTIAL,
    damage,
    is_regular_file,
    link_file,
    make_folder,
    take_permissions_from_folder,
    whole_file,
)
from lyapunov_pkg.workflow.locks import file_lock

FOLDERS = ("results", "checkpoints", "users")


def prepare_cache(directory: str | Path, group: str | None = None) -> Path:
    """Make the folders of the cache where they are missing; return its absolute path ("~" is the home folder).

    Args:
        directory: folder of the cache.
        group: name of a group of users who share the cache; by default it is the user's own.

    Raises:
        OSError: the cache cannot be made or read, or exists but is not the group's; the message names the setting.
    """
    path = Path(directory).expanduser().absolute()
    try:
        if not path.exists():
            _make_cache(path, group)
        elif group is not None:
            _check_shared(path, group)
        for name in FOLDERS:
            make_folder(path / name)
    except OSError as error:
        raise OSError(f"cache_directory is {directory}, which cannot be used: {error}") from error
    return path


def _make_cache(path: Path, group: str | None) -> None:
    """Make the folder of the cache, for this user alone or for a group."""
    identifier = None if group is None else _group_identifier(group)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(0o700)
    except FileExistsError:  # another run has just made it
        return
    if identifier is not None:
        os.chown(path, -1, identifier)
        path.chmod(0o2770)


def _check_shared(path: Path, group: str) -> None:
    """Raise an error unless a group can use the folder at `path`: its permissions are not ours to change."""
    found = path.stat()
    if found.st_gid != _group_identifier(group) or stat.S_IMODE(found.st_mode) & 0o2070 != 0o2070:
        raise PermissionError(
            f"cache_group is {group}, but the folder exists and is not that group's; to share it: "
            f"chgrp -R {group} {path}; chmod -R g+rwX {path}; find {path} -type d -exec chmod g+s {{}} +"
        )


def _group_identifier(group: str) -> int:
    """Return the number of a group of users."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(f"cache_group is {group!r}, and there is no such group of users here") from None


def is_writable(cache: Path) -> bool:
    """Return whether results can be kept in the cache, or only be taken from it.

    Raises:
        OSError: the folder cannot be used at all.
    """
    try:
        check_writable(cache / "results")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return False
        raise
    return True


def check_writable(folder: str | Path) -> None:
    """Make a folder if it is missing.

    Raises:
        OSError: it cannot be made, or nothing can be written in it.
    """
    folder = Path(folder).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=PARTIAL):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write in the folder {folder}: {error}") from error


def open_to_everybody(cache: Path) -> str | None:
    """Return a warning if every user of this machine can write into the cache: what they put there would be used."""
    if cache.stat().st_mode & stat.S_IWOTH:
        return f"every user of this machine can change the cache {cache}; to end that: chmod -R o-w {cache}"
    return None


@contextlib.contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """Keep the cache from being pruned meanwhile. One that cannot be written, and was never locked, is not pruned."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(file_lock(cache / "lock", shared=True))
        except OSError as error:
            if os.path.lexists(cache / "lock") or error.errno not in (errno.EACCES, errno.ENOENT, errno.EROFS):
                raise
        yield


def record_user(cache: Path, results: str | Path) -> None:
    """Remember that the folder `results` links to the cache, and on which disk it lies.

    Raises:
        OSError: the record cannot be written; one that was there stays.
    """
    results = Path(results).absolute()
    record = cache / "users" / record_name(results)
    text = record_text(results, _mount_point(results))
    try:
        if is_regular_file(record) and record.read_text() == text:
            return
        with in_use(cache), whole_file(record) as partial:
            partial.write_text(text)
            take_permissions_from_folder(partial)
    except OSError as error:
        raise OSError(error.errno, f"cannot record in {record} that {results} uses the cache: {error}") from error


def record_text(results: Path, mount_point: Path) -> str:
    """Return the content of a record: a folder of results, where its disk is mounted, and the digest of both."""
    text = f"{results}\n{mount_point}\n"
    return text + hashlib.sha256(text.encode()).hexdigest() + "\n"


def record_name(results: Path) -> str:
    """Return the name of the record of a folder of results."""
    return hashlib.sha256(str(results).encode()).hexdigest()[:16]


def _mount_point(path: Path) -> Path:
    """Return the folder at which the disk of `path` is mounted."""
    return next(folder for folder in (path, *path.parents) if os.path.ismount(folder))


def keep(output: Path, entry: Path) -> None:
    """Move a result into the cache, and leave a link to it in its place.

    Raises:
        OSError: the cache cannot be written; the result stays where it is.
    """
    with whole_file(entry) as partial:
        try:
            link_file(partial, output)
        except OSError:  # as on another disk, or another group's: a copy is of the folder's
            shutil.copyfile(output, partial)
            take_permissions_from_folder(partial)
    with whole_file(output) as link:
        link.symlink_to(entry)


def is_damaged(entry: Path) -> bool:
    """Return whether a result of the cache is damaged, and delete it then, saying so on standard error.

    One that is whole counts as used now. One that may not be read is left to whoever takes it.
    """
    if is_regular_file(entry):
        if not os.access(entry, os.R_OK, effective_ids=True):
            return False
        problem = damage(entry)
    else:
        problem = "it is no regular file" if os.path.lexists(entry) else None
    if problem:
        print(f"The cache's {entry} was damaged ({problem}): it is recomputed.", file=sys.stderr)
        with contextlib.suppress(OSError):  # of a cache that can only be read, or another user's folder
            entry.unlink(missing_ok=True)
    else:
        # The time of access says when an entry was last used. That of its content stays: results would look outdated.
        with contextlib.suppress(OSError):
            os.utime(entry, (time.time(), entry.stat().st_mtime))
    return bool(problem)


def delete_damaged_links(cache: Path, results: str | Path) -> None:
    """Check the entries that `results` links to and that were written to after they were linked."""
    for link, entry in links(cache, Path(results)):
        with contextlib.suppress(FileNotFoundError):
            if entry.lstat().st_mtime >= link.lstat().st_mtime and is_damaged(entry):
                link.unlink(missing_ok=True)


def links(cache: Path, results: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (link, entry) for the links below `results` into the cache, whether the entry is there or not.

    Raises:
        FileNotFoundError: there is no such folder.
        OSError: a part of it cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a folder that was deleted meanwhile has no links
            raise error

    results.stat()
    inside = os.path.realpath(cache / "results")
    for folder, folders, names in os.walk(results, onerror=refuse):
        for name in (*folders, *names):
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if path.is_symlink():
                    target = Path(folder, path.readlink())
                    if os.path.realpath(target.parent) == inside:
                        yield path, Path(inside, target.name)
