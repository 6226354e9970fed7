import torch

from lyapunov_pkg.aelle import AutoencoderSettings, final_experiment, pretrained_experiment
from lyapunov_pkg.progress import logging_to, progress
from lyapunov_pkg.store import open_shards, save_store

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
