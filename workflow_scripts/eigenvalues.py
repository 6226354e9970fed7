import torch

from lyapunov_pkg.reproduction.populations.eigenvalues import eigenvalues_of_training
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    seed = snakemake.params.seed
    result = eigenvalues_of_training(open_shards(snakemake.input.training), seed)
    save_store(result, snakemake.output[0], {"job": " ".join([snakemake.rule, *snakemake.wildcards]), "seed": seed})
