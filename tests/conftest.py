from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FIRST = ("tests/snakemake/test_slurm.py", "tests/snakemake/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first, above all those with SLURM, so that no worker has one of them left at the end."""
    items.sort(key=lambda item: next((n for n, place in enumerate(FIRST) if item.nodeid.startswith(place)), len(FIRST)))


@pytest.fixture
def real_data() -> Path:
    """Return the folder of real data sets: LYAPUNOV_REAL_DATA, or shared/data beside the repository.

    Skips the test if the folder does not exist.
    """
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LYAPUNOV_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set LYAPUNOV_REAL_DATA")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Use one thread, because more threads do not speed up small matrices and wait for each other on a busy machine."""
    import torch  # Imported here because most tests of data, tables and figures do not need it.

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
