import torch

from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.prediction.eigenvalue_comparison import eigenvalue_experiment
from lyapunov_pkg.reproduction.prediction.prednet import PredNetSettings
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    settings = dict(snakemake.params.settings)
    result = eigenvalue_experiment(
        open_shards(snakemake.input.spectra),
        open_store(snakemake.input.eigenvalues),
        PredNetSettings(**settings.pop("network")),
        seeds=snakemake.params.seeds,
        progress=progress,
        **settings,
    )
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    save_store(result, snakemake.output[0], {"job": job, "settings": snakemake.params.settings})
