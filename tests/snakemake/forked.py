"""Snakemake in forks of one process that has imported it, because the import takes longer than most test runs.

A fork imports the package and the workflow from the folder that it runs in.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

PRELOADED = ("snakemake.cli", "pandas", "pydantic", "yaml")  # None of these imports the package.
OUTPUTS = {"stdout": 1, "stderr": 2}


class Server:
    """Run `python -m snakemake` like `subprocess.run`, one call at a time."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, arguments: list[str], folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in a folder with these arguments and environment, and wait until it ends."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with tempfile.TemporaryDirectory() as directory:
            files = {name: Path(directory, name) for name in OUTPUTS}
            request = {"arguments": arguments, "folder": str(folder), "variables": dict(variables)}
            request["outputs"] = {name: str(file) for name, file in files.items()}
            self.process.stdin.write(f"{json.dumps(request)}\n")
            self.process.stdin.flush()
            exit_code = int(self.process.stdout.readline())
            said = {name: file.read_text() for name, file in files.items()}
        return subprocess.CompletedProcess(["snakemake", *arguments], exit_code, **said)

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    """Run each request from the standard input in a fork and print its exit code."""
    for line in sys.stdin:
        fork = os.fork()
        if fork == 0:
            run(**json.loads(line))
        _, status = os.waitpid(fork, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(arguments: list[str], folder: str, variables: dict[str, str], outputs: dict[str, str]) -> None:
    """Run `python -m snakemake` in this process, with these outputs."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, descriptor in OUTPUTS.items():
        os.dup2(os.open(outputs[name], os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[0:1] = [folder, *variables["PYTHONPATH"].split(os.pathsep)]
    sys.argv[1:] = arguments
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
    raise SystemExit(0)


if __name__ == "__main__":
    for module in PRELOADED:
        __import__(module)
    serve()
