from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lyapunov_pkg.reproduction.catalogue import figures, tables
from lyapunov_pkg.reproduction.tasks.idx_files import MNIST_FILES
from lyapunov_pkg.workflow.store import open_shards, open_store
from tests.snakemake.conftest import SMALL, RunSnakemake, jobs


def test_every_figure_and_table_is_built_with_its_data(finished: Path) -> None:
    assert len(figures()) >= 41 and len(tables()) >= 14
    for name, record in figures().items():
        for kind in ("pdf", "png", "html"):
            assert (finished / f"results/figures/{name}.{kind}").stat().st_size > 5_000
        assert open_store(finished / f"results/figures/{name}.zarr.zip").data_vars
        caption = (finished / f"results/figures/{name}.md").read_text()
        assert re.sub(r"\d+ test networks", "test networks", caption).split() == record.text().split()
    for name in tables():
        assert len(pd.read_csv(finished / f"results/tables/{name}.csv"))
        assert (finished / f"results/tables/{name}.md").read_text().startswith("|")
        assert "<table" in (finished / f"results/tables/{name}.html").read_text()


def test_captions_state_the_number_of_test_networks(finished: Path) -> None:
    partition = open_store(finished / "results/aelle/smnist_final.zarr.zip")["partition"].isel(seed=0)
    n_test = int((partition == "test").sum())
    assert f"of the {n_test} test networks" in (finished / "results/figures/fig_3_9.md").read_text()


def test_stores_contain_every_variant_epoch_and_exponent(finished: Path) -> None:
    spectra = open_shards(sorted((finished / "results/spectra/smnist").glob("*/*.zarr.zip")))
    assert spectra.sizes == {"variant": 64, "epoch": 5, "exponent": 8}
    assert spectra["lyapunov_exponent"].attrs["units"] == "nat/step"
    assert not np.isnan(spectra["lyapunov_exponent"].values[~spectra["diverged"].values]).any()


def test_a_second_run_has_nothing_to_do(finished: Path, run_snakemake: RunSnakemake) -> None:
    assert "Nothing to be done" in run_snakemake(finished).stderr


