"""The same inputs and seeds give the same bytes in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import xarray as xr
from lyapunov_pkg.aelle import AutoencoderSettings
from lyapunov_pkg.reproduction.prediction.final import final_experiment
from lyapunov_pkg.reproduction.prediction.pretrained import pretrained_experiment
from lyapunov_pkg.reproduction.prediction.pruning import PruningSettings, pruning_experiment
from lyapunov_pkg.workflow.store import save_store
from tests.reproduction.prediction.synthetic import synthetic_spectra

spectra, order = synthetic_spectra(n_per_architecture=6), slice(None, None, int(sys.argv[2]))
spectra = xr.Dataset(
    {name: spectra[name].variable for name in list(spectra.data_vars)[order]},
    {name: spectra[name].variable for name in list(spectra.coords)[order]},
)
settings = AutoencoderSettings(epochs_per_stage=2)
save_store(final_experiment(spectra, settings, (1, 2), n_zero_loss=4), f"{sys.argv[1]}/final.zarr.zip", {})
pretrained = pretrained_experiment(spectra, settings, (1, 2), n_epochs=3, orthant_components=(1, 2))
save_store(pretrained, f"{sys.argv[1]}/pretrained.zarr.zip", {})
settings = PruningSettings(pool_sizes=(4, 8), epochs=(0, 1, 2), kept_share=0.5, n_draws=20, loss_ceiling=1e3)
pruning = pruning_experiment(pretrained, settings)
save_store(pruning, f"{sys.argv[1]}/pruning.zarr.zip", {})
"""


def run(folder: Path, hash_seed: int, n_threads: int, order: int) -> dict[str, bytes]:
    """Run the experiments in a process of their own; with `order` -1, the store has its variables in reverse order."""
    folder.mkdir()
    threads = {name: str(n_threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = os.environ | threads | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", PROGRAM, str(folder), str(order)], check=True, env=environment)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_hash_seed_threads_and_variable_order_change_no_byte(tmp_path: Path) -> None:
    first = run(tmp_path / "first", hash_seed=1, n_threads=1, order=1)
    assert sorted(first) == ["final.zarr.zip", "pretrained.zarr.zip", "pruning.zarr.zip"]
    assert run(tmp_path / "second", hash_seed=2, n_threads=3, order=-1) == first
