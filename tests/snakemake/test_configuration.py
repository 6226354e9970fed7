"""Mistakes in a configuration stop the workflow before any job, in clear lines and without a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.snakemake.conftest import ROOT, environment


def dry_run(folder: Path, overlay: str) -> subprocess.CompletedProcess[str]:
    """Plan a figure with a configuration file that has this text."""
    (folder / "overlay.yaml").write_text(f"cache_directory: {folder / 'cache'}\n{overlay}")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", "1", "--dry-run", "--configfile", str(folder / "overlay.yaml"), "--", "fig_1_1"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (
            "seed: 1\nseed: 2\n",
            "overlay.yaml: line 3: the key 'seed' is given twice, first in line 2",
        ),
        ("yes: 1\n", "overlay.yaml: line 2: the key yes is a boolean to YAML; expected text"),
        (
            "studies: {smnist: {design: {cornn: {dt: soon}}}}\n",
            "studies.smnist.design.cornn.dt is 'soon'; expected a finite number above 0",
        ),
        (
            "studies: {target_learning: {design: {../../../../escaped/x: {architecture: rank_one}}}}\n",
            "studies.target_learning.design has the key '../../../../escaped/x'; expected text that matches",
        ),
        ("lorenz: {sigma: .nan}\nsede: 3\n", "lorenz.sigma is nan; expected a finite number, more than 0, at most 100"),
    ],
)
def test_a_mistake_gives_one_line_on_the_terminal(tmp_path: Path, overlay: str, expected: str) -> None:
    result = dry_run(tmp_path, overlay)
    output = result.stdout + result.stderr
    assert result.returncode == 1
    assert sum(expected in line for line in output.splitlines()) == 1, output
    assert "Traceback" not in output and ".py" not in output
    assert not (tmp_path / "results").exists()
