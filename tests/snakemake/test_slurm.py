"""The workflow on a real SLURM cluster."""

from __future__ import annotations

import copy
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lyapunov_pkg.reproduction.tasks.idx_files import MNIST_FILES
from tests.snakemake.conftest import ROOT, SMALL, environment, snakemake_command
from tests.snakemake.slurm import Slurm, missing_programs

# The test cluster has no accounting of finished jobs (no sacct).
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
    command[command.index("snakemake")] = "tests.snakemake.asking_often"
    variables = environment() | slurm.environment
    with (directory / "output.txt").open("w") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=variables, text=True)


def jobs(slurm: Slurm, columns: str) -> list[list[str]]:
    """Return columns of squeue for all jobs until now."""
    lines = slurm.run("squeue", "--states=all", "--noheader", "--sort=i", f"--format={columns}").splitlines()
    return [[field.strip() for field in line.split("|")] for line in lines]


def trains(slurm: Slurm, node: str) -> bool:
    """Return whether a training job runs on the node."""
    running = jobs(slurm, "%k|%N|%T")
    return any("_train" in comment and (place, state) == (node, "RUNNING") for comment, place, state in running)


def run_while_a_node_dies(slurm: Slurm, directory: Path, *targets: str) -> Counter[str]:
    """Build targets while one node of the cluster dies in a training job; return how often each job was submitted."""
    before = len(jobs(slurm, "%i"))
    process = start(slurm, directory, *targets, configuration=SMALL)

    def held_while_it_trains() -> bool:
        """Suspend node2 while it runs a training job, so that SLURM does not learn of the job's end."""
        assert process.poll() is None, (directory / "output.txt").read_text()
        if not trains(slurm, "node2"):
            return False
        slurm.hold("node2")
        time.sleep(2)  # A message about the end of a job, if it was on its way, has now arrived.
        if not trains(slurm, "node2"):
            slurm.release("node2")
            return False
        return True

    try:
        slurm.wait_for(held_while_it_trains, "a training job on node2", 120)
        slurm.kill_node("node2")
        assert process.wait(1800) == 0, (directory / "output.txt").read_text()
    finally:
        process.kill()  # This has no effect if the process has ended.
    restarts = slurm.run("squeue", "--states=all", "--noheader", "--sort=i", "--Format=RestartCnt").split()[before:]
    assert sum(map(int, restarts)) >= 1
    slurm.start_node("node2")
    return Counter(comment for (comment,) in jobs(slurm, "%k")[before:])


@pytest.mark.slow
def test_targets_of_all_chapters_agree_with_a_local_run(slurm: Slurm, finished: Path, tmp_path: Path) -> None:
    """Jobs of the dead node are repeated. Training and spectra of three shards are one submission.

    The targets need every stage and all four chapters. Each job on the cluster takes ten seconds.
    """
    targets = ("fig_1_1", "table_2_a2", "fig_3_7", "fig_3_9", "table_3_2", "table_4_1")
    submitted = run_while_a_node_dies(slurm, tmp_path, *targets, "--group-components", "shard=3", "presentation=1000")
    stores = sorted((tmp_path / "results").rglob("*.zarr.zip"))
    tables = [path for path in (tmp_path / "results/tables").iterdir() if path.is_file()]
    assert len(stores) > 20 and len(tables) == 9
    for path in (*stores, *tables):
        assert path.read_bytes() == (finished / path.relative_to(tmp_path)).read_bytes(), path
    for experiment in ("smnist_final", "smnist_pretrained", "target_learning_final"):
        assert submitted[f"rule_aelle_wildcards_{experiment}"] == 1
    # Eight architectures of SMNIST and a shard of Mocap; at most two jobs ran on the dead node.
    assert 3 <= submitted["rule_shard_spectra_train"] <= 5
    assert submitted["rule_smnist_dataset"] == 1
    (drawing,) = [comment for comment in submitted if comment.startswith("rule_presentation")]
    assert submitted[drawing] == 1


def test_failed_jobs_are_repeated_with_more_memory_and_time(slurm: Slurm, tmp_path: Path) -> None:
    configuration = copy.deepcopy(SMALL)
    configuration["smnist"]["data"] |= {"source": "mnist", "directory": str(tmp_path)}
    for file in MNIST_FILES.values():
        (tmp_path / file.name).write_bytes(b"no IDX file")
    configuration["resources"] = {"smnist_dataset": {"memory": 500, "minutes": 7, "partition": "long", "cpus": 2}}
    before = len(jobs(slurm, "%i"))
    process = start(slurm, tmp_path, "--retries", "1", "results/datasets/smnist.zarr.zip", configuration=configuration)
    assert process.wait(300) != 0
    asked = jobs(slurm, "%m|%l|%P|%C")[before:]
    assert asked == [["500M", "7:00", "long", "2"], ["1000M", "14:00", "long", "2"]]
    logs = [path.read_text() for path in (tmp_path / "results/logs/datasets").glob("smnist*.log")]
    assert any("ValueError" in log for log in logs)
