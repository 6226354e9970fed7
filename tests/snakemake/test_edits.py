"""The table of docs/caching.md: the jobs that Snakemake repeats after each kind of edit."""

from __future__ import annotations

import copy
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lyapunov_pkg.cells import CELLS
from lyapunov_pkg.reproduction.training.bptt import VARIANTS_TOGETHER
from lyapunov_pkg.workflow.store import open_store
from tests.snakemake.conftest import ROOT, SMALL, RunSnakemake, jobs, outputs

# These are the figures and tables of the study smnist.
FIGURES_AND_TABLES = {"draw_figure": 11, "write_table": 7, "pruning": 1, "all": 1}
Plan = Callable[..., tuple[dict[str, int], set[str]]]


@pytest.fixture
def plan(finished: Path, run_snakemake: RunSnakemake) -> Plan:
    """Return a function that plans a dry run in the finished folder: jobs by rule, and their output files."""

    def plan(repository: Path, configuration: dict = SMALL) -> tuple[dict[str, int], set[str]]:
        result = run_snakemake(finished, "--dry-run", repository=repository, configuration=configuration)
        assert result.returncode == 0, result.stderr
        text = result.stdout + result.stderr
        assert bool(jobs(text)) != ("Nothing to be done" in text)
        return jobs(text), outputs(text)

    return plan


def changed(path: str, value: object) -> dict:
    """Return the small configuration with one changed setting; `path` starts below studies.smnist."""
    configuration = copy.deepcopy(SMALL)
    *parents, last = path.split(".")
    section = configuration["studies"]["smnist"]
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return configuration


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


def test_comments_docstrings_and_touched_files_repeat_no_job(repository: Path, plan: Plan, finished: Path) -> None:
    for path in (*repository.rglob("*.py"), *repository.rglob("*.smk"), repository / "Snakefile"):
        path.write_text(path.read_text() + "\n# A comment.\n")
    for path in (repository / "lyapunov_pkg").rglob("*.py"):
        if path.read_text().startswith('"""'):
            replace(path, '"""', '"""Said otherwise. ')
    (repository / "README.md").write_text("Other prose.\n")
    for path in finished.rglob("results/**/*.*"):
        os.utime(path, follow_symlinks=False)
    assert plan(repository) == ({}, set())


def test_an_edited_plotting_function_redraws_only_its_figure(repository: Path, plan: Plan) -> None:
    replace(
        repository / "lyapunov_pkg/reproduction/figures/chapter_3/architectures.py",
        "def fig_3_12(final: xr.Dataset) -> Figure:",
        "def fig_3_12(final: xr.Dataset) -> Figure | None:",
    )
    rules, files = plan(repository)
    assert rules == {"draw_figure": 1, "all": 1}
    assert {Path(name).name for name in files} == {
        f"fig_3_12.{kind}" for kind in ("pdf", "png", "md", "html", "zarr.zip")
    }


@pytest.mark.parametrize(
    ("module", "old", "new", "name", "rule"),
    [
        (
            "figures/chapter_3/architectures.py",
            "The network of median",
            "A network of median",
            "fig_3_12",
            "draw_figure",
        ),
        ("tables/chapter_2.py", "Correlation of statistics", "Statistics", "table_extra_correlations", "write_table"),
    ],
)
def test_an_edited_caption_repeats_only_its_figure_or_table(
    repository: Path, plan: Plan, module: str, old: str, new: str, name: str, rule: str
) -> None:
    replace(repository / "lyapunov_pkg/reproduction" / module, f'"{old}', f'"{new}')
    rules, files = plan(repository)
    assert rules == {rule: 1, "all": 1}
    assert {Path(file).name.split(".")[0] for file in files} == {name}


def test_an_edited_table_function_writes_only_its_table(repository: Path, plan: Plan) -> None:
    replace(
        repository / "lyapunov_pkg/reproduction/tables/chapter_3.py",
        "def table_3_b3(final: xr.Dataset) -> pd.DataFrame:",
        "def table_3_b3(final: xr.Dataset) -> pd.DataFrame | None:",
    )
    rules, files = plan(repository)
    assert rules == {"write_table": 1, "all": 1}
    assert {Path(name).name for name in files} == {"table_3_b3.csv", "table_3_b3.md", "table_3_b3.html"}


