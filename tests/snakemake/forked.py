"""Snakemake in forks of one process that has imported Snakemake and the libraries of its jobs.

The imports take longer than most test runs. A fork imports the package and the workflow from the folder that it runs
in. Its fork server of jobs (`lyapunov_pkg.workflow.warm_start`) is such a fork too, instead of a new Python process.
"""

from __future__ import annotations

import fcntl
import gc
import json
import math
import os
import re
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing import util
from pathlib import Path
from typing import Any

import psutil

# None of these imports the package.
SNAKEMAKE = ("snakemake.cli", "pandas", "pydantic", "yaml")
JOBS = ("torch", "xarray", "zarr", "numba", "sklearn.ensemble", "matplotlib.figure", "matplotlib.backends.backend_pdf")
OUTPUTS = {"stdout": 1, "stderr": 2}


class Server:
    """Run `python -m snakemake` like `subprocess.run`."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, arguments: list[str], folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in a folder with these arguments and environment, and wait until it ends."""
        with tempfile.TemporaryDirectory() as directory:
            files = {name: Path(directory, name) for name in OUTPUTS}
            outputs = {name: str(file) for name, file in files.items()}
            exit_code = self.wait(self.start(arguments, folder, variables, outputs))
            said = {name: file.read_text() for name, file in files.items()}
        return subprocess.CompletedProcess(["snakemake", *arguments], exit_code, **said)

    def start(
        self, arguments: list[str], folder: Path, variables: Mapping[str, str], outputs: Mapping[str, str]
    ) -> int:
        """Start Snakemake in a session of its own, like a terminal that is later closed, and return its process."""
        request = {"arguments": arguments, "folder": str(folder), "variables": dict(variables), "outputs": outputs}
        return self._ask(request)

    def wait(self, process: int, timeout: float | None = None) -> int:
        """Return the exit code of a process that was started, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while timeout is not None and psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("snakemake", timeout)
            time.sleep(0.01)
        return self._ask(process)

    def _ask(self, question: Any) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(question)}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    """Start each request from the standard input in a fork and print its process, or print a process's exit code."""
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            _, status = os.waitpid(asked, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        fork = os.fork()
        if fork == 0:
            os.setsid()
            run(**asked)
        print(fork, flush=True)


def run(arguments: list[str], folder: str, variables: dict[str, str], outputs: dict[str, str]) -> None:
    """Run `python -m snakemake` in this process, with these outputs."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, descriptor in OUTPUTS.items():
        os.dup2(os.open(outputs[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[0:1] = [folder, *variables["PYTHONPATH"].split(os.pathsep)]
    sys.argv[1:] = arguments
    fork_the_server_of_jobs()
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
    raise SystemExit(0)


def fork_the_server_of_jobs() -> None:
    """Let multiprocessing's fork server be a fork of this process as it is now, with one thread and all imports."""
    ours, theirs = socket.socketpair()
    fork = os.fork()
    if fork == 0:
        ours.close()
        become_a_server_of_jobs(theirs)
    theirs.close()
    start_python = util.spawnv_passfds

    def start(path: bytes, arguments: list[str], descriptors: list[int]) -> int:
        if "forkserver" not in arguments[-1]:
            return start_python(path, arguments, descriptors)
        message = json.dumps({"command": arguments[-1], "variables": dict(os.environ)}).encode()
        socket.send_fds(ours, [message], descriptors)
        ours.close()
        return fork

    util.spawnv_passfds = start


def become_a_server_of_jobs(source: socket.socket) -> None:
    """Wait for the command and the descriptors of a fork server, and run it; end if none is needed."""
    message, descriptors, _, _ = socket.recv_fds(source, 1_000_000, 2)
    source.close()
    if not message:
        os._exit(0)
    asked = json.loads(message)
    os.environ.clear()
    os.environ.update(asked["variables"])
    # The command names them by their numbers, which other files may have here.
    numbers = [int(number) for number in re.findall(r"main\((\d+), (\d+)", asked["command"])[0]]
    out_of_the_way = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, max(numbers) + 1) for descriptor in descriptors]
    for descriptor, number in zip(out_of_the_way, numbers, strict=True):
        os.dup2(descriptor, number, inheritable=False)
        os.close(descriptor)
    exec(asked["command"], {})  # from multiprocessing.forkserver import main; main(...)
    os._exit(0)


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "agg"
    for module in (*SNAKEMAKE, *JOBS):
        __import__(module)
    sys.modules["snakemake.cli"].get_argument_parser()  # imports the plugins
    gc.freeze()  # the garbage collector of the forks passes over what is imported
    serve()
