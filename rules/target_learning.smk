# Target learning: training with FORCE instead of back-propagation, and spectra of free runs. There are no data. Jobs take
# only minutes, so they keep no checkpoints.


if "target_learning" in STUDIES:

    ruleorder: train_target_learning > train
    ruleorder: spectra_target_learning > spectra

    rule train_target_learning:
        output:
            "results/training/target_learning/{group}/{shard}.zarr.zip",
        log:
            "results/logs/training/target_learning/{group}/{shard}.log",
        cache: "omit-software"
        priority: 1  # many jobs wait for it
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            **job_resources("train_target_learning"),
        params:
            names=names,
            seed=config["seed"],
            design=lambda wildcards: dict(GROUPS["target_learning"][wildcards.group].settings),
            indices=lambda wildcards: shard_indices("target_learning", **wildcards),
            training=STUDIES["target_learning"]["training"],
            provenance=lambda wildcards: provenance("train_target_learning.py", "lyapunov_pkg.cells.rank_one"),
        script:
            "../workflow_scripts/train_target_learning.py"

    rule spectra_target_learning:
        input:
            training="results/training/target_learning/{group}/{shard}.zarr.zip",
        output:
            "results/spectra/target_learning/{group}/{shard}.zarr.zip",
        log:
            "results/logs/spectra/target_learning/{group}/{shard}.log",
        cache: "omit-software"
        priority: 1  # many jobs wait for it
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            **job_resources("spectra_target_learning"),
        params:
            names=names,
            device=config["device"],
            spectra=STUDIES["target_learning"]["spectra"],
            provenance=lambda wildcards: provenance("spectra_target_learning.py", "lyapunov_pkg.cells.rank_one"),
        script:
            "../workflow_scripts/spectra_target_learning.py"
