# Lyapunov spectra of trained networks for each epoch, and eigenvalues of their Jacobians.


rule spectra:
    input:
        training="results/training/{study}/{group}/{shard}.zarr.zip",
        dataset=lambda wildcards: dataset_of(wildcards.study),
    output:
        "results/spectra/{study}/{group}/{shard}.zarr.zip",
    log:
        "results/logs/spectra/{study}/{group}/{shard}.log",
    cache: "omit-software"
    priority: 1  # many jobs wait for it
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("spectra"),
    params:
        names=names,
        device=config["device"],
        spectra=lambda wildcards: STUDIES[wildcards.study]["spectra"],
        provenance=lambda wildcards: provenance("spectra.py", cell_module(wildcards.study, wildcards.group)),
    script:
        "../workflow_scripts/spectra.py"


rule eigenvalues:
    input:
        training=lambda wildcards: shards("training", wildcards.study),
    output:
        "results/eigenvalues/{study}.zarr.zip",
    log:
        "results/logs/eigenvalues/{study}.log",
    cache: "omit-software"
    priority: 1  # many jobs wait for it
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("eigenvalues"),
    params:
        names=names,
        groups=group_order,
        seed=config["seed"],
        provenance=lambda wildcards: provenance("eigenvalues.py", *cell_modules(wildcards.study)),
    script:
        "../workflow_scripts/eigenvalues.py"
