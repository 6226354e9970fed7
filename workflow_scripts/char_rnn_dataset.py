from pathlib import Path

from lyapunov_pkg.reproduction.tasks.char_rnn import load_char_rnn
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import save_store

with logging_to(snakemake.log[0]):
    settings = snakemake.params.settings
    place = snakemake.config["char_rnn"]["data"]
    dataset = load_char_rnn(
        settings["source"],
        path=Path(place["path"]) if place["path"] else None,
        mirrors=place["mirrors"],
        sequence_length=settings["sequence_length"],
        n_sequences=settings["n_sequences"],
        seed=snakemake.params.seed,
        download_directory=Path("downloads/war_and_peace"),
    )
    save_store(dataset, snakemake.output[0], {"job": snakemake.rule, "data": settings, "seed": snakemake.params.seed})
