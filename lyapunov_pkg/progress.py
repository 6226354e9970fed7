"""Progress of long computations: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SECONDS_UNTIL_A_BAR = 2.0
"""Seconds after which a computation of the library shows a bar on a terminal."""


def progress(items: Iterable[Item], description: str, *, seconds_between_lines: float = 5.0) -> Iterator[Item]:
    """Yield `items`, and report the progress of the caller on standard error.

    The report is a bar on a terminal. Elsewhere it is at most one line every `seconds_between_lines`, and one at the
    end.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, desc=description, leave=False)
        return
    total = len(items) if isinstance(items, Sized) else None
    of_total = f"/{total}" if total is not None else ""
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if done == total or now - last >= seconds_between_lines:
            last = now
            print(f"{description}: {done}{of_total} ({now - start:.1f} s)", file=sys.stderr, flush=True)


@contextmanager
def steps_bar(n_steps: int, description: str, show: bool | None) -> Iterator[Callable[[int], object]]:
    """Show the number of finished steps on standard error, and yield a function that adds finished steps.

    Args:
        n_steps: number of steps of the whole computation.
        description: text of the bar.
        show: None: show a bar on a terminal after `SECONDS_UNTIL_A_BAR`. True: show it immediately, wherever standard
            error goes, and leave it there. False: never.
    """
    delay = 0.0 if show else SECONDS_UNTIL_A_BAR
    hidden = None if show is None else not show
    with tqdm(total=n_steps, desc=description, unit="step", delay=delay, disable=hidden, leave=bool(show)) as bar:
        yield bar.update
