# Training, sharded by architecture. One thread a job: shards run side by side, and results do not depend on the cores.


rule train_smnist:
    input:
        dataset="results/datasets/smnist.zarr.zip",
    output:
        "results/training/smnist/{architecture}/{shard}.zarr.zip",
    cache: "omit-software"
    log:
        "results/logs/training/smnist/{architecture}/{shard}.log",
    threads: 1
    resources:
        **job_resources("train_smnist"),
    conda:
        "../envs/workflow.yaml"
    params:
        seed=config["seed"],
        device=config["device"],
        hidden_size=SMNIST["hidden_size"],
        indices=lambda wildcards: shard_indices(wildcards.shard),
        init_param=lambda wildcards: SMNIST["architectures"][wildcards.architecture]["init_param"],
        n_layers=SMNIST["n_layers"],
        hyperparameters=lambda wildcards: hyperparameters(wildcards.architecture),
        training=SMNIST["training"],
        provenance=lambda wildcards: provenance("train_smnist.py", f"lyapunov_pkg.cells.{wildcards.architecture}"),
    script:
        "../workflow_scripts/train_smnist.py"
