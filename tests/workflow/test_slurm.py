"""The workflow on a real SLURM."""

from __future__ import annotations

import copy
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.conftest import ROOT, SMALL, environment, snakemake_command
from tests.workflow.slurm import Slurm, missing_programs

# The test cluster keeps no accounts of ended jobs (no sacct).
OPTIONS = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5")


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    if missing := missing_programs():
        message = f"{', '.join(missing)} not found; on Debian: apt-get install slurm-wlm munge"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    cluster = Slurm()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def start(slurm: Slurm, directory: Path, *targets: str, configuration: dict) -> subprocess.Popen[str]:
    command = snakemake_command(directory, *OPTIONS, *targets, configuration=configuration, profile="slurm")
    command[command.index("snakemake")] = "tests.workflow.asking_often"
    variables = environment() | slurm.environment
    with (directory / "output.txt").open("w") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=variables, text=True)


def jobs(slurm: Slurm, columns: str) -> list[list[str]]:
    """Columns of squeue for every job so far."""
    lines = slurm.run("squeue", "--states=all", "--noheader", "--sort=i", f"--format={columns}").splitlines()
    return [[field.strip() for field in line.split("|")] for line in lines]


def test_default_targets_survive_the_death_of_a_node(slurm: Slurm, finished: Path, tmp_path: Path) -> None:
    """Same results as the local run; jobs on the node that dies are run again on the other."""
    process = start(slurm, tmp_path, configuration=SMALL)

    def node_trains() -> bool:
        assert process.poll() is None, (tmp_path / "output.txt").read_text()
        return any("train" in comment and node == "node2" for comment, node in jobs(slurm, "%k|%N"))

    slurm.wait_for(node_trains, "a training job on node2", 120)
    slurm.kill_node("node2")
    assert process.wait(500) == 0, (tmp_path / "output.txt").read_text()

    restarts = slurm.run("squeue", "--states=all", "--noheader", "--Format=RestartCnt").split()
    assert sum(map(int, restarts)) >= 1
    for path in (finished / "results").rglob("*.zarr.zip"):
        assert (tmp_path / path.relative_to(finished)).read_bytes() == path.read_bytes(), path
    for path in (finished / "results/tables").iterdir():
        assert (tmp_path / path.relative_to(finished)).read_text() == path.read_text()


def test_short_jobs_share_one_submission(slurm: Slurm) -> None:
    """After the run above, in which at most two jobs ran on the node that died."""
    submitted = Counter(comment for (comment,) in jobs(slurm, "%k"))
    assert submitted["rule_smnist_dataset"] == 1
    for experiment in ("smnist_final", "smnist_pretrained", "char_rnn_sizes_final"):
        assert submitted[f"rule_aelle_wildcards_{experiment}"] == 1
    assert 11 <= submitted["rule_shard_spectra_train"] <= 13
    (drawing,) = [comment for comment in submitted if comment.startswith("rule_presentation")]
    assert submitted[drawing] == 1


def test_failed_jobs_are_tried_again_with_more_memory_and_time(slurm: Slurm, tmp_path: Path) -> None:
    configuration = copy.deepcopy(SMALL)
    configuration["smnist"]["data"] |= {"source": "mnist", "directory": str(tmp_path / "nowhere")}
    configuration["resources"] = {"smnist_dataset": {"memory": 500, "minutes": 7, "partition": "long", "cpus": 2}}
    before = len(jobs(slurm, "%i"))
    process = start(slurm, tmp_path, "--retries", "1", "results/datasets/smnist.zarr.zip", configuration=configuration)
    assert process.wait(300) != 0
    asked = jobs(slurm, "%m|%l|%P|%C")[before:]
    assert asked == [["500M", "7:00", "long", "2"], ["1000M", "14:00", "long", "2"]]
    assert "FileNotFoundError" in (tmp_path / "output.txt").read_text()
