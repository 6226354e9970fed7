import torch

from lyapunov_pkg.devices import choose_device
from lyapunov_pkg.reproduction.configuration.spectra import SpectraSettings
from lyapunov_pkg.reproduction.configuration.training import Optimizers, TrainingSettings
from lyapunov_pkg.reproduction.populations.optimizers import optimizer_comparison
from lyapunov_pkg.reproduction.training.variants import design_variants
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    comparison = optimizer_comparison(
        {
            label: design_variants("optimizers", label, group["design"], range(group["n_variants"]), params.seed)
            for label, group in params.groups.items()
        },
        open_store(snakemake.input.dataset),
        Optimizers(**params.optimizers).trainings(TrainingSettings(**params.training)),
        SpectraSettings(**params.spectra),
        **params.settings,
        seed=params.seed,
        device=choose_device(params.device),
    )
    names = ("groups", "training", "optimizers", "spectra", "settings", "seed")
    save_store(comparison, snakemake.output[0], {"job": snakemake.rule} | {name: params[name] for name in names})
