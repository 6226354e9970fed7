import torch

from lyapunov_pkg.reproduction.untrained import stability_regimes
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    settings, seed = snakemake.params.settings, snakemake.params.seed
    save_store(stability_regimes(**settings, seed=seed), snakemake.output[0], {"regimes": settings, "seed": seed})
