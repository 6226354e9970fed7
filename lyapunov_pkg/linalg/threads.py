"""Sharing of tasks among threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def on_threads(
    work: Callable[[range], None],
    n_tasks: int,
    n_threads: int | None = None,
    stop: Callable[[], None] = lambda: None,
) -> None:
    """Share tasks 0 to n_tasks - 1 among threads. Kernels release the lock.

    Args:
        work: does some of the tasks.
        n_tasks: number of tasks. If there are at most as many tasks as threads, each task has its own thread.
        n_threads: number of threads; None: as many as PyTorch uses.
        stop: called after a thread failed or was interrupted, so that threads that wait for it stop waiting.
    """
    n_threads = min(n_threads or torch.get_num_threads(), n_tasks)
    if n_threads <= 1:
        work(range(n_tasks))
        return
    own, *others = (range(start, n_tasks, n_threads) for start in range(n_threads))

    def work_or_stop(tasks: range) -> None:
        try:
            work(tasks)
        except BaseException:
            stop()
            raise

    with ThreadPoolExecutor(len(others)) as pool:
        try:
            running = [pool.submit(work_or_stop, tasks) for tasks in others]
            work(own)
            for future in running:
                future.result()
        except BaseException:
            stop()
            raise
