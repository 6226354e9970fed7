from lyapunov_pkg.reproduction.populations.evolution import spectrum_evolution
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, save_store

with logging_to(snakemake.log[0]):
    evolution = spectrum_evolution(open_shards(snakemake.input.spectra))
    save_store(evolution, snakemake.output[0], {"job": snakemake.rule})
