"""Sharing of tasks among threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def on_threads(work: Callable[[range], None], n_tasks: int) -> None:
    """Share tasks 0 to n_tasks - 1 among as many threads as PyTorch uses. Kernels release the lock."""
    n_threads = min(torch.get_num_threads(), n_tasks)
    if n_threads <= 1:
        work(range(n_tasks))
        return
    own, *others = (range(start, n_tasks, n_threads) for start in range(n_threads))
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(work, tasks) for tasks in others]
        work(own)
        for future in running:
            future.result()
