from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count, repeat
from types import SimpleNamespace

import numpy as np
import pytest

from lyapunov_pkg.reproduction.tasks import download
from lyapunov_pkg.reproduction.tasks.amc import CMU_SIZES, CMU_TRIALS
from lyapunov_pkg.reproduction.tasks.char_rnn import WAR_AND_PEACE_NAME, WAR_AND_PEACE_SHA256, WAR_AND_PEACE_SIZE
from lyapunov_pkg.reproduction.tasks.download import DownloadError, fetch
from lyapunov_pkg.reproduction.tasks.smnist import MNIST_FILES

CONTENT = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKED = gzip.compress(CONTENT, compresslevel=1, mtime=1)
PACKED_OTHERWISE = gzip.compress(CONTENT[:100_000], mtime=2) + gzip.compress(CONTENT[100_000:], mtime=2)
NAME = "data.gz"


@dataclass
class Mirror:
    """Behaviour of one folder of the test server.

    `requests` contains the Range header of each request, or None if there was none.
    """

    body: bytes = PACKED
    status: int = 200
    # Each number is the count of bytes after which a connection breaks, one connection after the other.
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    wrong_range: bool = False
    chunked: bool = False
    drips: bool = False  # Sends the body byte by byte.
    never_begins: bool = False  # Sends a header slowly and never completes it.
    endless: bool = False  # Continues after the body and announces no length.
    requests: list[str | None] = field(default_factory=list)
    address: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirrors: dict[str, Mirror]

    def do_GET(self) -> None:
        folder, _, name = self.path.strip("/").partition("/")
        mirror = self.mirrors[folder]
        assert name == NAME
        asked = self.headers.get("Range")
        mirror.requests.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and mirror.ranges else 0
        self.close_connection = True
        if mirror.drips or mirror.never_begins or mirror.endless:
            self._send_on_and_on(mirror)
        elif mirror.status != 200:
            self.send_error(mirror.status)
        elif start >= len(mirror.body):
            self.send_error(416)
        else:
            self._send(mirror, start)

    def _send(self, mirror: Mirror, start: int) -> None:
        body = mirror.body[start:]
        self.send_response(206 if start else 200)
        if start:
            first = start + 1 if mirror.wrong_range else start
            self.send_header("Content-Range", f"bytes {first}-{len(mirror.body) - 1}/{len(mirror.body)}")
        sent = body[: mirror.cuts.pop(0)] if mirror.cuts else body
        if mirror.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(body):x}\r\n".encode() + sent + (b"\r\n0\r\n\r\n" if sent == body else b""))
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(sent)

    def _send_on_and_on(self, mirror: Mirror) -> None:
        """Send data until the client closes the connection."""
        self.send_response(200)
        if mirror.never_begins:
            self.flush_headers()
        else:
            self.end_headers()
        pieces = chain([mirror.body], repeat(b"x" * 10_000)) if mirror.endless else repeat(b"X")
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.wfile.write(piece)
                if not mirror.endless:
                    time.sleep(0.02)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.mirrors = {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def add(**behaviour: object) -> Mirror:
        folder = f"mirror-{len(Handler.mirrors)}"
        Handler.mirrors[folder] = Mirror(**behaviour, address=f"http://127.0.0.1:{server.server_port}/{folder}/")
        return Handler.mirrors[folder]

    yield add
    server.shutdown()
    thread.join()
    server.server_close()


def get(directory, *mirrors: Mirror, lines: list[str] | None = None, **options):
    progress = (lambda line: None) if lines is None else lines.append
    addresses = [mirror.address for mirror in mirrors]
    options = {"size": len(CONTENT), "timeout": 5, "progress": progress} | options
    return fetch(NAME, addresses, SHA256, directory, **options)


def test_an_existing_file_is_not_downloaded_again(tmp_path, serve):
    mirror, lines = serve(), []
    path = get(tmp_path / "new" / "folder", mirror, lines=lines)
    assert path == tmp_path / "new" / "folder" / NAME
    assert path.read_bytes() == PACKED
    assert [file.name for file in path.parent.iterdir()] == [NAME]
    assert lines == [f"downloading {mirror.address}{NAME}", f"{path}: downloaded and verified"]
    assert get(path.parent, mirror) == path
    assert mirror.requests == [None]


def test_a_correct_file_needs_no_mirror(tmp_path):
    (tmp_path / NAME).write_bytes(PACKED_OTHERWISE)
    assert get(tmp_path).read_bytes() == PACKED_OTHERWISE


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_interrupted_connections_are_resumed(tmp_path, serve, chunked):
    mirror, lines = serve(cuts=[70_000, 50_000], chunked=chunked), []
    assert get(tmp_path, mirror, lines=lines).read_bytes() == PACKED
    assert len(mirror.requests) == 3
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in mirror.requests[1:]]
    assert 0 < starts[0] <= 70_000 and starts[0] < starts[1] <= 120_000
    assert sum("resuming" in line for line in lines) == 2


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_long_download_reports_its_progress_every_few_seconds(tmp_path, serve, monkeypatch, chunked):
    clock, lines = count(), []
    monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr(download, "CHUNK_SIZE", 2_000)
    get(tmp_path, serve(chunked=chunked), lines=lines)
    reports = [line for line in lines if line.startswith(f"{NAME}.part: 0.")]
    assert 2 <= len(reports) <= next(clock) / download.SECONDS_BETWEEN_REPORTS
    assert all(line.endswith("MiB of unknown size" if chunked else "MiB of 0.2 MiB") for line in reports)


