from pathlib import Path

from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import save_store
from lyapunov_pkg.tasks.mocap import load_mocap

with logging_to(snakemake.log[0]):
    settings = snakemake.params.settings
    dataset = load_mocap(
        settings["source"],
        directory=Path(settings["directory"]) if settings["directory"] else None,
        trials=settings["trials"],
        mirrors=settings["mirrors"],
        sequence_length=settings["sequence_length"],
        seed=snakemake.params.seed,
        download_directory=Path(snakemake.params.downloads),
    )
    save_store(dataset, snakemake.output[0], {"data": settings, "seed": snakemake.params.seed})
