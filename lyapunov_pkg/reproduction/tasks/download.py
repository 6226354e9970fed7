"""Download of a data file, with resume, several mirrors and a checksum, and limits on size and time.

The checksum is the sha256 of the *uncompressed* content. Mirrors compress the same data differently (levels, time
stamps), so that a checksum of the .gz file would be useless.

docs/cluster.md explains why Pooch is not used.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from lyapunov_pkg.reproduction.tasks.content import content_digest_and_size

CHUNK_SIZE = 1 << 16  # bytes
CONNECTIONS_PER_MIRROR = 5  # each connection must add bytes to the partial file
SECONDS_BETWEEN_REPORTS = 5.0
SECONDS_PER_MIRROR = 900.0  # total; the largest file, 10 MB, takes this time at 11 kB per second


class DownloadError(OSError):
    """A mirror, or every mirror, did not deliver the file."""


class TooSlowError(Exception):
    """A mirror exceeded its total time. It is not an OSError, which urllib would wrap."""


# Errors of a mirror, after which the next mirror is tried. A full disk or a missing permission is not among them.
MIRROR_ERRORS = (
    DownloadError,
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    TooSlowError,
)


@dataclass(frozen=True)
class _Expected:
    """The expected uncompressed content of a file: its checksum and its size in bytes."""

    sha256: str
    size: int

    @property
    def largest_download(self) -> int:
        """Return the largest size of the file in bytes. As gzip it can be a little larger than its content."""
        return self.size + self.size // 10 + (1 << 16)

    def problem(self, path: Path) -> str | None:
        """Return the problem with the file at `path`, or None."""
        try:
            found, size = content_digest_and_size(path, self.size)
        except ValueError as error:
            return str(error)
        if size != self.size:
            return f"wrong size: found content of {size} bytes, expected {self.size}"
        if found != self.sha256:
            return f"wrong checksum: found content with sha256 {found}, expected {self.sha256}"
        return None


@dataclass(frozen=True)
class _PartialFile:
    """NAME.part, with its mirror in NAME.part.url, because the bytes of different mirrors cannot be joined."""

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
    size: int,
    timeout: float = 60.0,
    total_time: float = SECONDS_PER_MIRROR,
    progress: Callable[[str], None] = print,
) -> Path:
    """Return `directory / name`. The file is downloaded unless it already has the right content.

    A download is written to NAME.part, and moved into place only if its content is right. It resumes after an
    interrupted connection or an earlier call. An existing file is never removed. It is only replaced by a verified
    file. A mirror is abandoned if it sends more bytes than the file can have, or takes too long. Call this function
    from the main thread, because it uses the alarm signal as time limit.

    Args:
        name: file name, on the mirrors and in the directory.
        mirrors: addresses (http or https) of folders with the file, tried in order.
        sha256: hexadecimal checksum of the uncompressed content (of the file itself if it is not gzip).
        directory: folder of the file, created if missing.
        size: bytes of the uncompressed content.
        timeout: seconds without an answer after which a mirror is abandoned.
        total_time: seconds after which a mirror is abandoned in any case.
        progress: called with one line of text at a time.

    Raises:
        ValueError: `mirrors` is empty, or one is neither http nor https.
        DownloadError: no mirror delivered the file. The message lists the reason for each mirror.
    """
    target = Path(directory) / name
    expected = _Expected(sha256, size)
    reasons = []
    if target.exists():
        problem = expected.problem(target)
        if problem is None:
            return target
        reasons.append(f"{target}, in place and kept: {problem}")
    _check_mirrors(name, mirrors)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _PartialFile(target.with_name(name + ".part"))
    urls = [f"{mirror.rstrip('/')}/{name}" for mirror in mirrors]
    # The mirror of a partial download comes first, so that several calls can complete it.
    for url in sorted(urls, key=lambda url: partial.size_from(url) == 0):
        try:
            with _time_limit(total_time):
                _download(url, partial, expected, timeout, progress)
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


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlowError after `seconds`. Timeouts of sockets do not suffice, because they restart with every byte."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"not complete after {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(
        signal.ITIMER_REAL, seconds, 1.0
    )  # again every second, because the first may be lost in a callback
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _download(
    url: str, partial: _PartialFile, expected: _Expected, timeout: float, progress: Callable[[str], None]
) -> None:
    """Complete the partial file from one mirror and check it."""
    progress(f"downloading {url}")
    resumed = _receive_all(url, partial, expected.largest_download, timeout, progress)
    problem = expected.problem(partial.path)
    if problem and resumed:
        progress(
            f"{partial.path}: {problem}; downloading it again, because the mirror's file may have changed in the "
            "meantime"
        )
        partial.discard()
        _receive_all(url, partial, expected.largest_download, timeout, progress)
        problem = expected.problem(partial.path)
    if problem:
        partial.discard()
        raise DownloadError(problem)


def _receive_all(
    url: str, partial: _PartialFile, largest: int, timeout: float, progress: Callable[[str], None]
) -> bool:
    """Connect until the file is complete, while each connection adds bytes. Return whether the file was resumed."""
    resumed = False
    for connection in range(1, CONNECTIONS_PER_MIRROR + 1):
        size = partial.size_from(url)
        resumed = resumed or size > 0
        try:
            _receive(url, partial, size, largest, timeout, progress)
            break
        except TooSlowError:
            raise
        except MIRROR_ERRORS as error:
            if connection == CONNECTIONS_PER_MIRROR or partial.size_from(url) <= size:
                raise
            progress(f"{url}: {error}; resuming after {_mebibytes(partial.size())}")
    return resumed


def _receive(
    url: str, partial: _PartialFile, size: int, largest: int, timeout: float, progress: Callable[[str], None]
) -> None:
    """Append the bytes of one connection to the `size` present bytes, or start again if the mirror cannot resume."""
    headers = {"User-Agent": "lyapunov_pkg"} | ({"Range": f"bytes={size}-"} if size else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if size and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all bytes are present, and the checksum decides
        raise DownloadError(f"HTTP {error.code} {error.reason}") from None
    with response:
        content_range = response.headers.get("Content-Range", "")
        if response.status == http.HTTPStatus.OK:
            partial.start(url)
            size = 0
        elif not content_range.startswith(f"bytes {size}-"):
            raise DownloadError(f"asked for bytes {size}-, answered HTTP {response.status} {content_range!r}")
        _append(response, partial, size, largest, progress)


def _append(
    response: http.client.HTTPResponse,
    partial: _PartialFile,
    size: int,
    largest: int,
    progress: Callable[[str], None],
) -> None:
    """Append the body to the partial file, with a line of progress every few seconds."""
    total = size + response.length if response.length is not None else None  # unknown if the body comes in chunks
    if total is not None and total > largest:
        partial.discard()
        raise DownloadError(f"the mirror's file has {total} bytes, expected at most {largest}")
    reported = time.monotonic()
    with partial.path.open("ab") as file:
        # read1 returns all bytes that have arrived, so that no bytes are lost if the connection stops
        while chunk := response.read1(CHUNK_SIZE if total is None else min(CHUNK_SIZE, total - size)):
            file.write(chunk)
            size += len(chunk)
            if size > largest:
                partial.discard()
                raise DownloadError(f"the mirror sends more than {largest} bytes, the most expected")
            if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
                reported = time.monotonic()
                progress(f"{partial.path.name}: {_mebibytes(size)} of {_mebibytes(total) if total else 'unknown size'}")
    if total is not None and size < total:
        raise DownloadError(f"connection cut after {size} of {total} bytes")


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