def test_a_later_call_resumes_an_incomplete_download(tmp_path, serve):
    mirror = serve(cuts=[90_000, 0])
    with pytest.raises(DownloadError, match=f"connection cut after 90000 of {len(PACKED)} bytes"):
        get(tmp_path, mirror)
    assert (tmp_path / f"{NAME}.part").read_bytes() == PACKED[:90_000]
    assert not (tmp_path / NAME).exists()
    assert get(tmp_path, mirror).read_bytes() == PACKED
    assert mirror.requests == [None, "bytes=90000-", "bytes=90000-"]
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_a_complete_partial_file_is_only_verified(tmp_path, serve):
    mirror = serve()
    (tmp_path / f"{NAME}.part").write_bytes(PACKED)
    (tmp_path / f"{NAME}.part.url").write_text(mirror.address + NAME)
    assert get(tmp_path, mirror).read_bytes() == PACKED
    assert mirror.requests == [f"bytes={len(PACKED)}-"]


def test_a_mirror_without_ranges_starts_from_the_beginning(tmp_path, serve):
    mirror = serve(cuts=[70_000], ranges=False)
    assert get(tmp_path, mirror).read_bytes() == PACKED


def test_an_outdated_partial_file_is_discarded(tmp_path, serve):
    mirror = serve()
    (tmp_path / f"{NAME}.part").write_bytes(b"an older version of the file")
    (tmp_path / f"{NAME}.part.url").write_text(mirror.address + NAME)
    assert get(tmp_path, mirror).read_bytes() == PACKED
    assert mirror.requests == ["bytes=28-", None]


def test_a_partial_file_is_not_continued_from_another_mirror(tmp_path, serve):
    cut, other = serve(cuts=[90_000, 0]), serve(body=PACKED_OTHERWISE)
    assert get(tmp_path, cut, other).read_bytes() == PACKED_OTHERWISE
    assert other.requests == [None]


def test_an_answer_with_the_wrong_range_is_refused(tmp_path, serve):
    mirror = serve(cuts=[90_000], wrong_range=True)
    with pytest.raises(DownloadError, match=r"asked for bytes 90000-, answered HTTP 206 'bytes 90001-"):
        get(tmp_path, mirror)


def test_the_next_mirror_is_used_after_a_failure(tmp_path, serve):
    missing, altered = serve(status=404), serve(body=gzip.compress(CONTENT[::-1]))
    short, good = serve(body=gzip.compress(CONTENT[:-1])), serve(body=PACKED_OTHERWISE)
    lines = []
    assert get(tmp_path, missing, altered, short, good, lines=lines).read_bytes() == PACKED_OTHERWISE
    failures = [line for line in lines if line.startswith("failed")]
    assert missing.address in failures[0] and "HTTP 404" in failures[0]
    assert altered.address in failures[1] and "wrong checksum" in failures[1]
    assert short.address in failures[2] and "wrong size: found content of 199999 bytes, expected 200000" in failures[2]


def test_a_wrong_checksum_is_reported_and_the_existing_file_is_kept(tmp_path, serve):
    (tmp_path / NAME).write_bytes(b"somebody's own file")
    altered = CONTENT[::-1]
    mirror = serve(body=gzip.compress(altered))
    with pytest.raises(DownloadError) as raised:
        get(tmp_path, mirror)
    for part in (mirror.address, hashlib.sha256(altered).hexdigest(), SHA256, "in place and kept"):
        assert part in str(raised.value)
    assert (tmp_path / NAME).read_bytes() == b"somebody's own file"
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_a_wrong_existing_file_is_replaced_by_a_verified_one(tmp_path, serve):
    (tmp_path / NAME).write_bytes(PACKED[:1000])
    assert get(tmp_path, serve()).read_bytes() == PACKED


