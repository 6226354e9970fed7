"""Fast start of jobs, as forks of one process that has already imported the modules of their scripts.

The imports of PyTorch, xarray and Matplotlib take one to two seconds of CPU time per job, and a run has more than a
hundred jobs. Python's fork server (`multiprocessing`) imports them once. Each job is still a separate process.

This is used for jobs with one thread that Snakemake starts on this machine, without conda or containers, on Linux. On
other systems not all libraries work after a fork. Other jobs start in the normal way.
"""

from __future__ import annotations

import ast
import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from lyapunov_pkg.workflow import preloaded

THREADED = (
    "OMP",
    "OPENBLAS",
    "MKL",
    "GOTO",
    "VECLIB",
    "NUMEXPR",
)  # prefixes of the variables that Snakemake sets for jobs

INTERRUPTED = 130  # the shell's exit status after Ctrl-C


def imported_by(scripts: Iterable[Path]) -> set[str]:
    """Return the modules that scripts import at their top level.

    Example:
        >>> script = Path(tempfile.mkdtemp(), "script.py")
        >>> _ = script.write_text("import json\\nfrom pathlib import Path")
        >>> sorted(imported_by([script]))
        ['json', 'pathlib']
    """
    modules = set()
    for script in scripts:
        for node in ast.parse(script.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    return modules


def start_scripts_warm(script_class: type[Any], modules: Callable[[], Iterable[str]]) -> None:
    """Let this Snakemake process start its scripts as forks of one process that has imported the given modules.

    If a module cannot be imported, the script that needs it reports the error.

    Args:
        script_class: Snakemake's class of Python scripts, whose method for starting is replaced.
        modules: returns the names of the modules. It is called once, when the first job starts: by then Snakemake has
            planned all jobs.
    """
    if sys.platform != "linux":
        return
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([preloaded.__name__, "snakemake.cli"])  # every fork needs the latter
    # Libraries read their number of threads at import.
    os.environ.update({f"{library}_NUM_THREADS": "1" for library in THREADED})
    start_cold = script_class.execute_script
    # Snakemake starts jobs from several threads, and `start` and `join` poll all jobs. If two threads read the status
    # of one job, one of them would find none.
    one_at_a_time = threading.Lock()

    @functools.cache
    def name_modules() -> None:
        """Tell the server, which starts with the first job, what to import."""
        os.environ[preloaded.MODULES] = " ".join(sorted(modules()))

    def execute_script(self: Any, fname: str, edit: bool = False) -> None:
        asked = (self.conda_env, self.container_img, self.env_modules, self.shadow_dir, self.bench_record)
        if any(asked) or self.threads != 1:
            start_cold(self, fname, edit)
            return
        command = f"{sys.executable} {fname}"
        job = server.Process(target=run_script, args=(fname, self.resources.get("tmpdir")))
        try:
            with one_at_a_time:
                name_modules()
                job.start()
        except (ConnectionError, EOFError):  # Ctrl-C ended the server while it imported
            raise subprocess.CalledProcessError(INTERRUPTED, command) from None
        except OSError:  # for example a socket with a path that is too long
            start_cold(self, fname, edit)
            return
        wait([job.sentinel])
        with one_at_a_time:
            job.join()
        if job.exitcode:
            raise subprocess.CalledProcessError(job.exitcode, command)

    script_class.execute_script = execute_script


def run_script(path: str, temporary_folder: str | None) -> None:
    """Run a script as Python does, with the folder for temporary files that Snakemake sets for its jobs."""
    if temporary_folder is not None:
        os.environ.update(dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), temporary_folder))
        tempfile.tempdir = None  # determined again at the next use
    sys.argv = [path]
    try:
        runpy.run_path(path, run_name="__main__")
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
