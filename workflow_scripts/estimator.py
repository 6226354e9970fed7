import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.reproduction.populations.estimator import EstimatorSettings, estimates_of_best_network
from lyapunov_pkg.reproduction.tasks.supervised import driving_sequences
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, open_store, save_store

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
