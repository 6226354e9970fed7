from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lyapunov_pkg.workflow.store import open_store
from tests.snakemake.conftest import RunSnakemake


def test_chapter_1_can_be_built_separately(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    result = run_snakemake(tmp_path, "chapter_1")
    assert result.returncode == 0, result.stderr
    made = {path.name for path in (tmp_path / "results/figures").iterdir()}
    assert made == {f"fig_1_{number}.{kind}" for number in (1, 2) for kind in ("pdf", "png", "md", "html", "zarr.zip")}
    lorenz = open_store(tmp_path / "results/systems/lorenz.zarr.zip")
    assert lorenz.sizes == {"rho": 4, "time": 31, "axis": 3, "exponent": 3, "run": 2}
    np.testing.assert_allclose(lorenz["long_run_exponent"].sum("exponent"), -41 / 3, atol=0.01)
    drawn = open_store(tmp_path / "results/figures/fig_1_2.zarr.zip")
    np.testing.assert_array_equal(drawn["long_run_exponent"], lorenz["long_run_exponent"])


def test_each_figure_is_a_target(tmp_path: Path, run_snakemake: RunSnakemake) -> None:
    result = run_snakemake(tmp_path, "--dry-run", "fig_1_2")
    assert re.search(r"^draw_figure +1$", result.stdout + result.stderr, flags=re.M)
