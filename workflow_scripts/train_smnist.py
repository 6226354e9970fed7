from dataclasses import asdict

import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.progress import logging_to
from lyapunov_pkg.store import open_store, save_store
from lyapunov_pkg.training.bptt import TrainingSettings, train_variants
from lyapunov_pkg.training.variants import design_variants

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    variants = design_variants(
        "smnist", snakemake.wildcards.architecture, params.hidden_size, params.init_param, params.indices, params.seed
    )
    settings = TrainingSettings(**params.training, n_layers=params.n_layers, hyperparameters=params.hyperparameters)
    training = train_variants(variants, open_store(snakemake.input.dataset), settings, choose_device(params.device))
    save_store(training, snakemake.output[0], {"training": asdict(settings), "seed": params.seed})
