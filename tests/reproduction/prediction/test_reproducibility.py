"""The same inputs and seeds give the same bytes in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import xarray as xr

from lyapunov_pkg.aelle import AutoencoderSettings
from lyapunov_pkg.reproduction.prediction.final import final_experiment
from lyapunov_pkg.reproduction.prediction.pretrained import pretrained_experiment
from lyapunov_pkg.reproduction.prediction.pruning import PruningSettings, pruning_experiment
from lyapunov_pkg.workflow.store import save_store
from tests.reproduction.prediction.synthetic import synthetic_spectra


def run(folder: Path, order: int) -> dict[str, bytes]:
    """Return the stores of the experiments; with `order` -1, the spectra have their variables in reverse order."""
    folder.mkdir()
    spectra = synthetic_spectra(n_per_architecture=6)
    spectra = xr.Dataset(
        {name: spectra[name].variable for name in list(spectra.data_vars)[::order]},
        {name: spectra[name].variable for name in list(spectra.coords)[::order]},
    )
    settings = AutoencoderSettings(epochs_per_stage=2)
    save_store(final_experiment(spectra, settings, (1, 2), n_zero_loss=4), folder / "final.zarr.zip", {})
    pretrained = pretrained_experiment(spectra, settings, (1, 2), n_epochs=3, orthant_components=(1, 2))
    save_store(pretrained, folder / "pretrained.zarr.zip", {})
    pruned = PruningSettings(pool_sizes=(4, 8), epochs=(0, 1, 2), kept_share=0.5, n_draws=20, loss_ceiling=1e3)
    save_store(pruning_experiment(pretrained, pruned), folder / "pruning.zarr.zip", {})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_hash_seed_threads_and_variable_order_change_no_byte(tmp_path: Path) -> None:
    """The other process has another hash seed than this one, whose seed is random unless the environment sets it."""
    here = run(tmp_path / "here", order=1)
    assert sorted(here) == ["final.zarr.zip", "pretrained.zarr.zip", "pruning.zarr.zip"]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "3")
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = os.environ | threads | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    there = tmp_path / "there"
    program = f"from pathlib import Path; from {__name__} import run; run(Path({str(there)!r}), order=-1)"
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert {path.name: path.read_bytes() for path in there.iterdir()} == here
