"""Files that appear complete or not at all, with checksums against damage and the permissions of their folder.

A *sealed* file is a zip file whose comment, at its end, is the SHA-256 of everything before it. Programs that read zip
files can read sealed files. `damage` detects every changed, missing or added byte. The checksums inside a zip file
cover only its members, not its table of contents.
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

PARTIAL = ".partial"  # end of a file's name while it is being written
SEAL = b"sha256:"
DIGEST_LENGTH = 64  # hexadecimal digits of SHA-256
READ_AT_ONCE = 1 << 20  # bytes


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path for writing, so that the file appears at `path` complete or not at all."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def remove_partial_files(directory: str | Path) -> None:
    """Delete files that `whole_file` left below `directory` in killed processes. No process may be writing there."""
    for partial in Path(directory).rglob(f".*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def seal(path: Path) -> None:
    """Write the SHA-256 of a zip file at its end. The same content gives the same bytes.

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
    """Return the damage of the sealed file at `path`, or None if it has not changed since it was sealed.

    Raises:
        PermissionError: the file may not be read.
    """
    try:
        with path.open("rb") as file:
            return damage_in(file)
    except PermissionError:
        raise
    except OSError as error:  # for example a disk error
        return f"{type(error).__name__}: {error}"


def damage_in(file: BinaryIO) -> str | None:
    """Return the damage of an open sealed file, or None; see `damage`."""
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
    """Return whether `path` is a regular file: not a folder, and not a link, which another user may have created."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def make_folder(path: Path) -> None:
    """Create a folder with the permissions of the folder above it. An existing folder is not changed.

    Raises:
        NotADirectoryError: `path` is a link or a file. Links are not followed, because another user may have created
            them.
        OSError: the folder cannot be created.
    """
    try:
        path.mkdir(0o700)
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise NotADirectoryError(f"{path} is a link or a file; expected a folder") from None
    else:
        take_permissions_from_folder(path)


def link_file(path: Path, existing: Path) -> None:
    """Create a hard link `path` to an existing file, with the permissions of its folder.

    Raises:
        OSError: the link is impossible, for example on another disk, or the file and the folder belong to different
            groups.
    """
    if existing.stat().st_gid != path.parent.stat().st_gid:
        raise OSError(f"{existing}: got a file of another group than that of {path.parent}, expected the same group")
    path.hardlink_to(existing)
    take_permissions_from_folder(path)


def take_permissions_from_folder(path: Path) -> None:
    """Give a file that this process has just created the permissions of its folder. Only the group may also write.

    Files of other users are not changed, and links are not followed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        made = os.fstat(descriptor)
        if made.st_uid == os.geteuid():
            folder = path.parent.stat()
            shared = stat.S_IMODE(folder.st_mode) & (0o2775 if stat.S_ISDIR(made.st_mode) else 0o664)
            with contextlib.suppress(PermissionError):  # on file systems without permissions
                os.fchmod(descriptor, shared | stat.S_IMODE(made.st_mode) & 0o700)
    finally:
        os.close(descriptor)
