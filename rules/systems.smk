# Reference systems of chapter 1.


rule lorenz:
    output:
        "results/systems/lorenz.zarr.zip",
    log:
        "results/logs/systems/lorenz.log",
    cache: "omit-software"
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        **job_resources("lorenz"),
    params:
        settings=config["lorenz"],
        seed=config["seed"],
        provenance=lambda wildcards: provenance("lorenz.py"),
    script:
        "../workflow_scripts/lorenz.py"
