from pathlib import Path

from lyapunov_pkg.reproduction.tasks.smnist import load_smnist
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import save_store

with logging_to(snakemake.log[0]):
    settings = snakemake.params.settings
    place = snakemake.config["smnist"]["data"]
    dataset = load_smnist(
        settings["source"],
        directory=Path(place["directory"]) if place["directory"] else None,
        mirrors=place["mirrors"],
        n_train=settings["n_train"],
        n_test=settings["n_test"],
        seed=snakemake.params.seed,
        download_directory=Path("downloads/mnist"),
    )
    save_store(dataset, snakemake.output[0], {"job": snakemake.rule, "data": settings, "seed": snakemake.params.seed})
