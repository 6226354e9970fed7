import torch

from lyapunov_pkg.reproduction.untrained import layered_jacobian
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    settings, seed = snakemake.params.settings, snakemake.params.seed
    save_store(layered_jacobian(**settings, seed=seed), snakemake.output[0], {"network": settings, "seed": seed})
