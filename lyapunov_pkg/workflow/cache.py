"""The cache of results and checkpoints that clones and branches share, and users who want to: what is in it, pruning.

Layout of the folder:

- `results/`: one file for each result, named by the digest of all that it depends on.
- `checkpoints/`: one folder for each way of training, named likewise (`reproduction.training.checkpoints`). Who trains
  there holds its `lock`, shared.
- `users/`: the folders of results that link here, one file each.
- `lock`: held, shared, while a result is taken or stored, and alone while the cache is pruned.

The folder is made for its owner alone, or for a group. What is made in it later can be used as the folder itself can,
and nothing that is there already changes its permissions. Links in it are not followed.

Command line: `python -m lyapunov_pkg.workflow.cache list`, and `prune --older-than DAYS` or `--max-size GB`.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import grp
import hashlib
import json
import math
import os
import shutil
import stat
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lyapunov_pkg.workflow.files import (
    PARTIAL,
    damage,
    is_regular_file,
    make_folder,
    take_permissions_from_folder,
    whole_file,
)
from lyapunov_pkg.workflow.locks import file_lock, is_locked

DAY = 86_400.0  # seconds
GIGABYTE = 1e9  # bytes
FOLDERS = ("results", "checkpoints", "users")
DELETED = ".deleted-"  # how the name of a folder begins that is being deleted


@dataclass(frozen=True)
class Entry:
    """A result or the checkpoints of one way of training.

    Attributes:
        path: file or folder.
        description: what it is.
        size: bytes.
        last_used: when it was last taken or written, seconds since 1970.
        in_use: linked from a folder of results, or from one that cannot be seen; or being trained.
    """

    path: Path
    description: str
    size: int
    last_used: float
    in_use: bool


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
    text = f"{results}\n{_mount_point(results)}\n"
    try:
        if is_regular_file(record) and record.read_text() == text:
            return
        with in_use(cache), whole_file(record) as partial:
            partial.write_text(text)
            take_permissions_from_folder(partial)
    except OSError as error:
        raise OSError(error.errno, f"cannot record in {record} that {results} uses the cache: {error}") from error


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
            if output.stat().st_gid != entry.parent.stat().st_gid:
                raise OSError("another group: a copy is of the folder's")
            partial.hardlink_to(output)
        except OSError:  # as on another disk
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


def entries(cache: Path) -> list[Entry]:
    """Return what is in the cache, the longest unused first."""
    linked, unseen = linked_entries(cache)
    inside = Path(os.path.realpath(cache / "results"))
    found = [result_entry(path, bool(unseen) or path in linked) for path in _visible(inside)]
    found += [checkpoint_entry(path) for path in _visible(cache / "checkpoints")]
    return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.last_used)


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder, without what is being written or deleted."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "tmp")))


def linked_entries(cache: Path) -> tuple[set[Path], list[str]]:
    """Return the results that are linked from folders of results, and why some of those folders cannot be seen.

    Folders that are gone, with the folder around them, are forgotten.
    """
    linked: set[Path] = set()
    unseen = []
    for record in _visible(cache / "users"):
        try:
            results, mount_point = read_record(record)
        except (OSError, ValueError) as error:
            if os.path.lexists(record):  # else it was forgotten meanwhile
                unseen.append(str(error))
            continue
        try:
            linked.update(entry for _, entry in links(cache, results))
        except FileNotFoundError:
            if not os.path.ismount(mount_point):
                unseen.append(f"{results} is not there, and neither is its disk, {mount_point}")
            elif not results.parent.is_dir():
                with contextlib.suppress(OSError):
                    record.unlink(missing_ok=True)
        except OSError as error:
            unseen.append(str(error))
    return linked, unseen


def read_record(record: Path) -> tuple[Path, Path]:
    """Return the folder of results that a record stands for, and where its disk is mounted.

    Raises:
        ValueError: the record is damaged: its name does not belong to what it says.
        OSError: it cannot be read.
    """
    lines = record.read_text(errors="replace").splitlines() if is_regular_file(record) else []
    if len(lines) not in (1, 2) or record_name(Path(lines[0])) != record.name:
        raise ValueError(f"{record} does not say which folder it stands for; if that folder is gone, delete the record")
    return Path(lines[0]), Path(lines[-1] if len(lines) == 2 else "/")


def result_entry(path: Path, used: bool) -> Entry | None:
    """Describe a result; None if it is gone."""
    try:
        found = path.lstat()
        description = result_description(path) if is_regular_file(path) else "no regular file"
        with contextlib.suppress(OSError):  # reading it for the listing was no use of it
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Entry(path, description, found.st_size, max(found.st_atime, found.st_mtime), used)


def result_description(path: Path) -> str:
    """Return what a result is, from the attributes of its store."""
    try:
        with zipfile.ZipFile(path) as archive:
            configuration = json.loads(json.loads(archive.read(".zattrs"))["configuration"])
        return str(configuration.get("job") or ", ".join(configuration))
    except Exception as error:  # whatever lies in the folder is listed, not an error
        return f"not a store: {type(error).__name__}: {error}"


def checkpoint_entry(path: Path) -> Entry | None:
    """Describe the checkpoints of one way of training; None if they are gone."""
    found = []
    for folder, _, names in os.walk(path):
        for name in (".", *names):
            with contextlib.suppress(OSError):  # training deletes what it needs no more
                found.append(Path(folder, name).lstat())
    if not found:
        return None
    files = [each for each in found if stat.S_ISREG(each.st_mode)]
    last_used = max(each.st_mtime for each in files or found)
    return Entry(path, checkpoint_description(path), sum(each.st_size for each in files), last_used, is_trained(path))


def checkpoint_description(path: Path) -> str:
    """Return what was trained, as far as the folder says."""
    about = path / "about.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if is_regular_file(about):
            return f"checkpoints {json.loads(about.read_text())['job']}"
    return "checkpoints"


def checkpoint_locks(path: Path) -> list[Path]:
    """Return the lock files of everyone who may be training in a folder of checkpoints."""
    return [path / "lock", *sorted(path.glob("*/lock"))]


def is_trained(path: Path) -> bool:
    """Return whether somebody trains in a folder of checkpoints, as far as can be seen."""
    try:
        return any(is_locked(lock) for lock in checkpoint_locks(path))
    except OSError:
        return True


def prune(cache: Path, *, older_than: float | None = None, max_size: float | None = None) -> list[Entry]:
    """Delete what has not been used for a time, and the longest unused until the rest is small enough.

    What is linked from a folder of results that is known to use the cache stays, as does what is being trained; no
    result is taken or stored meanwhile. If one of those folders cannot be seen, no result is deleted, since it may be
    linked from there. A deleted entry is recomputed when it is needed.

    Args:
        cache: folder of the cache.
        older_than: delete what has not been used for this many seconds.
        max_size: delete the longest unused until at most this many bytes are left, as far as what is in use allows.

    Returns:
        What was deleted.
    """
    deleted = []
    with file_lock(cache / "lock"):
        _delete_unfinished(cache)
        everything = entries(cache)
        size = sum(entry.size for entry in everything)
        for entry in everything:
            old = older_than is not None and time.time() - entry.last_used > older_than
            too_much = max_size is not None and size > max_size
            if (old or too_much) and not entry.in_use and delete(entry.path):
                size -= entry.size
                deleted.append(entry)
    return deleted


def _delete_unfinished(cache: Path) -> None:
    """Delete what killed processes left that were storing, recording or pruning; nobody may be doing so now."""
    for name in FOLDERS:
        for pattern in ("tmp*", f".*{PARTIAL}", f"{DELETED}*"):
            for path in (cache / name).glob(pattern):
                delete(path)


def delete(path: Path) -> bool:
    """Delete a result or a folder of checkpoints; return whether it is gone.

    Somebody who has just begun to train keeps the folder, and what another user does not let us delete stays.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            with contextlib.ExitStack() as locks:
                for lock in checkpoint_locks(path) if path.parent.name == "checkpoints" else ():
                    locks.enter_context(file_lock(lock, wait=False))
                # Whoever wants to train there from now on begins a new folder.
                gone = path.rename(path.with_name(f"{DELETED}{uuid.uuid4().hex[:8]}"))
            shutil.rmtree(gone)
        else:
            path.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        print(f"{path} stays: {error}", file=sys.stderr)
        return False
    return True


