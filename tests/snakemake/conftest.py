from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lyapunov_pkg.workflow.locks import file_lock
from tests.snakemake.forked import Server

ROOT = Path(__file__).parents[2]
WORKFLOW = (
    "Snakefile",
    "config.yaml",
    "config",
    "envs",
    "lyapunov_pkg",
    "profiles",
    "report",
    "rules",
    "schemas",
    "workflow_scripts",
)

TINY = {"hyperparameters": {"hidden_size": 4}, "training": {"epochs": 2}, "spectra": {"n_sequences": 2}}
SMALL = {
    "lorenz": {
        "short_run": {"step_size": 0.01, "transient": 1.0, "duration": 2.0},
        "steps_run": {"duration": 0.5, "n_trajectories": 2},
        "long_run": {"transient": 1.0, "duration": 2.0, "n_trajectories": 2},
    },
    "stability_regimes": {"hidden_size": 24, "n_initial_states": 3, "warmup": 5, "n_steps": 20},
    "estimator": {"n_sequences": 2, "n_steps": 20, "warmups": [0, 20], "intervals": [1, 4]},
    "correlations": {"n_resamples": 100},
    "smnist": {"data": {"n_train": 200, "n_test": 60}},
    "char_rnn": {"data": {"sequence_length": 31, "n_sequences": 60}},
    "studies": {
        "smnist": {
            "hyperparameters": {"hidden_size": 8},
            "variants": 8,
            "shard_size": 8,
            "training": {"epochs": 4},
            "spectra": {"n_sequences": 4},
        },
        "char_rnn_initialisation": TINY,
        "char_rnn_regularisation": TINY | {"variants": 4},
        "mocap": TINY | {"variants": 4},
        "optimizers": TINY | {"variants": 4, "spectra": {"n_sequences": 2, "epochs": [2]}},
        "row_rnn": {
            "hyperparameters": {"hidden_size": 8},
            "training": {"epochs": 2},
            "alignment": {"n_initial_states": 3, "n_modes": 2, "n_vectors": 2, "epochs": [0, 2]},
            "participation": {"n_initial_states": 3, "at_epochs": [0, 0.5]},
        },
        "pixel_rnn": {
            "hyperparameters": {"hidden_size": 8},
            "variants": 1,
            "training": {"epochs": 1},
            "flips": {"n_images": 3, "n_draws": 4, "n_flips": [1, 8], "n_averaged": [1, 5]},
        },
        "char_rnn_sizes": TINY
        | {
            "variants": 6,
            "design": {"lstm": {"hidden_size": {"grid": [3, 4]}}},
            "spectra": {"n_sequences": 2, "epochs": [0, 1, 2]},
            "aelle": {"spectrum_length": 16},
        },
        "asrnn": {
            "hyperparameters": {
                "hidden_size": 4,
                "init_param": {"grid": [1, 2, 4]},
                "learning_rate": {"grid": [0.1, 0.5]},
            },
            "design": {"asrnn": {"eps": {"grid": [0.1]}, "gamma": {"grid": [0.1]}}},
            "training": {"epochs": 2},
            "spectra": {"n_sequences": 2, "warmup_passes": 1, "measured_passes": 2, "epochs": [2]},
        },
        "target_learning": {
            "hyperparameters": {"hidden_size": 10},
            "variants": 1,
            "training": {"epochs": 2, "n_samples": 60, "free_epochs": 1, "n_starts": 2},
            "spectra": {"n_sequences": 2, "n_steps": 20},
        },
    },
    "aelle": {"n_seeds": 2, "pretrained_epochs": 3, "autoencoder": {"epochs_per_stage": 20}},
    "pruning": {"pool_sizes": [4, 16], "n_draws": 20},
    "prednet": {"early": {"network": {"epochs": 20}}, "eigenvalues": {"network": {"epochs": 20}}},
}

RunSnakemake = Callable[..., subprocess.CompletedProcess[str]]


def snakemake_command(
    directory: Path,
    *arguments: str,
    configuration: dict | None = None,
    cache: Path | None = None,
    repository: Path = ROOT,
    profile: str | None = None,
) -> list[str]:
    """Return the command that runs a repository's workflow in a folder.

    The default configuration is a small one, and the default cache is a folder of this run.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"cache_directory": str(cache or directory / "cache")}
    chosen = settings | (SMALL if configuration is None else configuration)
    text = yaml.safe_dump(chosen, sort_keys=False)  # The order of groups is that of the configuration.
    # Several test processes may use the folder of `finished` at the same time, with different configurations.
    overlay = directory / f"overlay_{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
    written = overlay.with_suffix(f".{os.getpid()}")
    written.write_text(text)
    written.replace(overlay)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile")]
    command += ["--profile", str(repository / "profiles" / profile)] if profile else ["--cores", "2"]
    return [*command, "--directory", str(directory), *arguments, "--configfile", str(overlay)]


def environment(repository: Path = ROOT) -> dict[str, str]:
    """Return the environment in which `lyapunov_pkg` is that of `repository`."""
    return os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(repository)}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Return the process whose forks run Snakemake."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def run_snakemake(server: Server) -> RunSnakemake:
    """Return a function that runs Snakemake in a fork, with the arguments of `snakemake_command`.

    If environment variables are given, Snakemake runs in a new process instead.
    """

    def run(
        directory: Path, *arguments: str, repository: Path = ROOT, variables: dict[str, str] | None = None, **options
    ) -> subprocess.CompletedProcess[str]:
        python, *command = snakemake_command(directory, *arguments, repository=repository, **options)
        if variables is None:
            return server.run(command[2:], repository, environment(repository))
        return subprocess.run(  # Python reads some variables only when it starts.
            [python, *command],
            capture_output=True,
            text=True,
            cwd=repository,
            env=environment(repository) | variables,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def finished(run_snakemake: RunSnakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which all targets were built once for all tests; its cache is `cache` in it.

    Tests must not write to the folder.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # All workers share this folder, and the first worker builds it.
        base = base.parent
    directory, done = base / "finished", base / "finished.done"
    with file_lock(base / "finished.lock"):
        if not done.exists():
            result = run_snakemake(directory)
            assert result.returncode == 0, result.stderr
            done.touch()
    return directory


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a copy of the workflow that a test may edit, including the compiled kernels.

    The cache of the kernels depends on the contents of the code, so it stays valid in the copy.
    """
    copy = tmp_path / "repository"
    copy.mkdir()
    for name in WORKFLOW:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("*.pyc"))
        elif source.exists():
            shutil.copy2(source, copy / name)
    return copy


def jobs(output: str) -> dict[str, int]:
    """Return the number of jobs of each rule in the output of a dry run."""
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", output, flags=re.M) if name != "total"}


def outputs(dry_run: str) -> set[str]:
    """Return the output files in the output of a dry run, without `results/`."""
    lines = re.findall(r"^    output: (.*)$", dry_run, flags=re.M)
    return {name.removeprefix("results/") for line in lines for name in line.split(", ")}


def content(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every store below a folder's results."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("results/**/*.zarr.zip")}
