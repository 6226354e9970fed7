"""Download a data file once: with resume, several mirrors and a checksum.

The checksum is the sha256 of the *uncompressed* content. Mirrors pack the same data into different gzip members (other
compression levels, other time stamps), so the bytes of the .gz file itself say nothing about the data.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lyapunov_pkg.reproduction.tasks.content import content_sha256

CHUNK_SIZE = 1 << 16  # bytes
CONNECTIONS_PER_MIRROR = 5  # each one must add to what the one before it left
SECONDS_BETWEEN_REPORTS = 5.0


class DownloadError(OSError):
    """A mirror, or every mirror, did not deliver the file."""


# The mirror's fault, so that the next one is worth a try. A full disk or a missing permission is not among them.
MIRROR_ERRORS = (
    DownloadError,
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


@dataclass(frozen=True)
class _PartialFile:
    """NAME.part, and beside it NAME.part.url: the bytes of one mirror cannot be continued with those of another."""

    path: Path

    @property
    def url_path(self) -> Path:
        return self.path.with_name(self.path.name + ".url")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def size_from(self, url: str) -> int:
        return self.size() if self.url_path.exists() and self.url_path.read_text(encoding="utf-8") == url else 0

    def start(self, url: str) -> None:
        self.path.write_bytes(b"")
        self.url_path.write_text(url, encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.url_path.unlink(missing_ok=True)


def fetch(
    name: str,
    mirrors: Sequence[str],
    sha256: str,
    directory: Path,
    *,
    timeout: float = 60.0,
    progress: Callable[[str], None] = print,
) -> Path:
    """Return `directory / name`, downloaded unless it is there already with the right content.

    A download grows in NAME.part and is moved into place only when its content is right. It continues where a cut
    connection, or an earlier call, left it. A file in place, right or wrong, is never removed: only replaced by a
    verified one.

    Args:
        name: file name, on the mirrors and in the directory.
        mirrors: addresses (http or https) of folders that hold the file, tried in order.
        sha256: hexadecimal checksum of the uncompressed content (of the file itself if it is not gzip).
        directory: where the file is kept; made if it is missing.
        timeout: seconds without an answer after which a mirror is given up.
        progress: called with one line of text at a time.

    Raises:
        ValueError: no mirrors, or one that is neither http nor https.
        DownloadError: no mirror delivered the file; lists each mirror's reason.
    """
    target = Path(directory) / name
    reasons = []
    if target.exists():
        problem = _content_problem(target, sha256)
        if problem is None:
            return target
        reasons.append(f"{target}, in place and kept: {problem}")
    _check_mirrors(name, mirrors)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _PartialFile(target.with_name(name + ".part"))
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        try:
            _download(url, partial, sha256, timeout, progress)
        except MIRROR_ERRORS as error:
            reasons.append(f"{url}: {error}")
            progress(f"failed: {reasons[-1]}")
            continue
        partial.path.replace(target)
        partial.discard()
        progress(f"{target}: downloaded and verified")
        return target
    raise DownloadError(f"no mirror delivered {name} (into {directory}):\n  " + "\n  ".join(reasons))


def _check_mirrors(name: str, mirrors: Sequence[str]) -> None:
    if not mirrors:
        raise ValueError(f"{name} must be downloaded, but mirrors is empty; expected at least one http(s) address")
    for mirror in mirrors:
        if not mirror.startswith(("http://", "https://")):
            raise ValueError(f"mirror {mirror!r} is not an address; expected one that starts with http:// or https://")


def _content_problem(path: Path, sha256: str) -> str | None:
    try:
        found = content_sha256(path)
    except ValueError as error:
        return str(error)
    if found != sha256:
        size = path.stat().st_size
        return f"wrong checksum: found content with sha256 {found} (file of {size} bytes), expected {sha256}"
    return None


def _download(url: str, partial: _PartialFile, sha256: str, timeout: float, progress: Callable[[str], None]) -> None:
    """Complete the partial file from one mirror and check it."""
    progress(f"downloading {url}")
    resumed = _receive_all(url, partial, timeout, progress)
    problem = _content_problem(partial.path, sha256)
    if problem and resumed:
        progress(f"{partial.path}: {problem}; downloading it anew, for the mirror's file may have changed in between")
        partial.discard()
        _receive_all(url, partial, timeout, progress)
        problem = _content_problem(partial.path, sha256)
    if problem:
        partial.discard()
        raise DownloadError(problem)


def _receive_all(url: str, partial: _PartialFile, timeout: float, progress: Callable[[str], None]) -> bool:
    """Connect until the file is complete, as long as each connection adds to it. Returns whether it was resumed."""
    resumed = False
    for connection in range(1, CONNECTIONS_PER_MIRROR + 1):
        size = partial.size_from(url)
        resumed = resumed or size > 0
        try:
            _receive(url, partial, size, timeout, progress)
            break
        except MIRROR_ERRORS as error:
            if connection == CONNECTIONS_PER_MIRROR or partial.size_from(url) <= size:
                raise
            progress(f"{url}: {error}; resuming after {_mebibytes(partial.size())}")
    return resumed


def _receive(url: str, partial: _PartialFile, size: int, timeout: float, progress: Callable[[str], None]) -> None:
    """Append what one connection delivers to the `size` bytes at hand, or start over if the mirror cannot resume."""
    headers = {"User-Agent": "lyapunov_pkg"} | ({"Range": f"bytes={size}-"} if size else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if size and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # every byte is here already; the checksum decides
        raise DownloadError(f"HTTP {error.code} {error.reason}") from None
    with response:
        content_range = response.headers.get("Content-Range", "")
        if response.status == http.HTTPStatus.OK:
            partial.start(url)
            size = 0
        elif not content_range.startswith(f"bytes {size}-"):
            raise DownloadError(f"asked for bytes {size}-, answered HTTP {response.status} {content_range!r}")
        _append(response, partial, size, progress)


def _append(
    response: http.client.HTTPResponse, partial: _PartialFile, size: int, progress: Callable[[str], None]
) -> None:
    """Copy the body to the end of the partial file, with a line of progress every few seconds."""
    total = size + response.length if response.length is not None else None  # unknown if the body comes in chunks
    reported = time.monotonic()
    with partial.path.open("ab") as file:
        # read1 hands over what has arrived, so that a stall or a cut loses none of it
        while chunk := response.read1(CHUNK_SIZE if total is None else min(CHUNK_SIZE, total - size)):
            file.write(chunk)
            size += len(chunk)
            if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
                reported = time.monotonic()
                progress(f"{partial.path.name}: {_mebibytes(size)} of {_mebibytes(total) if total else 'unknown size'}")
    if total is not None and size < total:
        raise DownloadError(f"connection cut after {size} of {total} bytes")


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