def test_an_aelle_setting_repeats_aelle_and_later_stages(repository: Path, plan: Plan) -> None:
    rules, files = plan(repository, changed("aelle.autoencoder.learning_rate", 2e-4))
    # fig_3_5 shows spectra, and table_3_a1 shows the configuration.
    assert rules == FIGURES_AND_TABLES | {"aelle": 2, "draw_figure": 10}
    assert not any(name.startswith(("training", "spectra", "datasets")) for name in files)


@pytest.mark.parametrize(("setting", "value"), [("warmup_passes", 2), ("n_sequences", 5)])
def test_a_spectrum_setting_repeats_spectra_and_later_stages(
    repository: Path, plan: Plan, setting: str, value: int
) -> None:
    rules, _ = plan(repository, changed(f"spectra.{setting}", value))
    assert rules == FIGURES_AND_TABLES | {"spectra": 8, "aelle": 2}


def test_a_flip_setting_repeats_the_flips_and_later_stages(repository: Path, plan: Plan) -> None:
    configuration = copy.deepcopy(SMALL)
    configuration["studies"]["pixel_rnn"]["flips"]["n_draws"] = 5
    rules, files = plan(repository, configuration)
    assert rules == {"flips": 1, "draw_figure": 5, "write_table": 1, "all": 1}
    names = ("fig_4_3", "fig_4_4", "fig_4_5", "fig_4_d", "fig_extra_flip_comparisons", "table_4_1", "flips")
    assert all(Path(name).name.startswith(names) for name in files)


def test_edited_code_of_one_cell_repeats_only_its_architecture(repository: Path, plan: Plan) -> None:
    replace(repository / "lyapunov_pkg/cells/gru.py", "n_gates: ClassVar[int] = 3", "n_gates: ClassVar[int] = 2 + 1")
    rules, files = plan(repository)
    assert {name for name in files if name.startswith("training")} == {"training/smnist/gru/0.zarr.zip"}
    assert {name for name in files if name.startswith("spectra")} == {"spectra/smnist/gru/0.zarr.zip"}
    assert rules == FIGURES_AND_TABLES | {
        "train": 1,
        "spectra": 1,
        "aelle": 2,
        "write_table": 8,  # The table of architectures is included, because it reads the training stores.
    }


def test_the_range_of_one_architecture_repeats_only_that_architecture(repository: Path, plan: Plan) -> None:
    rules, files = plan(repository, changed("design.gru.init_param", {"uniform": [0.1, 2.0]}))
    assert {name for name in files if name.startswith("training")} == {"training/smnist/gru/0.zarr.zip"}
    assert rules == FIGURES_AND_TABLES | {
        "train": 1,
        "spectra": 1,
        "aelle": 2,
        "write_table": 9,  # Table 3.A1 is included, because it shows the configuration.
    }


def test_target_learning_depends_on_its_settings_like_other_studies(repository: Path, plan: Plan) -> None:
    configuration = copy.deepcopy(SMALL)
    configuration["studies"]["target_learning"]["training"]["epochs"] = 3
    rules, _ = plan(repository, configuration)
    assert rules == {
        "train_target_learning": 1,
        "spectra_target_learning": 1,
        "aelle": 1,
        "draw_figure": 3,
        "write_table": 3,
        "all": 1,
    }


