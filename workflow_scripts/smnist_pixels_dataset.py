from lyapunov_pkg.reproduction.tasks.smnist import permuted_pixels
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_store, save_store

with logging_to(snakemake.log[0]):
    seed = snakemake.params.seed
    dataset = permuted_pixels(open_store(snakemake.input[0]), seed)
    save_store(dataset, snakemake.output[0], {"job": snakemake.rule, "seed": seed})
