"""Listing and pruning of the cache. Entries that somebody may use are not deleted.

Command line: `python -m lyapunov_pkg.workflow.pruning list`, and `prune --older-than DAYS` or `--max-size GB`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import stat
import sys
import time
import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lyapunov_pkg.workflow.cache import FOLDERS, links, record_name, record_text
from lyapunov_pkg.workflow.files import PARTIAL, is_regular_file
from lyapunov_pkg.workflow.locks import file_lock, is_locked

DAY = 86_400.0  # seconds
GIGABYTE = 1e9  # bytes
DELETED = ".deleted-"  # beginning of the name of a folder that is being deleted


@dataclass(frozen=True)
class Entry:
    """An entry of the cache: a result, or the checkpoints of one training.

    Attributes:
        path: file or folder.
        description: description of the contents.
        size: size in bytes.
        last_used: time of the last read or write, seconds since 1970.
        in_use: whether a folder of results links to it, or may link to it because it cannot be read, or a training uses
            it.
    """

    path: Path
    description: str
    size: int
    last_used: float
    in_use: bool


def entries(cache: Path) -> list[Entry]:
    """Return the entries of the cache, with the longest unused first."""
    linked, unseen = linked_entries(cache)
    inside = Path(os.path.realpath(cache / "results"))
    found = [result_entry(path, bool(unseen) or path in linked) for path in _visible(inside)]
    found += [checkpoint_entry(path) for path in _visible(cache / "checkpoints")]
    return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.last_used)


def _visible(folder: Path) -> list[Path]:
    """Return the contents of a folder, without files that are being written or deleted."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "tmp")))


def linked_entries(cache: Path) -> tuple[set[Path], list[str]]:
    """Return the results to which folders of results link, and the reasons why some of these folders cannot be read.

    Records of deleted folders are removed if the folder around them is deleted, too.
    """
    linked: set[Path] = set()
    unseen = []
    for record in _visible(cache / "users"):
        try:
            results, mount_point = read_record(record)
        except (OSError, ValueError) as error:
            if os.path.lexists(record):  # otherwise it was removed in the meantime
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
    """Return the folder of results of a record, and the mount point of its disk.

    Raises:
        ValueError: the record is damaged: its name or its digest does not match its content.
        OSError: the record cannot be read.
    """
    text = record.read_text(errors="replace") if is_regular_file(record) else ""
    results, mount_point = (Path(line) for line in [*text.split("\n"), "", ""][:2])
    if text != record_text(results, mount_point) or record_name(results) != record.name:
        raise ValueError(
            f"{record}: the record does not match its name; if the folder of results no longer exists, delete "
            "the record"
        )
    return results, mount_point


def result_entry(path: Path, used: bool) -> Entry | None:
    """Return the entry of a result, or None if it no longer exists."""
    try:
        found = path.lstat()
        description = result_description(path) if is_regular_file(path) else "no regular file"
        with contextlib.suppress(OSError):  # restores the access time, because reading for the listing is not a use
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Entry(path, description, found.st_size, max(found.st_atime, found.st_mtime), used)


def result_description(path: Path) -> str:
    """Return a description of a result, from the attributes of its store."""
    try:
        with zipfile.ZipFile(path) as archive:
            configuration = json.loads(json.loads(archive.read(".zattrs"))["configuration"])
        return str(configuration.get("job") or ", ".join(configuration))
    except Exception as error:  # any file in the folder is listed without an error
        return f"not a store: {type(error).__name__}: {error}"


def checkpoint_entry(path: Path) -> Entry | None:
    """Return the entry of the checkpoints of one training, or None if they no longer exist."""
    found = []
    for folder, _, names in os.walk(path):
        for name in (".", *names):
            with contextlib.suppress(OSError):  # training deletes checkpoints that it no longer needs
                found.append(Path(folder, name).lstat())
    if not found:
        return None
    files = [each for each in found if stat.S_ISREG(each.st_mode)]
    last_used = max(each.st_mtime for each in files or found)
    size = sum(
        each.st_size for each in files if each.st_nlink == 1
    )  # other links belong to results, and are counted there
    return Entry(path, checkpoint_description(path), size, last_used, is_trained(path))


def checkpoint_description(path: Path) -> str:
    """Return a description of the training, as far as the folder has one."""
    about = path / "about.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if is_regular_file(about):
            return f"checkpoints {json.loads(about.read_text())['job']}"
    return "checkpoints"


def checkpoint_locks(path: Path) -> list[Path]:
    """Return the lock files of all trainings that may use a folder of checkpoints."""
    return [path / "lock", *sorted(path.glob("*/lock"))]


def is_trained(path: Path) -> bool:
    """Return whether a training uses a folder of checkpoints, as far as its locks show."""
    try:
        return any(is_locked(lock) for lock in checkpoint_locks(path))
    except OSError:
        return True


def prune(cache: Path, *, older_than: float | None = None, max_size: float | None = None) -> list[Entry]:
    """Delete entries that were not used for a time, and the longest unused ones until the rest is small enough.

    Entries to which a known folder of results links are kept, and so are those that a training uses. No result can be
    read or stored during pruning. If one of the known folders cannot be read, no result is deleted, because the folder
    may link to it. A deleted entry is recomputed when it is needed.

    Args:
        cache: folder of the cache.
        older_than: delete entries that were not used for this many seconds.
        max_size: delete the longest unused entries until at most this many bytes are left. Entries in use are kept.

    Returns:
        The deleted entries.
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
    """Delete the remains of processes that were killed while they stored, recorded or pruned. None may run now."""
    for name in FOLDERS:
        for pattern in ("tmp*", f".*{PARTIAL}", f"{DELETED}*"):
            for path in (cache / name).glob(pattern):
                delete(path)


def delete(path: Path) -> bool:
    """Delete a result or a folder of checkpoints, and return whether it no longer exists.

    If a training has just begun to use the folder, it is kept. Files that another user protects are also kept.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            with contextlib.ExitStack() as locks:
                for lock in checkpoint_locks(path) if path.parent.name == "checkpoints" else ():
                    locks.enter_context(file_lock(lock, wait=False))
                # A later training creates a new folder.
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
    """Return a listing of entries: size, days since the last use, whether in use, description, name."""
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
    parser = argparse.ArgumentParser(prog="python -m lyapunov_pkg.workflow.pruning", description=main.__doc__)
    parser.add_argument("command", choices=["list", "prune"])
    parser.add_argument("--directory", help="the cache; default: cache_directory of config.yaml in the current folder")
    parser.add_argument(
        "--older-than", type=float, metavar="DAYS", help="prune entries that were not used for this many days"
    )
    parser.add_argument(
        "--max-size", type=float, metavar="GB", help="prune the longest unused entries down to this size"
    )
    options = parser.parse_args(arguments)
    if options.directory is None:
        if not Path("config.yaml").is_file():
            parser.error("there is no config.yaml with cache_directory in the current folder: give --directory")
        options.directory = yaml.safe_load(Path("config.yaml").read_text())["cache_directory"]
    cache = Path(options.directory).expanduser()
    if not (cache / "results").is_dir():
        parser.error(f"there is no cache at {cache}")
    _, unseen = linked_entries(cache)
    for reason in unseen:
        print(f"no result is pruned, because a folder that may use it cannot be read: {reason}", file=sys.stderr)
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
