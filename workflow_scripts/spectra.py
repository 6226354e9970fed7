from dataclasses import asdict

import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.spectra.stacked import SpectraSettings, spectra_of_training
from lyapunov_pkg.store import open_store, save_store
from lyapunov_pkg.tasks.supervised import driving_sequences

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
    save_store(spectra, snakemake.output[0], {"job": job, "spectra": asdict(settings)})
