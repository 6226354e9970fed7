import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.spectra.estimator import EstimatorSettings, estimates_of_best_network
from lyapunov_pkg.store import open_shards, open_store, save_store
from lyapunov_pkg.tasks.supervised import driving_sequences

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    settings = EstimatorSettings(**params.settings)
    estimates = estimates_of_best_network(
        open_shards(snakemake.input.training),
        driving_sequences(open_store(snakemake.input.dataset), settings.n_sequences, settings.total_steps),
        settings,
        choose_device(params.device),
    )
    save_store(estimates, snakemake.output[0], {"estimator": params.settings})
