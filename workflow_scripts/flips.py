import torch

from lyapunov_pkg.reproduction.gradients.input_flips import FlipSettings, flip_experiment
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    settings, seed = snakemake.params.settings, snakemake.params.seed
    flips = flip_experiment(
        open_shards(snakemake.input.training),
        open_store(snakemake.input.dataset),
        FlipSettings(**settings),
        seed,
    )
    save_store(flips, snakemake.output[0], {"job": snakemake.rule, "flips": settings, "seed": seed})
