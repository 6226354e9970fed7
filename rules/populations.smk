# What the spectra of all networks of a study have in common: how they settle, and what goes with performance.


rule evolution:
    input:
        spectra=shards("spectra", "char_rnn_initialisation"),
    output:
        "results/populations/char_rnn_initialisation.zarr.zip",
    log:
        "results/logs/populations/char_rnn_initialisation.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("evolution"),
    params:
        groups=list(GROUPS["char_rnn_initialisation"]),
        provenance=provenance("evolution.py"),
    script:
        "../workflow_scripts/evolution.py"


CORRELATION_SETTINGS = ("n_highlighted", "near_zero", "exponent_floor", "n_resamples")


rule correlations:
    input:
        spectra=lambda wildcards: shards("spectra", wildcards.study),
    output:
        "results/populations/{study}.zarr.zip",
    log:
        "results/logs/populations/{study}.log",
    wildcard_constraints:
        study="|".join(config["correlations"]["highlighted_by"]),
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("correlations"),
    params:
        names=names,
        groups=group_order,
        highlighted_by=lambda wildcards: config["correlations"]["highlighted_by"][wildcards.study],
        settings={key: config["correlations"][key] for key in CORRELATION_SETTINGS},
        seed=config["seed"],
        provenance=provenance("correlations.py"),
    script:
        "../workflow_scripts/correlations.py"