def table(listed: Sequence[Entry]) -> str:
    """Return a listing: size, days since last use, whether in use, what it is, name."""
    now = time.time()
    lines = [f"{'size':>10}  {'unused':>9}  {'':6}  what"]
    for entry in listed:
        used = "in use" if entry.in_use else ""
        days = (now - entry.last_used) / DAY
        lines.append(
            f"{entry.size / 1e6:7.2f} MB  {days:4.1f} days  {used:6}  {entry.description}  ({entry.path.name[:12]})"
        )
    lines.append(f"{len(listed)} entries, {sum(entry.size for entry in listed) / 1e6:.2f} MB")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: list the cache, or prune it."""
    parser = argparse.ArgumentParser(prog="python -m lyapunov_pkg.workflow.cache", description=main.__doc__)
    parser.add_argument("command", choices=["list", "prune"])
    parser.add_argument("--directory", help="the cache; default: cache_directory of config.yaml in the current folder")
    parser.add_argument("--older-than", type=float, metavar="DAYS", help="prune what was not used for so many days")
    parser.add_argument("--max-size", type=float, metavar="GB", help="prune the longest unused down to this size")
    options = parser.parse_args(arguments)
    if options.directory is None:
        if not Path("config.yaml").is_file():
            parser.error("there is no config.yaml here that says where the cache is: give --directory")
        options.directory = yaml.safe_load(Path("config.yaml").read_text())["cache_directory"]
    cache = Path(options.directory).expanduser()
    if not (cache / "results").is_dir():
        parser.error(f"there is no cache at {cache}")
    _, unseen = linked_entries(cache)
    for reason in unseen:
        print(f"no result is pruned, since what uses it cannot be seen: {reason}", file=sys.stderr)
    if options.command == "list":
        print(table(entries(cache)))
        return
    limits = [limit for limit in (options.older_than, options.max_size) if limit is not None]
    if not limits:
        parser.error("prune needs --older-than or --max-size")
    if not all(limit >= 0 and math.isfinite(limit) for limit in limits):
        parser.error(f"--older-than and --max-size are {options.older_than} and {options.max_size}; expected 0 or more")
    deleted = prune(
        cache,
        older_than=None if options.older_than is None else options.older_than * DAY,
        max_size=None if options.max_size is None else options.max_size * GIGABYTE,
    )
    print("deleted:\n" + table(deleted))


if __name__ == "__main__":
    main()
