# Autoencoders of spectra, other classifiers for comparison, and PredNets.


rule aelle:
    input:
        spectra=lambda wildcards: shards("spectra", wildcards.study),
    output:
        "results/aelle/{study}_{experiment}.zarr.zip",
    log:
        "results/logs/aelle/{study}_{experiment}.log",
    wildcard_constraints:
        experiment="final|pretrained",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("aelle"),
    params:
        names=names,
        groups=group_order,
        settings=lambda wildcards: aelle_experiment(**wildcards),
        seeds=lambda wildcards: seeds(aelle_settings(config, wildcards.study)["n_seeds"]),
        provenance=lambda wildcards: provenance("aelle.py"),
    script:
        "../workflow_scripts/aelle.py"


rule pruning:
    input:
        pretrained="results/aelle/{study}_pretrained.zarr.zip",
    output:
        "results/aelle/{study}_pruning.zarr.zip",
    log:
        "results/logs/aelle/{study}_pruning.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("pruning"),
    params:
        names=names,
        settings=lambda wildcards: pruning_settings(wildcards.study),
        provenance=lambda wildcards: provenance("pruning.py"),
    script:
        "../workflow_scripts/pruning.py"


rule prednet:
    input:
        spectra=lambda wildcards: shards("spectra", wildcards.study),
    output:
        "results/aelle/{study}_prednet.zarr.zip",
    log:
        "results/logs/aelle/{study}_prednet.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("prednet"),
    params:
        names=names,
        groups=group_order,
        settings=lambda wildcards: prednet_settings("early", wildcards.study),
        seeds=seeds(config["prednet"]["early"]["n_seeds"]),
        provenance=lambda wildcards: provenance("prednet.py"),
    script:
        "../workflow_scripts/prednet.py"


rule eigenvalue_prednets:
    input:
        spectra=lambda wildcards: shards("spectra", wildcards.study),
        eigenvalues="results/eigenvalues/{study}.zarr.zip",
    output:
        "results/aelle/{study}_eigenvalue_prednets.zarr.zip",
    log:
        "results/logs/aelle/{study}_eigenvalue_prednets.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("eigenvalue_prednets"),
    params:
        names=names,
        groups=group_order,
        settings=lambda wildcards: prednet_settings("eigenvalues", wildcards.study),
        seeds=seeds(config["prednet"]["eigenvalues"]["n_seeds"]),
        provenance=lambda wildcards: provenance("eigenvalue_prednets.py"),
    script:
        "../workflow_scripts/eigenvalue_prednets.py"
