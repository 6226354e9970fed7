from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

SMALL = {
    "lorenz": {
        "short_run": {"step_size": 0.01, "transient": 1.0, "duration": 2.0},
        "long_run": {"transient": 1.0, "duration": 2.0, "n_trajectories": 2},
    },
    "smnist": {
        "data": {"n_train": 200, "n_test": 60},
        "hidden_size": 8,
        "variants": 8,
        "shard_size": 8,
        "training": {"epochs": 4},
        "spectra": {"n_sequences": 4},
        "aelle": {"n_seeds": 2, "pretrained_epochs": 3, "autoencoder": {"epochs_per_stage": 20}},
    },
}

RunSnakemake = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_snakemake() -> RunSnakemake:
    """Run the real Snakemake with the repository's workflow in a folder, at a small scale (or that of
    `configuration`)."""

    def run(directory: Path, *arguments: str, configuration: dict | None = None) -> subprocess.CompletedProcess[str]:
        directory.mkdir(parents=True, exist_ok=True)
        overlay = directory / "overlay.yaml"
        overlay.write_text(yaml.safe_dump(SMALL if configuration is None else configuration))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        command += ["--directory", str(directory), *arguments, "--configfile", str(overlay)]
        return subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "agg"}, check=False
        )

    return run
