"""Logs of jobs, and how jobs end that have no log yet."""

from __future__ import annotations

import contextlib
import os
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


def start_jobs_with(folder: Path) -> None:
    """Let Python processes that are started from now on import `sitecustomize` from a folder (envs/startup)."""
    first, folders = str(folder.resolve()), os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if first not in folders:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [first, *folders]))
