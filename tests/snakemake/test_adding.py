"""The steps of docs/adding.md, applied literally to a copy of the repository."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from lyapunov_pkg.workflow.store import open_store
from tests.snakemake.conftest import ROOT, SMALL, RunSnakemake

PAGE = (ROOT / "docs/adding.md").read_text()
SECTIONS = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")}
NEW_FILE = re.compile(r"^Create `([\w/]+\.py)`:\n\n```python\n(.*?)^```", flags=re.M | re.S)
NEW_ENTRY = re.compile(r"^Add its entry to `(\w+)` in `([\w/]+\.py)`:\n\n```python\n(.*?)^```", flags=re.M | re.S)
COMMAND = re.compile(r"^make run ARGS=(\w+)$", flags=re.M)


def follow(section: str, repository: Path) -> None:
    """Create the files of a section of the page and add its entries."""
    files, entries = NEW_FILE.findall(SECTIONS[section]), NEW_ENTRY.findall(SECTIONS[section])
    assert files
    for name, code in files:
        path = repository / name
        assert not path.exists(), f"{name} is there already"
        path.write_text(code)
    for dictionary, name, line in entries:
        path = repository / name
        before, opening, after = re.split(rf"(^{dictionary}\b[^\n]*\{{\n)", path.read_text(), flags=re.M)
        path.write_text(before + opening + line + after)


def run(repository: Path, folder: Path, run_snakemake: RunSnakemake, *targets: str, **options: object) -> str:
    """Run a repository's workflow in a folder and return its output."""
    result = run_snakemake(folder, *targets, repository=repository, **options)
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_a_figure_and_a_table_need_one_file_each(
    repository: Path, finished: Path, tmp_path: Path, run_snakemake: RunSnakemake
) -> None:
    """The new files change no existing result, so that the Lorenz system comes from the cache."""
    for section in ("A figure", "A table"):
        follow(section, repository)
    targets = COMMAND.findall(PAGE)
    assert targets == ["fig_extra_contraction", "table_extra_contraction"]
    run(repository, tmp_path, run_snakemake, *targets, cache=finished / "cache")
    results = tmp_path / "results"
    assert (results / "systems/lorenz.zarr.zip").resolve() == (finished / "results/systems/lorenz.zarr.zip").resolve()
    drawn = open_store(results / "figures/fig_extra_contraction.zarr.zip")
    assert list(drawn.data_vars) == ["long_run_exponent"]
    for kind in ("pdf", "png", "html"):
        assert (results / f"figures/fig_extra_contraction.{kind}").stat().st_size > 5_000
    caption = (results / "figures/fig_extra_contraction.md").read_text()
    assert caption.startswith("Beyond the dissertation. Sum of the Lyapunov exponents of the Lorenz system by ρ.")
    numbers = pd.read_csv(results / "tables/table_extra_contraction.csv")
    assert numbers["sum_of_exponents"].to_numpy() == pytest.approx(-41 / 3, abs=0.01)
    assert "| sum of exponents |" in re.sub(" +", " ", (results / "tables/table_extra_contraction.md").read_text())
    page = (results / "tables/table_extra_contraction.html").read_text()
    assert "Sum of the Lyapunov exponents" in page and "<th>sum of exponents</th>" in page


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        (
            "results/systems/lorenz.zarr.zip",
            "results/systems/lorentz.zarr.zip",
            ["fig_extra_contraction in", "lorentz.zarr.zip, which no rule makes; did you mean results/systems/lorenz"],
        ),
        ("    chapter=1,\n", "", ["fig_extra_contraction in", "chapter is None; expected chapter=1 or more"]),
        (
            'Store("results/systems/lorenz.zarr.zip", ',
            'Shards("spectra", "smnits", ',
            ["fig_extra_contraction in", "the study 'smnits'", "did you mean smnist?"],
        ),
    ],
)
def test_a_record_with_a_mistake_gives_one_clear_error(
    old: str, new: str, messages: list[str], repository: Path, tmp_path: Path, run_snakemake: RunSnakemake
) -> None:
    follow("A figure", repository)
    path = repository / "lyapunov_pkg/reproduction/figures/contraction.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace("Store, figure", "Shards, Store, figure").replace(old, new))
    result = run_snakemake(tmp_path, "--dry-run", "fig_extra_contraction", repository=repository)
    said = " ".join((result.stdout + result.stderr).split())
    assert result.returncode != 0 and "Traceback" not in said
    assert all(message in said for message in messages), said


def test_the_error_about_a_missing_variable_names_the_figure(
    repository: Path, finished: Path, tmp_path: Path, run_snakemake: RunSnakemake
) -> None:
    follow("A figure", repository)
    path = repository / "lyapunov_pkg/reproduction/figures/contraction.py"
    path.write_text(path.read_text().replace('("long_run_exponent",)', '("long_run_exponents",)'))
    result = run_snakemake(tmp_path, "fig_extra_contraction", repository=repository, cache=finished / "cache")
    assert result.returncode != 0
    log = (tmp_path / "results/logs/figures/fig_extra_contraction.log").read_text()
    assert "fig_extra_contraction" in log and "did you mean long_run_exponent?" in log


def test_a_cell_needs_one_file_and_one_entry(repository: Path, tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    follow("A cell", repository)
    (design,) = re.findall(r"^```yaml\n(.*?)^```", SECTIONS["A cell"], flags=re.M | re.S)
    configuration = copy.deepcopy(SMALL)
    configuration["studies"]["smnist"] |= yaml.safe_load(design)["studies"]["smnist"] | {"variants": 2}
    target = "results/spectra/smnist/leaky/0.zarr.zip"
    run(repository, tmp_path, run_snakemake, target, configuration=configuration)
    spectra = open_store(tmp_path / target)
    assert spectra["architecture"].values.tolist() == ["leaky", "leaky"]
    assert not spectra["diverged"].any()
    assert np.isfinite(spectra["lyapunov_exponent"]).all()