def test_a_table_runs_only_the_jobs_that_it_needs(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    result = run_snakemake(tmp_path, "--dry-run", "table_3_2")
    planned = jobs(result.stdout + result.stderr)
    assert planned == {
        "aelle": 1,
        "smnist_dataset": 1,
        "spectra": 8,
        "table_3_2": 1,
        "train": 8,
        "write_table": 1,
    }


def test_shard_size_changes_no_result(finished: Path, tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    other = copy.deepcopy(SMALL)
    other["studies"]["smnist"]["shard_size"] = 3
    targets = [f"results/training/smnist/gru/{shard}.zarr.zip" for shard in range(3)]
    result = run_snakemake(tmp_path, *targets, configuration=other)
    assert result.returncode == 0, result.stderr
    ours, theirs = (
        open_shards(sorted((folder / "results/training/smnist/gru").glob("*.zarr.zip")))
        for folder in (finished, tmp_path)
    )
    np.testing.assert_array_equal(ours["seed"], theirs["seed"])
    np.testing.assert_allclose(ours["validation_loss"], theirs["validation_loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("varients", 3, "unknown key 'varients' in studies.smnist; did you mean variants?"),
        ("variants", -3, "studies.smnist.variants is -3; expected at least 1"),
    ],
)
def test_a_wrong_configuration_stops_before_any_job(
    tmp_path: Path, run_snakemake: RunSnakemake, key: str, value: int, message: str
) -> None:
    wrong = copy.deepcopy(SMALL)
    wrong["studies"]["smnist"][key] = value
    result = run_snakemake(tmp_path, configuration=wrong)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "results").exists()


def test_missing_data_stop_the_workflow_before_any_job(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    """Only data of the requested targets count, also in a dry run. Other targets do not need the data."""
    wrong = copy.deepcopy(SMALL)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    wrong["smnist"]["data"] |= {"source": "mnist", "directory": str(tmp_path / "file")}
    wrong["char_rnn"] = {"data": {"source": "file", "path": "folder"}}
    wrong["mocap"] = {"data": {"source": "cmu", "directory": "nowhere"}}
    wrong["sequences"] = {"data": {"path": "nowhere.npz"}}
    messages = {
        "smnist": f"directory {tmp_path}/file of smnist is missing; expected a folder with train-images",
        "char_rnn": "text of char_rnn: folder is a folder; expected a text file",
        "mocap": "mocap directory nowhere is missing; expected a folder with TRIAL.amc files",
        "sequences": "sequences: nowhere.npz does not exist; expected a .npz or Zarr file",
    }
    stops_before_any_job(tmp_path, run_snakemake, wrong, messages)
    assert run_snakemake(tmp_path, "--dry-run", "chapter_1", configuration=wrong).returncode == 0


def test_incomplete_data_stop_the_workflow_before_any_job(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    """The messages suggest the closest names."""
    wrong = copy.deepcopy(SMALL)
    for name in ("images/train-images-idx3-ubyte", "images/t10k-labels.idx1-ubyte.gz", "13/13_29.amc", "peace/war.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    wrong["smnist"]["data"] |= {"source": "mnist", "directory": "images"}
    wrong["char_rnn"] = {"data": {"source": "war_and_peace", "path": "peace"}}
    wrong["mocap"] = {"data": {"source": "cmu", "directory": ".", "trials": ["13_29", "13_92"]}}
    wrong["sequences"] = {"data": {"path": "peace/wra.txt"}}
    messages = {
        "smnist": "directory images of smnist lacks 2 of 4 files; expected also train-labels-idx1-ubyte or ",
        "char_rnn": "text of char_rnn: peace has no warpeace_input.txt; expected a folder with warpeace_input.txt",
        "mocap": "mocap directory . lacks the trials 13_92 (did you mean 13_29?); it has 13_29",
        "sequences": "sequences: peace/wra.txt does not exist (did you mean peace/war.txt?); expected",
    }
    stops_before_any_job(tmp_path, run_snakemake, wrong, messages)


def stops_before_any_job(
    folder: Path, run_snakemake: RunSnakemake, configuration: dict, messages: dict[str, str]
) -> None:
    """Request the data of each task and check that the message is a line on the terminal."""
    for task, message in messages.items():
        dataset = f"results/datasets/{task}.zarr.zip"
        result = run_snakemake(folder, "--dry-run", dataset, configuration=configuration)
        output = result.stdout + result.stderr
        assert result.returncode != 0
        assert sum(message in line for line in output.splitlines()) == 1, output
        assert "Traceback" not in output and "Missing input" not in output


def test_a_failing_job_gives_its_reason_in_one_line(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    wrong = copy.deepcopy(SMALL)
    wrong["smnist"]["data"] |= {"source": "mnist", "directory": str(tmp_path)}
    for file in MNIST_FILES.values():
        (tmp_path / file.name).write_bytes(b"no IDX file")
    result = run_snakemake(tmp_path, "results/datasets/smnist.zarr.zip", configuration=wrong)
    assert result.returncode != 0
    (line,) = re.findall(r"^ValueError: .*$", result.stderr, flags=re.M)
    assert str(tmp_path) in line and line.endswith("(traceback in results/logs/datasets/smnist.log)")
    assert "Traceback" not in result.stdout + result.stderr
    assert "Traceback" in (tmp_path / "results/logs/datasets/smnist.log").read_text()
    assert not (tmp_path / "results/datasets/smnist.zarr.zip").exists()


def test_errors_about_unknown_targets_suggest_the_closest_ones(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    """The targets are names, files, shards beyond those of their study, and arguments of Snakemake's options."""
    closest = {
        "table32": "there is no target 'table32'; did you mean table_3_2?",
        "results/figures/fig_3_32.pdf": "did you mean results/figures/fig_3_3.pdf?",
        "results/tables/table_32.md": "did you mean results/tables/table_3_2.md?",
        "fig_1_1.png": "did you mean results/figures/fig_1_1.png?",
        "results/training/smnist/gru/9.zarr.zip": "did you mean results/training/smnist/gru/0.zarr.zip?",
        "results/aelle/smnst_final.zarr.zip": "did you mean results/aelle/smnist_final.zarr.zip?",
        "results/nothing/like/it.xyz": "no rule makes the file 'results/nothing/like/it.xyz'; `make list` shows all",
        "draw_figur": "there is no target 'draw_figur'; did you mean draw_figure?",
    }
    *targets, chosen = closest
    made = ["fig_1_1", "results/tables/table_3_2.csv", "results/logs/aelle/smnist_final.log"]
    result = run_snakemake(tmp_path, "--dry-run", *targets, *made, "--forcerun", chosen)
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert all(problem in output for problem in closest.values()), output
    assert output.count("`make list` shows all targets") == len(closest)
    assert "Traceback" not in output
