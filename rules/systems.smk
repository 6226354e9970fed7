# Reference systems of chapter 1.


rule lorenz:
    output:
        "results/systems/lorenz.zarr.zip",
    log:
        "results/logs/systems/lorenz.log",
    cache: "omit-software"
    threads: 1
    resources:
        **job_resources("lorenz"),
    conda:
        "../envs/workflow.yaml"
    params:
        settings=config["lorenz"],
        seed=config["seed"],
        provenance=provenance("lorenz.py"),
    script:
        "../workflow_scripts/lorenz.py"
