"""Two simultaneous runs with one cache or in one folder, and full or read-only disks."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lyapunov_pkg.workflow.files import damage
from lyapunov_pkg.workflow.locks import file_lock
from tests.snakemake.conftest import ROOT, RunSnakemake, environment, snakemake_command

TARGETS = [f"results/training/smnist/{architecture}/0.zarr.zip" for architecture in ("rnn", "noisy")]


def start(*arguments, **options) -> subprocess.Popen[str]:
    command = snakemake_command(*arguments, **options)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=environment(), text=True
    )


def test_two_runs_in_two_folders_with_one_cache_both_finish_correctly(finished: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    runs = [start(folder, *TARGETS, cache=tmp_path / "cache") for folder in folders]
    for run in runs:
        output, _ = run.communicate(timeout=300)
        assert run.returncode == 0, output
    for target in TARGETS:
        for folder in folders:
            assert (folder / target).read_bytes() == (finished / target).read_bytes()
    assert len([path for path in (tmp_path / "cache/results").iterdir() if not damage(path)]) == 3
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_second_run_in_a_folder_reports_the_lock_of_the_first(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    (tmp_path / ".snakemake").mkdir()
    with file_lock(tmp_path / ".snakemake/run.lock") as lock:
        os.write(lock, b"process 12345 on another, since 2026-01-01 00:00:00")
        second = run_snakemake(tmp_path, *TARGETS)
        planned = run_snakemake(tmp_path, "--dry-run", *TARGETS)
    assert second.returncode != 0
    expected = f"the folder {tmp_path} is locked by process 12345 on another, since 2026-01-01 00:00:00; wait until"
    assert expected in second.stderr
    assert "Traceback" not in second.stderr
    assert not (tmp_path / "results/datasets").exists()
    assert planned.returncode == 0, planned.stderr  # A dry run is allowed meanwhile.


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mount a disk of a few kB and return its folder."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"cannot mount a small disk: {mounted.stderr}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize(
    ("full", "small_disk", "message"),
    [
        (
            "cache",
            16,
            r"cannot keep the result of smnist_dataset in the cache .*: \[Errno 28\] No space left on device",
        ),
        ("cache", 48, r"^OSError: cannot write the checkpoint .*: \[Errno 28\] No space left on device"),
        ("results", 48, r"^OSError: cannot write the store .*: \[Errno 28\] No space left on device"),
    ],
    indirect=["small_disk"],
)
def test_a_full_disk_gives_one_clear_error_and_corrupts_nothing(
    finished: Path, small_disk: Path, tmp_path: Path, run_snakemake: RunSnakemake, full: str, message: str
) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "run"
    if full == "cache":
        cache = small_disk / "cache"
    else:
        folder.mkdir()
        (folder / "results").symlink_to(small_disk)
    result = run_snakemake(folder, TARGETS[1], cache=cache)
    assert result.returncode != 0
    assert re.search(message, result.stderr, flags=re.M), result.stderr
    for place in (cache / "results", folder / "results"):
        assert not [path for path in place.rglob("*.zip") if path.exists() and damage(path)]

    # With free space again, the same command continues.
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    result = run_snakemake(folder, TARGETS[1], cache=cache)
    assert result.returncode == 0, result.stderr
    assert (folder / TARGETS[1]).read_bytes() == (finished / TARGETS[1]).read_bytes()


@pytest.mark.parametrize("small_disk", [10_000], indirect=True)
def test_a_read_only_cache_is_used(small_disk: Path, tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    """Results that the cache does not have are computed and stored in the results folder itself."""
    held, lacking = "results/datasets/smnist.zarr.zip", "results/systems/lorenz.zarr.zip"
    result = run_snakemake(tmp_path / "writer", held, cache=small_disk / "cache")
    assert result.returncode == 0, result.stderr
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for _ in range(2):  # In the second run there is nothing to do.
        result = run_snakemake(tmp_path / "reader", held, lacking, cache=small_disk / "cache")
        assert result.returncode == 0, result.stderr
    assert "Nothing to be done" in result.stderr
    assert (tmp_path / "reader" / held).resolve().parent == small_disk / "cache/results"
    assert (tmp_path / "reader" / lacking).is_file() and not (tmp_path / "reader" / lacking).is_symlink()
    assert not damage(tmp_path / "reader" / lacking)


def test_an_unwritable_cache_gives_one_clear_error(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    (tmp_path / "file").write_text("not a folder")
    result = run_snakemake(tmp_path, *TARGETS, cache=tmp_path / "file/cache")
    assert result.returncode != 0
    assert f"cache_directory is {tmp_path}/file/cache, which cannot be used: " in result.stderr
    assert "Traceback" not in result.stderr


def test_unwritable_results_give_one_clear_error(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    (tmp_path / "results").write_text("not a folder")
    result = run_snakemake(tmp_path, TARGETS[0])
    assert result.returncode != 0
    assert f"cannot write in the folder {tmp_path}/results: " in result.stderr
    assert "Traceback" not in result.stderr
