from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FIRST = ("tests/snakemake/test_slurm.py", "tests/snakemake/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, SLURM's above all, so that none is left to one worker at the end."""
    items.sort(key=lambda item: next((n for n, place in enumerate(FIRST) if item.nodeid.startswith(place)), len(FIRST)))


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets: LYAPUNOV_REAL_DATA, or shared/data beside the repository; skips without it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LYAPUNOV_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set LYAPUNOV_REAL_DATA")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads make the small matrices of the tests no faster, and wait for one another on a busy machine."""
    import torch  # not above: most tests of data, tables and figures do without it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
