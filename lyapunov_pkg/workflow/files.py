"""Files that appear whole or not at all, that notice any damage, and that others may use as their folder says.

A *sealed* file is a zip file that ends with the SHA-256 of everything before it, as the comment that zip files may
have. Programs that read zip files read sealed ones, and `damage` notices every changed, missing or added byte: the
checksums within a zip file cover its members alone, not its table of contents.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"  # how the name of a file ends while it is being written
SEAL = b"sha256:"
DIGEST_LENGTH = 64  # hexadecimal digits of SHA-256
READ_AT_ONCE = 1 << 20  # bytes


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield the path to write to, so that the file appears at `path` whole or not at all."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def remove_partial_files(directory: str | Path) -> None:
    """Delete what `whole_file` left below `directory` in processes that were killed; nobody may be writing there."""
    for partial in Path(directory).rglob(f".*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def seal(path: Path) -> None:
    """Write the SHA-256 of a zip file at its end; the same content gives the same bytes.

    Raises:
        OSError: the file cannot be written.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = SEAL + b"0" * DIGEST_LENGTH
    with path.open("r+b") as file:
        digest = _digest_before_the_end(file)
        file.seek(-DIGEST_LENGTH, os.SEEK_END)
        file.write(digest)


def damage(path: Path) -> str | None:
    """Return what is wrong with the sealed file at `path`, or None if all of it is as it was when it was sealed.

    Raises:
        PermissionError: the file may not be read.
    """
    try:
        with path.open("rb") as file:
            return damage_in(file)
    except PermissionError:
        raise
    except OSError as error:  # such as a disk that cannot read it
        return f"{type(error).__name__}: {error}"


def damage_in(file: BinaryIO) -> str | None:
    """Return what is wrong with the open sealed file, or None; see `damage`."""
    if file.seek(0, os.SEEK_END) < len(SEAL) + DIGEST_LENGTH:
        return "it is shorter than its checksum"
    digest = _digest_before_the_end(file)
    file.seek(-len(SEAL) - DIGEST_LENGTH, os.SEEK_END)
    ending = file.read()
    if not ending.startswith(SEAL):
        return "it does not end with its checksum"
    return None if ending[len(SEAL) :] == digest else "its checksum is wrong"


def _digest_before_the_end(file: BinaryIO) -> bytes:
    """Return the SHA-256 of an open file without its last `DIGEST_LENGTH` bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    left = file.seek(0, os.SEEK_END) - DIGEST_LENGTH
    file.seek(0)
    while left > 0 and (chunk := file.read(min(left, READ_AT_ONCE))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest().encode()


def is_regular_file(path: Path) -> bool:
    """Return whether a file lies at `path` itself: no link, which somebody else may have put there, and no folder."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def make_folder(path: Path) -> None:
    """Make a folder that others may use as they may use the folder above it. One that is there stays as it is.

    Raises:
        NotADirectoryError: a link or a file is there. Links are not followed: somebody else may have put them there.
        OSError: the folder cannot be made.
    """
    try:
        path.mkdir(0o700)
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise NotADirectoryError(f"{path} is a link or a file; expected a folder") from None
    else:
        take_permissions_from_folder(path)


def link_file(path: Path, existing: Path) -> None:
    """Give an existing file a second name, `path`, under which others may use it as the folder says.

    Raises:
        OSError: it cannot have one there, as on another disk, or it is another group's than the folder.
    """
    if existing.stat().st_gid != path.parent.stat().st_gid:
        raise OSError(f"{existing} is another group's than {path.parent}")
    path.hardlink_to(existing)
    take_permissions_from_folder(path)


def take_permissions_from_folder(path: Path) -> None:
    """Let others use what this process has just made as they may use its folder; nobody else but the group may write.

    Nothing that another user made is changed, and no link is followed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        made = os.fstat(descriptor)
        if made.st_uid == os.geteuid():
            folder = path.parent.stat()
            shared = stat.S_IMODE(folder.st_mode) & (0o2775 if stat.S_ISDIR(made.st_mode) else 0o664)
            with contextlib.suppress(PermissionError):  # of file systems that have no permissions
                os.fchmod(descriptor, shared | stat.S_IMODE(made.st_mode) & 0o700)
    finally:
        os.close(descriptor)
