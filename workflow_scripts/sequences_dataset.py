from pathlib import Path

from lyapunov_pkg.reproduction.tasks.sequences import load_sequences
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import save_store

with logging_to(snakemake.log[0]):
    settings = snakemake.params.settings
    path = snakemake.config["sequences"]["data"]["path"]
    if path is None:
        raise ValueError("sequences.data.path is null; expected a .npz or Zarr file")
    dataset = load_sequences(Path(path), **settings, seed=snakemake.params.seed)
    save_store(dataset, snakemake.output[0], {"job": snakemake.rule, "data": settings, "seed": snakemake.params.seed})
