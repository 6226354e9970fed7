from lyapunov_pkg.reproduction.populations.correlations import performance_correlations
from lyapunov_pkg.workflow.logs import logging_to
from lyapunov_pkg.workflow.store import open_shards, save_store

with logging_to(snakemake.log[0]):
    params = snakemake.params
    correlations = performance_correlations(
        open_shards(snakemake.input.spectra),
        params.highlighted_by,
        **params.settings,
        seed=params.seed,
        any_epochs=params.any_epochs,
    )
    job = {"job": " ".join([snakemake.rule, *snakemake.wildcards])}
    configuration = job | params.settings | {"highlighted_by": params.highlighted_by, "seed": params.seed}
    save_store(correlations, snakemake.output[0], configuration)