def test_more_variants_are_trained_in_new_shards(repository: Path, plan: Plan) -> None:
    _, files = plan(repository, changed("variants", 12))
    new = {f"smnist/{architecture}/1.zarr.zip" for architecture in CELLS if architecture != "rank_one"}
    for stage in ("training", "spectra"):
        assert {name.removeprefix(f"{stage}/") for name in files if name.startswith(stage)} == new


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("training.epochs", 5),
        ("variants", 10),  # The last shard has free places: its variants are not trained again.
    ],
)
def test_more_epochs_and_a_growing_shard_continue_from_checkpoints(
    finished: Path, tmp_path: Path, run_snakemake: RunSnakemake, setting: str, value: int
) -> None:
    configuration = changed(setting, value)
    configuration["studies"]["smnist"]["shard_size"] = 24
    cache = shutil.copytree(finished / "cache", tmp_path / "cache")
    result = run_snakemake(
        tmp_path, "results/training/smnist/lstm/0.zarr.zip", configuration=configuration, cache=cache
    )
    assert result.returncode == 0, result.stderr
    log = (tmp_path / "results/logs/training/smnist/lstm/0.log").read_text()
    width = VARIANTS_TOGETHER["cpu"]
    stacks = [(first, min(first + width, 8) - 1) for first in range(0, 8, width)]
    taken = [f"lstm {first}-{last}: epochs 0-4 taken from checkpoints" for first, last in stacks]
    assert [line for line in log.splitlines() if "taken" in line] == taken
    shorter, longer = (
        open_store(folder / "results/training/smnist/lstm/0.zarr.zip").drop_attrs().drop_vars("best_epoch")
        for folder in (finished, tmp_path)
    )
    assert longer.isel(variant=slice(0, 8), epoch=slice(0, 5), kept=slice(0, 5)).equals(shorter)
    assert longer.sizes["variant"] * longer.sizes["epoch"] > shorter.sizes["variant"] * shorter.sizes["epoch"]


@pytest.mark.parametrize(
    ("study", "section", "setting", "redone"),
    [
        ("char_rnn_initialisation", "design", {"lstm": {"dropout": 0.1}}, ("training", "spectra")),
        ("mocap", "training", {"epochs": 2, "gradient_clip": 1.0}, ("training", "spectra")),
        ("char_rnn_initialisation", "spectra", {"n_sequences": 3}, ("spectra",)),
    ],
)
def test_a_design_repeats_only_its_study(
    repository: Path, plan: Plan, study: str, section: str, setting: dict, redone: tuple[str, ...]
) -> None:
    configuration = copy.deepcopy(SMALL)
    configuration["studies"][study][section] = setting
    _, files = plan(repository, configuration)
    expected = {f"{stage}/{study}/lstm/0.zarr.zip" for stage in redone}
    assert {name for name in files if name.startswith(("datasets", "training", "spectra"))} == expected


def test_deleted_results_are_restored_from_the_cache(
    finished: Path, tmp_path: Path, run_snakemake: RunSnakemake
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run", symlinks=True)
    shutil.rmtree(folder / "results")
    stores = [str(path.relative_to(finished)) for path in (finished / "results").rglob("*.zarr.zip")]
    stores = [store for store in stores if not store.startswith("results/figures")]
    result = run_snakemake(folder, *stores)
    assert result.returncode == 0, result.stderr
    logs = (folder / "results/logs").rglob("*.log")
    assert not "".join(path.read_text() for path in logs)  # A job that runs would write its progress to the log.
    for store in stores:
        assert (folder / store).read_bytes() == (finished / store).read_bytes(), store


def test_damaged_cache_entries_are_recomputed(finished: Path, tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished / "cache", folder / "cache", symlinks=True)
    names = {
        "datasets/smnist": lambda content: content[: len(content) // 2],
        "training/smnist/gru/0": lambda content: content.replace(b"nat", b"bit", 1),
        "spectra/smnist/gru/0": lambda content: b"",
    }
    for name, damage in names.items():
        entry = folder / "cache/results" / (finished / f"results/{name}.zarr.zip").resolve().name
        entry.write_bytes(damage(entry.read_bytes()))
    target = "results/spectra/smnist/gru/0.zarr.zip"
    result = run_snakemake(folder, target)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("was damaged") == 3
    for name in names:
        again, before = (path / f"results/{name}.zarr.zip" for path in (folder, finished))
        assert again.read_bytes() == before.read_bytes()

    # Damage after the entry was linked is also detected.
    (folder / target).resolve().write_bytes(b"PK")
    result = run_snakemake(folder, target)
    assert result.returncode == 0, result.stderr
    assert (folder / target).read_bytes() == (finished / target).read_bytes()


def test_a_dry_run_at_the_dissertations_scale_is_fast(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    paper = yaml.safe_load((ROOT / "config/paper.yaml").read_text())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run_snakemake(tmp_path, "--dry-run", configuration=paper, variables={})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # CPU time does not depend on the load of the machine. It is about 8 seconds.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
    assert jobs(result.stdout + result.stderr)["train"] == 339
