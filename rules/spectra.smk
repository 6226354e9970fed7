# Lyapunov spectra of trained networks, epoch by epoch.


rule spectra:
    input:
        training="results/training/{study}/{group}/{shard}.zarr.zip",
        dataset=lambda wildcards: dataset_of(wildcards.study),
    output:
        "results/spectra/{study}/{group}/{shard}.zarr.zip",
    cache: "omit-software"
    log:
        "results/logs/spectra/{study}/{group}/{shard}.log",
    threads: 1
    resources:
        **job_resources("spectra"),
    conda:
        "../envs/workflow.yaml"
    params:
        device=config["device"],
        spectra=lambda wildcards: STUDIES[wildcards.study]["spectra"],
        provenance=lambda wildcards: provenance("spectra.py", cell_module(wildcards.study, wildcards.group)),
    script:
        "../workflow_scripts/spectra.py"
