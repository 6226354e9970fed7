"""The cache of results and checkpoints, which clones and branches share, and optionally several users.

Layout of the folder:

- `results/`: one file per result. Its name is the digest of everything on which the result depends.
- `checkpoints/`: one folder per training, named in the same way (`reproduction.training.checkpoints`). A training holds
  the `lock` in its folder as a shared lock.
- `users/`: one file for each folder of results that links to the cache.
- `lock`: held as a shared lock while a result is read or stored, and exclusively during pruning.

The folder is created for its owner only, or for a group. New files in it get the permissions of the folder. Permissions
of existing files are not changed. Links in the folder are not followed.

`lyapunov_pkg.workflow.pruning` lists the contents, and deletes entries that nobody uses.
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
    """Create the missing folders of the cache, and return its absolute path ("~" is the home folder).

    Args:
        directory: folder of the cache.
        group: name of a group of users who share the cache. By default only the user can use it.

    Raises:
        OSError: the cache cannot be created or read, or exists but does not belong to the group. The message names the
            setting.
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
    """Create the folder of the cache, for this user only or for a group."""
    identifier = None if group is None else _group_identifier(group)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(0o700)
    except FileExistsError:  # another run has just created it
        return
    if identifier is not None:
        os.chown(path, -1, identifier)
        path.chmod(0o2770)


def _check_shared(path: Path, group: str) -> None:
    """Raise an error unless a group can use the folder at `path`. Its permissions are not changed."""
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
    """Return whether results can be stored in the cache, or only be read from it.

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
    """Create a folder if it is missing, and check that files can be written in it.

    Raises:
        OSError: the folder cannot be created, or files cannot be written in it.
    """
    folder = Path(folder).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=PARTIAL):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot write in the folder {folder}: {error}") from error


def open_to_everybody(cache: Path) -> str | None:
    """Return a warning if every user of this machine can write into the cache, because their files would be used."""
    if cache.stat().st_mode & stat.S_IWOTH:
        return f"every user of this machine can change the cache {cache}; to end that: chmod -R o-w {cache}"
    return None


@contextlib.contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """Prevent pruning of the cache inside this context. A read-only cache that was never locked is not pruned."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(file_lock(cache / "lock", shared=True))
        except OSError as error:
            if os.path.lexists(cache / "lock") or error.errno not in (errno.EACCES, errno.ENOENT, errno.EROFS):
                raise
        yield


def record_user(cache: Path, results: str | Path) -> None:
    """Record that the folder `results` links to the cache, and on which disk it is.

    Raises:
        OSError: the record cannot be written. An earlier record is kept.
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
    """Return the content of a record: a folder of results, the mount point of its disk, and the digest of both."""
    text = f"{results}\n{mount_point}\n"
    return text + hashlib.sha256(text.encode()).hexdigest() + "\n"


def record_name(results: Path) -> str:
    """Return the name of the record of a folder of results."""
    return hashlib.sha256(str(results).encode()).hexdigest()[:16]


def _mount_point(path: Path) -> Path:
    """Return the folder at which the disk of `path` is mounted."""
    return next(folder for folder in (path, *path.parents) if os.path.ismount(folder))


def keep(output: Path, entry: Path) -> None:
    """Move a result into the cache, and replace it by a link.

    Raises:
        OSError: the cache cannot be written. The result then stays in its place.
    """
    with whole_file(entry) as partial:
        try:
            link_file(partial, output)
        except OSError:  # for example on another disk, or with another group; a copy gets the folder's group
            shutil.copyfile(output, partial)
            take_permissions_from_folder(partial)
    with whole_file(output) as link:
        link.symlink_to(entry)


def is_damaged(entry: Path) -> bool:
    """Return whether a result of the cache is damaged. A damaged result is deleted, with a message on standard error.

    An intact result counts as used now. A result without permission to read is not checked.
    """
    if is_regular_file(entry):
        if not os.access(entry, os.R_OK, effective_ids=True):
            return False
        problem = damage(entry)
    else:
        problem = "it is no regular file" if os.path.lexists(entry) else None
    if problem:
        print(f"The cache's {entry} was damaged ({problem}): it is recomputed.", file=sys.stderr)
        with contextlib.suppress(OSError):  # in a read-only cache, or in the folder of another user
            entry.unlink(missing_ok=True)
    else:
        # The access time records when an entry was last used. The modification time must not change, or results would
        # look outdated.
        with contextlib.suppress(OSError):
            os.utime(entry, (time.time(), entry.stat().st_mtime))
    return bool(problem)


def delete_damaged_links(cache: Path, results: str | Path) -> None:
    """Check the entries that `results` links to and that changed after the link was made."""
    for link, entry in links(cache, Path(results)):
        with contextlib.suppress(FileNotFoundError):
            if entry.lstat().st_mtime >= link.lstat().st_mtime and is_damaged(entry):
                link.unlink(missing_ok=True)


def links(cache: Path, results: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (link, entry) for the links below `results` into the cache, also if the entry does not exist.

    Raises:
        FileNotFoundError: there is no such folder.
        OSError: a part of the folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a folder that was deleted in the meantime has no links
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
