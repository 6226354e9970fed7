"""The cache of results and checkpoints that clones, branches and users share: what is in it, and pruning it.

Layout of the folder:

- `results/`: one file for each result, named by the digest of all that it depends on. Snakemake writes and reads them.
- `checkpoints/`: one folder for each way of training, named likewise (`reproduction.training.checkpoints`).
- `users/`: the folders of results that link here, one file each.
- `lock`: held while a result is taken or stored, and alone while the cache is pruned.

Command line: `python -m lyapunov_pkg.workflow.cache list`, and `prune --older-than DAYS` or `--max-size GB`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lyapunov_pkg.workflow.locks import file_lock, share
from lyapunov_pkg.workflow.store import damage

DAY = 86_400.0  # seconds
GIGABYTE = 1e9  # bytes


@dataclass(frozen=True)
class Entry:
    """A result or the checkpoints of one way of training.

    Attributes:
        path: file or folder.
        description: what it is.
        size: bytes.
        last_used: when it was last taken or written, seconds since 1970.
        in_use: linked from a folder of results, or being trained.
    """

    path: Path
    description: str
    size: int
    last_used: float
    in_use: bool


def prepare_cache(directory: str | Path) -> Path:
    """Make the folders of the cache where they are missing; return its absolute path ("~" is the home folder).

    Raises:
        OSError: the cache cannot be made or written; the message names the setting.
    """
    path = Path(directory).expanduser().absolute()
    try:
        for folder in (path, path / "results", path / "checkpoints", path / "users"):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                share(folder)
        check_writable(path / "results")
    except OSError as error:
        raise OSError(f"cache_directory is {directory}, which cannot be used: {error}") from error
    return path


def check_writable(folder: str | Path) -> None:
    """Make a folder if it is missing.

    Raises:
        OSError: it cannot be made, or nothing can be written in it.
    """
    folder = Path(folder).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write in the folder {folder}: {error}") from error


@contextlib.contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """Keep the cache from being pruned meanwhile."""
    with file_lock(cache / "lock", shared=True):
        yield


def record_user(cache: Path, results: str | Path) -> None:
    """Remember that the folder `results` links to the cache."""
    results = Path(results).absolute()
    record = cache / "users" / hashlib.sha256(str(results).encode()).hexdigest()[:16]
    if not record.exists():
        record.write_text(f"{results}\n")


def take_out_if_damaged(entry: Path) -> bool:
    """Delete a result from the cache if it is damaged, saying so on standard error; else note that it is used now."""
    if not os.access(entry, os.R_OK):  # which whoever takes it will say
        return False
    problem = damage(entry)
    if problem:
        entry.unlink(missing_ok=True)
        print(f"The cache's {entry} was damaged ({problem}): made anew.", file=sys.stderr)
    else:
        # The time of access says when an entry was last used. That of its content stays: results would look outdated.
        with contextlib.suppress(PermissionError):
            os.utime(entry, (time.time(), entry.stat().st_mtime))
    return bool(problem)


def take_out_damaged_links(cache: Path, results: str | Path) -> None:
    """Check the cache's entries that `results` links to and that were written to after they were linked."""
    for link, entry in links(cache, Path(results)):
        if entry.exists() and entry.stat().st_mtime >= link.lstat().st_mtime:
            take_out_if_damaged(entry)


