# Data of the tasks.


rule smnist_dataset:
    output:
        "results/datasets/smnist.zarr.zip",
    cache: "omit-software"
    log:
        "results/logs/datasets/smnist.log",
    threads: 1
    resources:
        **job_resources("smnist_dataset"),
    conda:
        "../envs/workflow.yaml"
    params:
        # Not where the files come from: their content is verified.
        settings={key: SMNIST["data"][key] for key in ("source", "n_train", "n_test")},
        seed=config["seed"],
        provenance=provenance("smnist_dataset.py"),
    script:
        "../workflow_scripts/smnist_dataset.py"
