"""Logs of jobs, and the end of jobs that have no log yet."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def logging_to(path: str | Path) -> Iterator[None]:
    """Redirect a job's output to a log file. An error ends the job with one line here and its traceback in the log.

    Ctrl-C ends the job without a traceback.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as log:
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
        except KeyboardInterrupt:
            log.write("interrupted\n")
            raise SystemExit(130) from None  # the shell's exit status after Ctrl-C
        except Exception as error:
            traceback.print_exc(file=log)
            raise SystemExit(f"{type(error).__name__}: {error} (traceback in {path})") from None


def start_jobs_with(folder: Path) -> None:
    """Let all Python processes that start later import `sitecustomize` from a folder (envs/startup)."""
    first, folders = str(folder.resolve()), os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if first not in folders:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [first, *folders]))
