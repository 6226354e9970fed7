import torch

from lyapunov_pkg.reproduction.training.force import ForceSettings, train_force
from lyapunov_pkg.reproduction.training.variants import design_variants
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, group = snakemake.params, snakemake.wildcards.group
    variants = design_variants("target_learning", group, params.design, params.indices, params.seed)
    settings = ForceSettings(**params.training)
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    configuration = {"job": job, "design": params.design, "training": settings.model_dump(), "seed": params.seed}
    save_store(train_force(variants, settings), snakemake.output[0], configuration)
