from dataclasses import asdict

import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.spectra.stacked import SpectraSettings, spectra_of_training
from lyapunov_pkg.store import open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    settings = SpectraSettings(**params.spectra, hyperparameters=params.hyperparameters)
    spectra = spectra_of_training(
        open_store(snakemake.input.training),
        open_store(snakemake.input.dataset),
        settings,
        choose_device(params.device),
    )
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    save_store(spectra, snakemake.output[0], {"job": job, "spectra": asdict(settings)})
