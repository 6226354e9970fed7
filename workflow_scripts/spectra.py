import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.reproduction.populations.spectra import SpectraSettings, spectra_of_training
from lyapunov_pkg.reproduction.tasks.supervised import driving_sequences
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    settings = SpectraSettings(**snakemake.params.spectra)
    spectra = spectra_of_training(
        open_store(snakemake.input.training),
        driving_sequences(open_store(snakemake.input.dataset), settings.n_sequences),
        settings,
        choose_device(snakemake.params.device),
    )
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    save_store(spectra, snakemake.output[0], {"job": job, "spectra": settings.model_dump()})
