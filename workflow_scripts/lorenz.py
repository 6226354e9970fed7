import torch

from lyapunov_pkg.reproduction.configuration.systems import LongRun, ShortRun, StepsRun
from lyapunov_pkg.reproduction.lorenz import lorenz_experiment
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import save_store

with logging_to(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    settings, seed = snakemake.params.settings, snakemake.params.seed
    kinds = {"short_run": ShortRun, "steps_run": StepsRun, "long_run": LongRun}
    runs = {name: kind(**settings[name]) for name, kind in kinds.items()}
    save_store(lorenz_experiment(**settings | runs, seed=seed), snakemake.output[0], {"lorenz": settings, "seed": seed})
