import torch

from lyapunov_pkg.aelle import AutoencoderSettings
from lyapunov_pkg.progress import progress
from lyapunov_pkg.reproduction.prediction.final import final_experiment
from lyapunov_pkg.reproduction.prediction.pretrained import pretrained_experiment
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    settings = dict(snakemake.params.settings)
    experiment = {"final": final_experiment, "pretrained": pretrained_experiment}[snakemake.wildcards.experiment]
    result = experiment(
        open_shards(snakemake.input.spectra),
        AutoencoderSettings(**settings.pop("autoencoder")),
        seeds=snakemake.params.seeds,
        progress=progress,
        **settings,
    )
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    save_store(result, snakemake.output[0], {"job": job, "settings": snakemake.params.settings})
