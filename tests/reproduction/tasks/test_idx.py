from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from lyapunov_pkg.reproduction.tasks.content import content_digest_and_size, read_content
from lyapunov_pkg.reproduction.tasks.idx import parse_idx

IMAGES = np.arange(3 * 4 * 5).reshape(3, 4, 5)
LABELS = np.array([7, 0, 9])


def read_idx(path: Path, item_shape: tuple[int | None, ...]) -> np.ndarray:
    return parse_idx(read_content(path), path, item_shape)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_images_and_labels(tmp_path, to_idx, pack):
    for name, array in {"images": IMAGES, "labels": LABELS}.items():
        (tmp_path / name).write_bytes(pack(to_idx(array)))
    images = read_idx(tmp_path / "images", (4, 5))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(read_idx(tmp_path / "images", (None, None)), IMAGES)
    np.testing.assert_array_equal(read_idx(tmp_path / "labels", ()), LABELS)


def test_sha256_is_that_of_the_uncompressed_content(tmp_path, to_idx):
    content = to_idx(IMAGES)
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "fast.gz").write_bytes(gzip.compress(content, compresslevel=1, mtime=1))
    (tmp_path / "small.gz").write_bytes(gzip.compress(content, compresslevel=9, mtime=2))
    assert len({content_digest_and_size(path) for path in tmp_path.iterdir()}) == 1


def test_every_truncated_file_is_refused(tmp_path, to_idx):
    path = tmp_path / "images"
    content = to_idx(IMAGES)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=rf"images is (truncated|empty): found {length} bytes"):
            read_idx(path, (4, 5))
    packed = gzip.compress(content)
    for length in range(2, len(packed)):
        path.write_bytes(packed[:length])
        with pytest.raises(ValueError, match=rf"images is truncated: its {length} bytes end before the gzip stream"):
            read_idx(path, (4, 5))


BAD_FILES = {
    "too many bytes": (
        lambda idx: idx + b"\0",
        r"has bytes left over: found 77 bytes, expected 76 for shape \(3, 4, 5\)",
    ),
    "wrong magic number": (
        lambda idx: b"\0\0\x0d\x03" + idx[4:],
        r"wrong magic number: found 0x00000d03, expected 0x00000803 \(images",
    ),
    "web page": (lambda idx: b"<!DOCTYPE html>", "wrong magic number: found 0x3c21444f"),
    "other item shape": (
        lambda idx: idx[:8] + idx[12:16] + idx[8:12] + idx[16:],
        r"wrong dimensions: found items of \(5, 4\), expected \(4, 5\)",
    ),
    "empty items": (lambda idx: idx[:8] + bytes(4) + idx[12:16], r"wrong dimensions: found items of \(0, 5\)"),
    "no items": (lambda idx: idx[:4] + bytes(4) + idx[8:16], "wrong dimensions: found 0 items, expected at least 1"),
    "huge count": (lambda idx: idx[:4] + b"\xff" * 4 + idx[8:], "is truncated: found 76 bytes, expected 85899345916"),
    "bad gzip": (lambda idx: gzip.compress(idx)[:10] + b"\xff" * 40, "is damaged gzip"),
    "altered gzip": (
        lambda idx: gzip.compress(idx)[:-8] + b"\0" * 4 + gzip.compress(idx)[-4:],
        r"is damaged gzip \(CRC check failed",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_an_invalid_file_is_refused_with_its_name(tmp_path, to_idx, name):
    spoil, message = BAD_FILES[name]
    path = tmp_path / "train-images"
    path.write_bytes(spoil(to_idx(IMAGES)))
    with pytest.raises(ValueError, match=re.escape(str(path)) + ".*" + message):
        read_idx(path, (4, 5))


def test_images_without_pixels_are_refused_even_if_any_size_is_accepted(tmp_path, to_idx):
    (tmp_path / "images").write_bytes(to_idx(IMAGES[:, :, :0]))
    with pytest.raises(ValueError, match=r"found items of \(4, 0\), expected no size of 0"):
        read_idx(tmp_path / "images", (None, None))


def test_an_uncompressed_file_named_gz_is_refused(tmp_path, to_idx):
    path = tmp_path / "images.gz"
    path.write_bytes(to_idx(IMAGES))
    with pytest.raises(ValueError, match=r"images.gz is not gzip: it starts with 0x0000, expected 0x1f8b"):
        read_idx(path, (4, 5))


def test_swapped_labels_and_images_are_refused(tmp_path, to_idx):
    (tmp_path / "images").write_bytes(to_idx(LABELS))
    (tmp_path / "labels").write_bytes(to_idx(IMAGES))
    with pytest.raises(ValueError, match=r"found 0x00000801 \(labels.*expected 0x00000803 \(images.*swapped"):
        read_idx(tmp_path / "images", (4, 5))
    with pytest.raises(ValueError, match=r"found 0x00000803 \(images.*expected 0x00000801 \(labels.*swapped"):
        read_idx(tmp_path / "labels", ())
