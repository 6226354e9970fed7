from pathlib import Path

from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import save_store
from lyapunov_pkg.tasks.smnist import load_smnist

with logging_to(snakemake.log[0]):
    settings = snakemake.params.settings
    dataset = load_smnist(
        settings["source"],
        directory=Path(settings["directory"]) if settings["directory"] else None,
        mirrors=settings["mirrors"],
        n_train=settings["n_train"],
        n_test=settings["n_test"],
        seed=snakemake.params.seed,
        download_directory=Path(snakemake.params.downloads),
    )
    save_store(dataset, snakemake.output[0], {"data": settings, "seed": snakemake.params.seed})
