import torch

from lyapunov_pkg.aelle import AutoencoderSettings, final_experiment, pretrained_experiment
from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import open_shards, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    experiment = {"final": final_experiment, "pretrained": pretrained_experiment}[snakemake.wildcards.experiment]
    result = experiment(
        open_shards(snakemake.input.spectra),
        AutoencoderSettings(**params.autoencoder),
        seeds=params.seeds,
        exponent_floor=params.exponent_floor,
        **params.protocol,
    )
    settings = {name: value for name, value in params.items() if name != "provenance"}
    save_store(result, snakemake.output[0], {"job": " ".join([snakemake.rule, *snakemake.wildcards])} | settings)
