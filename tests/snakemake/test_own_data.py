"""The steps of docs/own-data.md from a file to AeLLE, with user data for each overlay and few networks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from lyapunov_pkg.workflow.settings import merged
from lyapunov_pkg.workflow.store import open_store
from tests.snakemake.conftest import ROOT, RunSnakemake
from tests.snakemake.test_keys import write_idx, write_motion

PAGE = (ROOT / "docs/own-data.md").read_text()
SECTIONS = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")}
(TARGET,) = re.findall(r'^make run ARGS="(\S+) --configfile mine.yaml"$', PAGE, flags=re.M)
MADE = {
    "figures": ("training", "spectra", "statistics", "aelle_plane"),
    "tables": ("correlations", "classifiers"),
}
SPECTRA = "results/spectra/my_study/lstm/0.zarr.zip"
AELLE = "results/aelle/my_study_final.zarr.zip"
SMALL = {
    "studies": {
        "my_study": {
            "variants": 20,
            "shard_size": 20,
            "hyperparameters": {"hidden_size": 4},
            "training": {"epochs": 2},
            "spectra": {"n_sequences": 3},
        }
    },
    "aelle": {"n_seeds": 2, "autoencoder": {"epochs_per_stage": 20}},
}


def block(section: str, language: str) -> str:
    """Return the only block of a language in a section of the page."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", SECTIONS[section], flags=re.M | re.S)
    return found


def make_sequences(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(block("Sequences", "python"), "docs/own-data.md", "exec"), {})


def make_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write images of 40 x 40 pixels in seven classes; the brightest row determines the class."""
    rng = np.random.default_rng(1)
    folder = folder / "my_images"
    folder.mkdir()
    for part, count in {"train": 70, "test": 28}.items():
        labels = np.arange(count) % 7
        images = rng.integers(0, 40, (count, 40, 40))
        images[np.arange(count), 5 * labels] = 200
        for kind, array in {"images": images, "labels": 10 + labels}.items():
            write_idx(folder, f"{part}_{kind}", array)


def make_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write Greek and Chinese text with hundreds of distinct characters, in the format of editors on Windows."""
    rng = np.random.default_rng(2)
    verses = [
        "Μῆνιν ἄειδε, θεά, Πηληϊάδεω Ἀχιλῆος",
        "學而時習之,不亦說乎?",
        "".join(map(chr, range(0x4E00, 0x4E00 + 400))),
    ]
    text = "\r\n".join(verses[index] for index in rng.integers(0, 3, 40))
    (folder / "my_text.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())


def make_motions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write trials in one folder per subject, with a backup file."""
    for number, place in enumerate(("ann/walk.amc", "ann/run.AMC", "bob/walk.amc", "bob/walk.amc~", "bob/hop.amc")):
        path = folder / "my_motions" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_motion(path, number, n_frames=1000)


MAKERS: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "Sequences": make_sequences,
    "Images": make_images,
    "Text": make_text,
    "Motion": make_motions,
}
DATA_VARIABLES = {
    "Sequences": {"output_mean": 2, "validation_index": 40},
    "Images": {"class": 7, "test_index": 28},
    "Text": {"alphabet": 427},
    "Motion": {"validation_trial": 12},
}


def run_on(
    section: str, folder: Path, target: str, monkeypatch: pytest.MonkeyPatch, run_snakemake: RunSnakemake
) -> None:
    """Create the data of a section and run its overlay up to a target."""
    MAKERS[section](folder, monkeypatch)
    configuration = merged(yaml.safe_load(block(section, "yaml")), SMALL)
    result = run_snakemake(folder, target, configuration=configuration)
    assert result.returncode == 0, result.stderr
    task = configuration["studies"]["my_study"]["task"]
    dataset = open_store(folder / f"results/datasets/{task}.zarr.zip")
    for name, size in DATA_VARIABLES[section].items():
        assert dataset[name].size == size
    log = (folder / f"results/logs/datasets/{task}.log").read_text()
    assert ("left out the byte-order mark" in log and "replaced 39 CR LF" in log) == (section == "Text")
    losses = open_store(folder / "results/training/my_study/lstm/0.zarr.zip")["validation_loss"]
    assert (losses.isel(epoch=-1) < losses.isel(epoch=0)).mean() > 0.5


@pytest.mark.parametrize("section", [name for name in MAKERS if name != "Sequences"])
def test_networks_are_trained_on_user_data(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_snakemake: RunSnakemake
) -> None:
    run_on(section, tmp_path, SPECTRA, monkeypatch, run_snakemake)
    assert np.isfinite(open_store(tmp_path / SPECTRA)["lyapunov_exponent"]).all()


# After the spectra, all tasks have the same stages.
@pytest.mark.parametrize(
    "section", [pytest.param(name, marks=[pytest.mark.slow] * (name != "Sequences")) for name in MAKERS]
)
def test_user_data_are_processed_from_file_to_aelle(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_snakemake: RunSnakemake
) -> None:
    run_on(section, tmp_path, TARGET, monkeypatch, run_snakemake)
    for kind, names in MADE.items():
        for name in names:
            assert (tmp_path / f"results/{kind}/study_my_study/{name}.html").stat().st_size > 500
    aelle = open_store(tmp_path / AELLE)
    assert aelle.sizes["network"] == 20 and np.isfinite(aelle["predicted_loss"]).all()
