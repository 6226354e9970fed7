from pathlib import Path

from lyapunov_pkg.reproduction.tasks.mocap import load_mocap
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import save_store

with logging_to(snakemake.log[0]):
    settings = snakemake.params.settings
    place = snakemake.config["mocap"]["data"]
    dataset = load_mocap(
        settings["source"],
        directory=Path(place["directory"]) if place["directory"] else None,
        trials=settings["trials"],
        mirrors=place["mirrors"],
        sequence_length=settings["sequence_length"],
        frame_rate=settings["frame_rate"],
        seed=snakemake.params.seed,
        download_directory=Path("downloads/cmu_mocap"),
    )
    save_store(dataset, snakemake.output[0], {"job": snakemake.rule, "data": settings, "seed": snakemake.params.seed})
