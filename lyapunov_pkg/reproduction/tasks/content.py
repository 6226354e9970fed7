"""Reading of plain or gzip data files, up to a largest size.

Two megabytes of gzip can contain gigabytes. A file is therefore unpacked in pieces, and only up to its limit.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
READ_AT_ONCE = 1 << 20  # bytes
LARGEST_CONTENT = 1 << 30  # bytes, of a file whose size is not known; MNIST's largest file has 47 MB


def read_content(path: Path, limit: int = LARGEST_CONTENT) -> bytes:
    """Return the uncompressed bytes of a file.

    Gzip is recognised by its first two bytes, so that a partial download needs no special name.

    Args:
        path: the file.
        limit: largest size of the content in bytes.

    Raises:
        ValueError: the file is empty, is named .gz but is not gzip, is truncated or damaged gzip, or its content is
            larger than the limit.
    """
    return b"".join(_pieces(path, limit))


def content_digest_and_size(path: Path, limit: int = LARGEST_CONTENT) -> tuple[str, int]:
    """Return the hexadecimal sha256 and the size of the uncompressed content, without loading it as a whole.

    The function raises the errors of `read_content`.
    """
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(path, limit):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _pieces(path: Path, limit: int) -> Iterator[bytes]:
    """Yield the uncompressed bytes of a file in pieces."""
    with path.open("rb") as raw:
        start = raw.read(len(GZIP_MAGIC))
        raw.seek(0)
        if not start:
            raise ValueError(f"{path} is empty: found 0 bytes")
        packed = start == GZIP_MAGIC
        if not packed and path.suffix == ".gz":
            raise ValueError(f"{path} is not gzip: it starts with 0x{start.hex()}, expected 0x{GZIP_MAGIC.hex()}")
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        size = 0
        try:
            while piece := file.read(min(READ_AT_ONCE, limit + 1 - size)):
                size += len(piece)
                if size > limit:
                    holds = "unpacks to" if packed else "has"
                    raise ValueError(f"{path} is too large: it {holds} more than {limit} bytes, the most expected")
                yield piece
        except EOFError:
            found = path.stat().st_size
            raise ValueError(f"{path} is truncated: its {found} bytes end before the gzip stream does") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged gzip ({error}), expected an intact gzip stream") from error
