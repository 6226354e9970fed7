# Reference systems of chapter 1.


rule lorenz:
    output:
        directory("results/systems/lorenz.zarr"),
    log:
        "results/logs/systems/lorenz.log",
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    conda:
        "../envs/workflow.yaml"
    params:
        settings=config["lorenz"],
        seed=config["seed"],
        provenance=provenance("lorenz.py"),
    script:
        "../workflow_scripts/lorenz.py"