def links(cache: Path, results: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (link, entry) for the links below `results` into the cache."""
    inside = (cache / "results").resolve()
    for folder, _, names in os.walk(results):
        for name in names:
            path = Path(folder, name)
            if path.is_symlink() and (entry := path.resolve()).parent == inside:
                yield path, entry


def entries(cache: Path) -> list[Entry]:
    """Return what is in the cache, the longest unused first."""
    linked = {entry for results in users(cache) for _, entry in links(cache, results)}
    found = [result_entry(path, linked) for path in (cache / "results").resolve().glob("*") if path.is_file()]
    found += [checkpoint_entry(path) for path in (cache / "checkpoints").glob("*") if path.is_dir()]
    return sorted(found, key=lambda entry: entry.last_used)


def users(cache: Path) -> list[Path]:
    """Return the folders of results that link to the cache; those that are gone are forgotten."""
    found = []
    for record in (cache / "users").iterdir():
        results = Path(record.read_text().strip())
        if results.is_dir():
            found.append(results)
        elif not results.parent.is_dir():
            record.unlink(missing_ok=True)
    return found


def result_entry(path: Path, linked: set[Path]) -> Entry:
    """Describe a result."""
    stat = path.stat()
    description = result_description(path)
    with contextlib.suppress(OSError):  # reading it for the listing was no use of it
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return Entry(path, description, stat.st_size, max(stat.st_atime, stat.st_mtime), path in linked)


def result_description(path: Path) -> str:
    """Return what a result is, from the attributes of its store."""
    try:
        with zipfile.ZipFile(path) as archive:
            configuration = json.loads(json.loads(archive.read(".zattrs"))["configuration"])
        return str(configuration.get("job") or ", ".join(configuration))
    except Exception as error:  # whatever lies in the folder is listed, not an error
        return f"not a store: {type(error).__name__}: {error}"


def checkpoint_entry(path: Path) -> Entry:
    """Describe the checkpoints of one way of training."""
    stats = [file.stat() for file in path.rglob("*") if file.is_file()]
    about = path / "about.json"
    description = "checkpoints " + json.loads(about.read_text())["job"] if about.exists() else "checkpoints"
    return Entry(
        path,
        description,
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime for stat in stats), default=path.stat().st_mtime),
        any(is_locked(lock) for lock in path.rglob("lock")),
    )


def is_locked(lock: Path) -> bool:
    """Return whether another process holds a lock."""
    try:
        with file_lock(lock, wait=False):
            return False
    except BlockingIOError:
        return True


def prune(cache: Path, *, older_than: float | None = None, max_size: float | None = None) -> list[Entry]:
    """Delete what has not been used for a time, and the longest unused until the rest is small enough.

    What is linked from a folder of results that is known to use the cache stays, as does what is being trained; nothing
    is taken or stored meanwhile. A deleted entry is made anew when it is needed.

    Args:
        cache: folder of the cache.
        older_than: delete what has not been used for this many seconds.
        max_size: delete the longest unused until at most this many bytes are left, as far as what is in use allows.

    Returns:
        What was deleted.
    """
    deleted = []
    with file_lock(cache / "lock"):
        for unfinished in (cache / "results").glob("tmp*"):  # of a process that was killed while it stored a result
            shutil.rmtree(unfinished, ignore_errors=True)
        everything = entries(cache)
        size = sum(entry.size for entry in everything)
        for entry in everything:
            old = older_than is not None and time.time() - entry.last_used > older_than
            too_much = max_size is not None and size > max_size
            if (old or too_much) and not entry.in_use and delete(entry):
                size -= entry.size
                deleted.append(entry)
    return deleted


def delete(entry: Entry) -> bool:
    """Delete an entry, unless somebody has just begun to train there; return whether it is gone."""
    if entry.path.is_file():
        entry.path.unlink(missing_ok=True)
        return True
    try:
        with contextlib.ExitStack() as locks:
            for lock in entry.path.rglob("lock"):
                locks.enter_context(file_lock(lock, wait=False))
            shutil.rmtree(entry.path)
        return True
    except BlockingIOError:
        return False


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
    if options.command == "list":
        print(table(entries(cache)))
        return
    if options.older_than is None and options.max_size is None:
        parser.error("prune needs --older-than or --max-size")
    deleted = prune(
        cache,
        older_than=None if options.older_than is None else options.older_than * DAY,
        max_size=None if options.max_size is None else options.max_size * GIGABYTE,
    )
    print("deleted:\n" + table(deleted))


if __name__ == "__main__":
    main()
