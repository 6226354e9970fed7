"""After a kill at any moment, the workflow continues and ends with the same bits."""

from __future__ import annotations

import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.snakemake.conftest import ROOT, SMALL, RunSnakemake, content, environment, snakemake_command
from tests.snakemake.forked import Server

TARGETS = ["results/spectra/smnist/noisy/0.zarr.zip"]  # This cell uses the most random numbers.

CONFIGURATION = copy.deepcopy(SMALL)
CONFIGURATION["studies"]["smnist"] |= {"variants": 4, "training": {"epochs": 20}}


def start(server: Server, directory: Path) -> int:
    _, *command = snakemake_command(directory, *TARGETS, configuration=CONFIGURATION)
    output = str(directory / "output.txt")
    return server.start(command[2:], ROOT, environment(), {"stdout": output, "stderr": output})


def kill(process: int, victim: str) -> None:
    """Send SIGKILL to a whole run, only to Snakemake, or to its jobs."""
    if victim == "everything":
        os.killpg(process, signal.SIGKILL)
    elif victim == "snakemake":
        os.kill(process, signal.SIGKILL)
    else:
        for child in psutil.Process(process).children(recursive=True):
            child.kill()


def end_leftover_jobs(directory: Path) -> None:
    """Wait for the jobs of a Snakemake that was killed alone; they end by themselves."""
    for process in psutil.process_iter():
        try:
            left = process.cwd() == str(directory)
        except psutil.Error:
            continue
        if left:
            process.wait(60)


@pytest.mark.parametrize("n_kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(
    tmp_path: Path, server: Server, run_snakemake: RunSnakemake, n_kills: int
) -> None:
    began = time.monotonic()
    result = run_snakemake(tmp_path / "reference", *TARGETS, configuration=CONFIGURATION)
    duration = time.monotonic() - began
    assert result.returncode == 0, result.stderr
    reference = content(tmp_path / "reference")
    assert len(reference) == 3

    chance = random.Random(2023)
    directory, kills, victims = tmp_path / "run", 0, ["everything", "snakemake", "job"]
    while True:
        directory.mkdir(exist_ok=True)
        process = start(server, directory)
        if kills == n_kills:
            assert server.wait(process, 120) == 0, (directory / "output.txt").read_text()
            break
        try:
            exit_code = server.wait(process, chance.uniform(0.05, 0.7) * duration)
        except subprocess.TimeoutExpired:
            kill(process, victims[kills % len(victims)])
            server.wait(process)
            kills += 1
            continue
        # The run finished before the kill: compare the results and start again without any.
        if exit_code == 0:
            assert content(directory) == reference
            end_leftover_jobs(directory)
            shutil.rmtree(directory)
    assert content(directory) == reference
    end_leftover_jobs(directory)
    assert not list(directory.rglob("*.partial"))


def test_ctrl_c_during_the_start_of_a_job_gives_no_traceback(tmp_path: Path) -> None:
    """The interrupt arrives while the job imports modules and has no log yet."""
    command = snakemake_command(tmp_path, "results/systems/lorenz.zarr.zip")
    with (tmp_path / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, env=environment(), start_new_session=True
        )
    end = time.monotonic() + 120
    while not list(tmp_path.glob(".snakemake/scripts/*.py")) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    output = (tmp_path / "output.txt").read_text()
    assert "rule lorenz:" in output and "Traceback" not in output
    assert not (tmp_path / "results/logs/systems/lorenz.log").exists()


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("raise KeyboardInterrupt", False),
        ("raise RuntimeError('Error calling __set_name__') from KeyboardInterrupt()", False),
        ("raise RuntimeError('sigma') from ValueError()", True),
    ],
)
@pytest.mark.parametrize("place", ["{}", "class A:\n    def __del__(self): {}\nA()"], ids=["raised", "in a destructor"])
def test_only_interrupts_have_no_traceback(error: str, shown: bool, place: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", place.format(error)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "envs/startup")},
        check=False,
    )
    assert ("Traceback" in result.stderr and "sigma" in result.stderr) if shown else result.stderr == ""


@pytest.mark.parametrize(
    "place",
    [
        "class A:\n    def __del__(self):\n        {}\nA()",
        "import ctypes\n@ctypes.CFUNCTYPE(None)\ndef f():\n    {}\nf()",
    ],
    ids=["destructor", "callback from C"],
)
def test_an_interrupt_that_python_ignores_still_ends_the_process(place: str) -> None:
    """Numba's loader calls Python from C to get compiled code;

    Ctrl-C in such a callback was lost about once in 100 runs.
    """
    interrupt = "import signal, time; signal.raise_signal(signal.SIGINT)"
    result = subprocess.run(
        [sys.executable, "-c", place.format(interrupt) + "\nimport time; time.sleep(50)"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "envs/startup")},
        check=False,
        timeout=40,
    )
    assert result.returncode != 0 and result.stderr == ""


def test_ctrl_c_ends_a_run_without_a_traceback(tmp_path: Path) -> None:
    configuration = copy.deepcopy(SMALL)
    configuration["lorenz"]["long_run"]["duration"] = 1e6
    command = snakemake_command(tmp_path, "results/systems/lorenz.zarr.zip", configuration=configuration)
    with (tmp_path / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, env=environment(), start_new_session=True
        )
    log = tmp_path / "results/logs/systems/lorenz.log"
    end = time.monotonic() + 120
    while not log.exists() and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # A terminal sends the same signal to the process group.
    assert process.wait(60) != 0
    assert "Traceback" not in (tmp_path / "output.txt").read_text()
    assert log.read_text().endswith("interrupted\n")
    assert not (tmp_path / "results/systems/lorenz.zarr.zip").exists()
