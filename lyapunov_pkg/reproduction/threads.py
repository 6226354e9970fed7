"""Threads of the libraries that experiments call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lyapunov_pkg.devices import one_torch_thread


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS, OpenMP and PyTorch to one thread each.

    How a sum is shared among threads changes its last bits, and the number of threads is that of the machine. The
    matrices of the experiments are small, so that more threads would only wait for one another.
    """
    with threadpool_limits(1), one_torch_thread():
        yield
