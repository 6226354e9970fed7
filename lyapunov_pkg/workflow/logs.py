"""Logs of jobs."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def logging_to(path: str | Path) -> Iterator[None]:
    """Send what a job prints to a log file; an error ends the job with one line here and its traceback in the log.

    Ctrl-C ends it without a traceback.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as log:
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
        except KeyboardInterrupt:
            log.write("interrupted\n")
            raise SystemExit(130) from None  # as the shell says of a program that Ctrl-C ended
        except Exception as error:
            traceback.print_exc(file=log)
            raise SystemExit(f"{type(error).__name__}: {error} (traceback in {path})") from None
