# Training, in shards of each study and group. Each job has one thread. Shards run in parallel, and results do not depend on
# the number of cores.


rule train:
    input:
        dataset=lambda wildcards: dataset_of(wildcards.study),
    output:
        "results/training/{study}/{group}/{shard}.zarr.zip",
    log:
        "results/logs/training/{study}/{group}/{shard}.log",
    cache: "omit-software"
    priority: 1  # many jobs wait for it
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("train"),
    params:
        names=names,
        seed=config["seed"],
        device=config["device"],
        design=lambda wildcards: dict(GROUPS[wildcards.study][wildcards.group].settings),
        indices=lambda wildcards: shard_indices(**wildcards),
        training=lambda wildcards: STUDIES[wildcards.study]["training"],
        kept=lambda wildcards: kept_parameters(wildcards.study, STUDIES[wildcards.study]),
        provenance=lambda wildcards: provenance("train.py", cell_module(wildcards.study, wildcards.group)),
    script:
        "../workflow_scripts/train.py"
