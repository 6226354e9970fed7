from __future__ import annotations

import gzip
import tracemalloc

import pytest

from lyapunov_pkg.reproduction.tasks.content import content_digest_and_size, read_content


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_content_is_read_only_up_to_the_limit(tmp_path, pack):
    path, content = tmp_path / "data", bytes(range(250)) * 10_000
    path.write_bytes(pack(content))
    assert read_content(path, len(content)) == content
    assert content_digest_and_size(path, len(content))[1] == len(content)
    holds = "has" if pack is bytes else "unpacks to"
    with pytest.raises(ValueError, match=f"data is too large: it {holds} more than 2499999 bytes, the most expected"):
        read_content(path, len(content) - 1)


def test_a_decompression_bomb_uses_no_more_memory_than_the_limit(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)) * 20)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="unpacks to more than 5000000 bytes"):
            read_content(path, 5_000_000)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()
