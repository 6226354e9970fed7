"""Jobs that start in a moment: forks of one process that has imported what their scripts import.

Importing PyTorch, xarray and Matplotlib takes a job one to two seconds of CPU, and a run has more than a hundred jobs.
Python's own fork server (`multiprocessing`) imports them once. Each job is still a process of its own.

It serves jobs with one thread that Snakemake starts on this machine, without conda or containers, on Linux: elsewhere,
not all libraries survive a fork. Other jobs start as ever.
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

THREADED = ("OMP", "OPENBLAS", "MKL", "GOTO", "VECLIB", "NUMEXPR")  # their variables, as Snakemake sets them for jobs

INTERRUPTED = 130  # as the shell says of a program that Ctrl-C ended


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
    """Let this Snakemake start its scripts as forks of one process that has imported what they import.

    A module that cannot be imported is left to the script that needs it.

    Args:
        script_class: Snakemake's class of Python scripts, whose way of starting is replaced.
        modules: returns the names of the modules to import. It is called once, when the first job starts: Snakemake
            knows by then which jobs there will be.
    """
    if sys.platform != "linux":
        return
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([preloaded.__name__, "snakemake.cli"])  # the latter is asked for by every fork
    # Libraries read their numbers of threads when they are imported.
    os.environ.update({f"{library}_NUM_THREADS": "1" for library in THREADED})
    start_cold = script_class.execute_script
    # Snakemake starts jobs from several threads, and `start` and `join` look after all jobs: of two threads that read
    # the status of one job, one would find none.
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
        except OSError:  # such as a socket whose path is too long
            start_cold(self, fname, edit)
            return
        wait([job.sentinel])
        with one_at_a_time:
            job.join()
        if job.exitcode:
            raise subprocess.CalledProcessError(job.exitcode, command)

    script_class.execute_script = execute_script


def run_script(path: str, temporary_folder: str | None) -> None:
    """Run a script as Python runs one, with the folder for temporary files that Snakemake gives its jobs."""
    if temporary_folder is not None:
        os.environ.update(dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), temporary_folder))
        tempfile.tempdir = None  # asked for anew
    sys.argv = [path]
    try:
        runpy.run_path(path, run_name="__main__")
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