def test_the_error_gives_the_reason_of_every_mirror(tmp_path, serve):
    missing, page, silent = serve(status=503), serve(body=b"<html>log in first</html>"), serve(cuts=[0])
    with pytest.raises(DownloadError) as raised:
        get(tmp_path, missing, page, silent, Mirror(address="http://127.0.0.1:9"))
    first, *reasons = str(raised.value).splitlines()
    assert NAME in first
    assert len(reasons) == 4
    expected = ("HTTP 503", "wrong size", f"cut after 0 of {len(PACKED)} bytes", "refused")
    for reason, mirror, text in zip(reasons, (missing, page, silent), expected, strict=False):
        assert mirror.address in reason and text in reason
    assert "refused" in reasons[3]


def test_a_silent_mirror_is_abandoned_after_the_timeout(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:  # The socket listens and never answers.
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(NAME, [address], SHA256, tmp_path, size=9, timeout=0.2, progress=lambda line: None)


@pytest.mark.parametrize(("mirrors", "message"), [([], "mirrors is empty"), (["/srv/data"], "'/srv/data'.*http://")])
def test_invalid_mirror_addresses_are_refused(tmp_path, mirrors, message):
    with pytest.raises(ValueError, match=message):
        fetch(NAME, mirrors, SHA256, tmp_path, size=len(CONTENT))


@pytest.mark.parametrize("fault", ["drips", "never_begins"])
def test_a_slow_mirror_is_abandoned_after_the_total_time(tmp_path, serve, fault):
    slow, began = serve(**{fault: True}), time.monotonic()
    assert get(tmp_path, slow, serve(), total_time=0.3).read_bytes() == PACKED
    assert time.monotonic() - began < 3
    with pytest.raises(DownloadError, match=r"not complete after 0\.3 seconds"):
        get(tmp_path / "other", slow, total_time=0.3)
    assert len(slow.requests) == 2  # The slow mirror is not asked again in the remaining time.


def test_the_next_call_continues_an_incomplete_download_of_a_slow_mirror(tmp_path, serve):
    """The mirror of the partial file is asked first, wherever it is in the list."""
    mirror, other = serve(body=PACKED), serve(status=404)
    (tmp_path / f"{NAME}.part").write_bytes(PACKED[:1000])
    (tmp_path / f"{NAME}.part.url").write_text(mirror.address + NAME)
    assert get(tmp_path, other, mirror).read_bytes() == PACKED
    assert (mirror.requests, other.requests) == (["bytes=1000-"], [])


def test_an_endless_answer_does_not_fill_the_disk(tmp_path, serve):
    largest = len(CONTENT) * 11 // 10 + 2**16
    lines = []
    with pytest.raises(DownloadError, match=f"sends more than {largest} bytes, the most expected"):
        get(tmp_path, serve(endless=True), lines=lines)
    assert list(tmp_path.iterdir()) == []
    assert not any("resuming" in line for line in lines)


def test_a_file_with_too_large_an_announced_size_is_not_downloaded(tmp_path, serve):
    with pytest.raises(DownloadError, match="the mirror's file has 400000 bytes, expected at most 285536"):
        get(tmp_path, serve(body=bytes(400_000)))
    assert list(tmp_path.iterdir()) == []


def test_a_decompression_bomb_is_unpacked_only_up_to_the_known_size(tmp_path, serve):
    bomb = serve(body=gzip.compress(bytes(100_000_000), compresslevel=9))
    tracemalloc.start()
    try:
        with pytest.raises(DownloadError, match="unpacks to more than 200000 bytes, the most expected"):
            get(tmp_path, bomb)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert list(tmp_path.iterdir()) == []


def test_the_timeout_leaves_no_alarm_behind(tmp_path, serve):
    before = signal.getsignal(signal.SIGALRM)
    get(tmp_path, serve(drips=True), serve(), total_time=0.1)
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.real_data
def test_known_sizes_and_checksums_agree_with_the_real_files(tmp_path, real_data):
    """Without mirrors, `fetch` succeeds only if the existing file is correct."""
    known = {f"mnist/{file.name}.gz": (file.sha256, file.size) for file in MNIST_FILES.values()}
    known |= {f"cmu_mocap/{trial}.amc": (sha256, CMU_SIZES[trial]) for trial, sha256 in CMU_TRIALS.items()}
    known[f"war_and_peace/{WAR_AND_PEACE_NAME}"] = (WAR_AND_PEACE_SHA256, WAR_AND_PEACE_SIZE)
    for name, (sha256, size) in known.items():
        path = real_data / name
        assert fetch(path.name, [], sha256, path.parent, size=size) == path
