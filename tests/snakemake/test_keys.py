"""The cache key of a result depends on all inputs of the result.

A run with a cache that has similar results gives the same bytes as a run with an empty cache.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from lyapunov_pkg.reproduction.tasks.amc import CMU_JOINTS
from lyapunov_pkg.reproduction.tasks.idx_files import MNIST_FILES
from lyapunov_pkg.workflow.store import open_store
from tests.snakemake.conftest import ROOT, SMALL, RunSnakemake, content

TEXTS = ["All happy families are alike. " * 40, "Every unhappy family is unhappy in its own way. " * 40]


def with_twins(entries: list[str]) -> dict:
    """Return the small configuration with a copy of the study char_rnn_initialisation.

    Only the name of the copy differs. Each of its `entries` has the settings of the original entry.
    """
    configuration = copy.deepcopy(SMALL)
    study = shipped_study("char_rnn_initialisation")
    (settings,) = study["design"].values()
    study["design"] = {entry: {"architecture": "lstm"} | settings for entry in entries}
    configuration["studies"]["twin"] = study
    return configuration


def shipped_study(name: str) -> dict:
    """Return a study of config.yaml at the small scale."""
    study = yaml.safe_load((ROOT / "config.yaml").read_text())["studies"][name]
    for section, settings in SMALL["studies"][name].items():
        study[section] = study[section] | settings if isinstance(settings, dict) else settings
    return study


def test_results_of_studies_with_equal_settings_are_not_mixed_up(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    """The copy of a study has two entries with equal settings, and these entries in two orders."""
    original = "results/training/char_rnn_initialisation/lstm/0.zarr.zip"
    stores = [f"results/training/twin/{entry}/0.zarr.zip" for entry in ("lstm", "other")]
    eigenvalues = "results/eigenvalues/twin.zarr.zip"
    runs = {
        "original": ([original], ["lstm"], "cache"),
        "first": ([*stores, eigenvalues], ["lstm", "other"], "cache"),
        "second": ([*stores, eigenvalues], ["other", "lstm"], "cache"),
        "fresh": ([*stores, eigenvalues], ["other", "lstm"], "empty"),
    }
    for name, (targets, entries, cache) in runs.items():
        configuration = with_twins(entries)
        result = run_snakemake(tmp_path / name, *targets, configuration=configuration, cache=tmp_path / cache)
        assert result.returncode == 0, result.stderr
    assert content(tmp_path / "second") == content(tmp_path / "fresh")
    trained = [tmp_path / "original" / original, *(tmp_path / "first" / store for store in stores)]
    seeds = np.concatenate([open_store(path)["seed"].values for path in trained])
    assert len(np.unique(seeds)) == len(seeds)
    # The networks of the two groups are in the order of the configuration.
    first, second = (open_store(tmp_path / name / eigenvalues)["seed"].values for name in ("first", "second"))
    np.testing.assert_array_equal(np.roll(first, len(first) // 2), second)


def write_motion(path: Path, seed: int, n_frames: int = 500) -> None:
    """Write an AMC file of slow random motion."""
    frames = np.random.default_rng(seed).normal(size=(n_frames, sum(CMU_JOINTS.values()))).cumsum(axis=0)
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, 1):
        lines.append(str(number))
        values = iter(frame)
        lines += [" ".join([joint, *(f"{next(values):.4f}" for _ in range(n))]) for joint, n in CMU_JOINTS.items()]
    path.write_text("\n".join(lines) + "\n")


def write_idx(folder: Path, part: str, array: np.ndarray) -> Path:
    """Write one of the four IDX files of a folder of images."""
    path = folder / MNIST_FILES[part].name
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes()
    path.write_bytes(header + array.astype(np.uint8).tobytes())
    return path


def test_content_and_names_of_files_decide_and_not_their_modification_times(
    tmp_path: Path, run_snakemake: RunSnakemake
) -> None:
    """Two motions exchange their names, and a text, labels and sequences are replaced by older files."""
    configuration = copy.deepcopy(SMALL)
    configuration["mocap"] = {"data": {"source": "cmu", "directory": "motions", "sequence_length": 21}}
    configuration["char_rnn"] = {
        "data": {"source": "file", "path": "text.txt", "sequence_length": 20, "n_sequences": 60}
    }
    configuration["smnist"] = {"data": {"source": "idx", "directory": "images"}}
    configuration["sequences"] = {"data": {"path": "sequences.npz"}}
    targets = [f"results/datasets/{task}.zarr.zip" for task in ("char_rnn", "smnist", "sequences")]
    targets.append("results/training/mocap/lstm/0.zarr.zip")

    def run(name: str, cache: str) -> dict[str, bytes]:
        result = run_snakemake(tmp_path / name, *targets, configuration=configuration, cache=tmp_path / cache)
        assert result.returncode == 0, result.stderr
        return content(tmp_path / name)

    (tmp_path / "a/motions").mkdir(parents=True)
    for seed, trial in enumerate(("walk", "run")):
        write_motion(tmp_path / f"a/motions/{trial}.amc", seed)
    (tmp_path / "a/text.txt").write_text(TEXTS[0])
    (tmp_path / "a/images").mkdir()
    for part in ("train", "test"):
        write_idx(tmp_path / "a/images", f"{part}_images", np.arange(20 * 6).reshape(20, 2, 3))
        write_idx(tmp_path / "a/images", f"{part}_labels", np.arange(20) % 3)
    data = {"inputs": np.arange(60.0).reshape(10, 3, 2), "targets": np.arange(10) % 2}
    np.savez(tmp_path / "a/sequences", **data)
    before = run("a", "cache")
    walk, other, moved = (tmp_path / f"a/motions/{name}" for name in ("walk.amc", "run.amc", "moved"))
    for old, new in ((walk, moved), (other, walk), (moved, other)):
        old.rename(new)
    (tmp_path / "a/text.txt").write_text(TEXTS[1])
    labels = write_idx(tmp_path / "a/images", "train_labels", np.arange(1, 21) % 3)
    np.savez(tmp_path / "a/sequences", **data | {"targets": data["targets"][::-1]})
    for path in (tmp_path / "a/text.txt", walk, other, labels, tmp_path / "a/sequences.npz"):
        os.utime(path, (0, 0))
    for name in ("motions", "images", "text.txt", "sequences.npz"):
        source = tmp_path / "a" / name
        for folder in ("second_clone", "fresh"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / folder / name)
    after, second_clone, fresh = run("a", "cache"), run("second_clone", "cache"), run("fresh", "empty")
    assert after == second_clone == fresh
    assert not set(before.values()) & set(after.values())


RULES = [
    rule
    for path in sorted((ROOT / "rules").glob("*.smk"))
    for rule in re.split(r"(?m)^(?=rule )", path.read_text())[1:]
    if "    cache:" in rule
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.split(":")[0].removeprefix("rule "))
def test_every_cached_rule_names_its_wildcards_and_the_order_of_its_inputs(rule: str) -> None:
    output = re.search(r"output:\n(.*?)\n    \w", rule, flags=re.S)
    assert output is not None
    assert ("names=names," in rule) == ("{" in output.group(1))
    assert ("groups=" in rule) == ("shards(" in rule)


@pytest.mark.slow
def test_rebuilding_all_targets_gives_the_same_bytes(
    finished: Path, tmp_path: Path, run_snakemake: RunSnakemake
) -> None:
    """The order of the jobs, the number of threads and the hash seed change no byte."""
    variables = {"PYTHONHASHSEED": "2"} | dict.fromkeys(
        ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "2"
    )
    result = run_snakemake(tmp_path, "--cores", "3", variables=variables)
    assert result.returncode == 0, result.stderr
    assert content(tmp_path) == content(finished)
    for path in (finished / "results/tables").iterdir():
        assert (tmp_path / "results/tables" / path.name).read_bytes() == path.read_bytes()
