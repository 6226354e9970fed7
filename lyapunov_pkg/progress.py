"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, *, seconds_between_lines: float = 5.0) -> Iterator[Item]:
    """Yield `items`, and say on standard error how far the caller has got.

    On a terminal that is a bar; elsewhere at most one line every `seconds_between_lines`, and one at the end.
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
