from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before PyTorch is imported: the workers share the cores, and the matrices of the tests are too small for threads.
# Tests of threads set their number.
os.environ["OMP_NUM_THREADS"] = "1"

# Commands in the background, such as `nohup make test &`, ignore Ctrl-C, and so do the processes that the tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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


@pytest.fixture(autouse=True)
def one_thread_again() -> Iterator[None]:
    """Reset the number of threads after each test. PyTorch is not imported here, because few tests need it."""
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
