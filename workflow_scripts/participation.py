import torch

from lyapunov_pkg.reproduction.gradients.participation import ParticipationSettings, participation_experiment
from lyapunov_pkg.reproduction.training.bptt import TrainingSettings
from lyapunov_pkg.reproduction.training.variants import design_variants
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_store, save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    participation = participation_experiment(
        {
            group: design_variants("row_rnn", group, settings, range(params.n_variants[group]), params.seed)
            for group, settings in params.design.items()
        },
        open_store(snakemake.input.dataset),
        TrainingSettings(**params.training),
        ParticipationSettings(**params.settings),
        params.seed,
    )
    settings = {name: value for name, value in params.items() if name != "provenance"}
    save_store(participation, snakemake.output[0], {"job": snakemake.rule} | settings)
