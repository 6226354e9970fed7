# Chapter 4: Lyapunov vectors compared with gradients, and flips of pixels at steps where perturbations grow.


if "row_rnn" in STUDIES:

    rule alignment:
        input:
            training=shards("training", "row_rnn"),
            dataset=dataset_of("row_rnn"),
        output:
            "results/gradients/alignment.zarr.zip",
        log:
            "results/logs/gradients/alignment.log",
        cache: "omit-software"
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            **job_resources("alignment"),
        params:
            groups=list(GROUPS["row_rnn"]),
            settings=STUDIES["row_rnn"]["alignment"],
            seed=config["seed"],
            provenance=lambda wildcards: provenance("alignment.py", "lyapunov_pkg.cells.rnn"),
        script:
            "../workflow_scripts/alignment.py"


if "row_rnn" in STUDIES:

    rule participation:
        input:
            dataset=dataset_of("row_rnn"),
        output:
            "results/gradients/participation.zarr.zip",
        log:
            "results/logs/gradients/participation.log",
        cache: "omit-software"
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            **job_resources("participation"),
        params:
            design={label: dict(group.settings) for label, group in GROUPS["row_rnn"].items()},
            n_variants={label: group.n_variants for label, group in GROUPS["row_rnn"].items()},
            training=STUDIES["row_rnn"]["training"],
            settings=STUDIES["row_rnn"]["participation"],
            seed=config["seed"],
            provenance=lambda wildcards: provenance("participation.py", "lyapunov_pkg.cells.rnn"),
        script:
            "../workflow_scripts/participation.py"


if "pixel_rnn" in STUDIES:

    rule flips:
        input:
            training=shards("training", "pixel_rnn"),
            dataset=dataset_of("pixel_rnn"),
        output:
            "results/gradients/flips.zarr.zip",
        log:
            "results/logs/gradients/flips.log",
        cache: "omit-software"
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            **job_resources("flips"),
        params:
            groups=list(GROUPS["pixel_rnn"]),
            settings=STUDIES["pixel_rnn"]["flips"],
            seed=config["seed"],
            provenance=lambda wildcards: provenance("flips.py", "lyapunov_pkg.cells.rnn"),
        script:
            "../workflow_scripts/flips.py"
