from pathlib import Path

from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import save_store
from lyapunov_pkg.tasks.mocap import load_mocap

with logging_to(snakemake.log[0]):
    settings = snakemake.params.settings
    place = snakemake.config["mocap"]["data"]
    dataset = load_mocap(
        settings["source"],
        directory=Path(place["directory"]) if place["directory"] else None,
        trials=settings["trials"],
        mirrors=place["mirrors"],
        sequence_length=settings["sequence_length"],
        seed=snakemake.params.seed,
        download_directory=Path("downloads/cmu_mocap"),
    )
    save_store(dataset, snakemake.output[0], {"job": snakemake.rule, "data": settings, "seed": snakemake.params.seed})
