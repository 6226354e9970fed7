from lyapunov_pkg.reproduction.prediction.pruning import PruningSettings, pruning_experiment
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_store, save_store

with logging_to(snakemake.log[0]):
    settings = snakemake.params.settings
    result = pruning_experiment(open_store(snakemake.input.pretrained), PruningSettings(**settings))
    job = " ".join([snakemake.rule, *snakemake.wildcards])
    save_store(result, snakemake.output[0], {"job": job, "settings": settings})
