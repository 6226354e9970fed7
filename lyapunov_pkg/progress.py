"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SECONDS_UNTIL_A_BAR = 2.0
"""How long a computation of the library is silent on a terminal."""


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


@contextmanager
def steps_bar(n_steps: int, description: str, show: bool | None) -> Iterator[Callable[[int], object]]:
    """Show how many steps of a computation are done, on standard error; give what is called with further ones.

    Args:
        n_steps: of the whole computation.
        description: of it.
        show: None: on a terminal, when it takes more than `SECONDS_UNTIL_A_BAR`; True: at once, wherever standard error
            goes, and it stays there; False: never.
    """
    delay = 0.0 if show else SECONDS_UNTIL_A_BAR
    hidden = None if show is None else not show
    with tqdm(total=n_steps, desc=description, unit="step", delay=delay, disable=hidden, leave=bool(show)) as bar:
        yield bar.update
