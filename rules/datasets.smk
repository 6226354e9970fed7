# Data of the tasks.


rule smnist_dataset:
    output:
        directory("results/datasets/smnist.zarr"),
    log:
        "results/logs/datasets/smnist.log",
    conda:
        "../envs/workflow.yaml"
    params:
        settings=SMNIST["data"],
        seed=config["seed"],
        downloads="downloads/mnist",
        provenance=provenance("smnist_dataset.py"),
    script:
        "../workflow_scripts/smnist_dataset.py"
