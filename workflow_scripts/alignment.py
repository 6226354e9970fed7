from pathlib import Path

import torch

from lyapunov_pkg.reproduction.gradients.alignment import AlignmentSettings, alignment_experiment
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    settings, seed = snakemake.params.settings, snakemake.params.seed
    shards = {
        group: [path for path in snakemake.input.training if Path(path).parent.name == group]
        for group in snakemake.params.groups
    }
    alignment = alignment_experiment(
        {group: open_shards(paths) for group, paths in shards.items()},
        open_store(snakemake.input.dataset),
        AlignmentSettings(**settings),
        seed,
    )
    save_store(alignment, snakemake.output[0], {"job": snakemake.rule, "alignment": settings, "seed": seed})
