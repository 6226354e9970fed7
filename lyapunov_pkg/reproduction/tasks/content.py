"""The content of a data file, whether it is stored plain or as gzip."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"


def read_content(path: Path) -> bytes:
    """Return the uncompressed bytes of a file.

    Gzip is recognised by its first two bytes, so that a file still being downloaded needs no particular name.

    Raises:
        ValueError: the file is empty, is named .gz without being gzip, or is truncated or damaged gzip.
    """
    raw = path.read_bytes()
    if not raw:
        raise ValueError(f"{path} is empty: found 0 bytes")
    if not raw.startswith(GZIP_MAGIC):
        if path.suffix == ".gz":
            raise ValueError(f"{path} is not gzip: it starts with 0x{raw[:2].hex()}, expected 0x{GZIP_MAGIC.hex()}")
        return raw
    try:
        return gzip.decompress(raw)
    except EOFError:
        raise ValueError(f"{path} is truncated: its {len(raw)} bytes end before the gzip stream does") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged gzip ({error}), expected an intact gzip stream") from error


def content_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of the uncompressed content. Raises ValueError as `read_content` does."""
    return hashlib.sha256(read_content(path)).hexdigest()
